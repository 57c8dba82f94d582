"""`knet drops`: what network policies refused on the machines of a running cluster, with the names of both ends."""

import contextlib
import selectors
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from knet.api.objects import Node
from knet.client import ApiError, Client, Unavailable
from knet.cluster.errors import KnetError
from knet.cluster.handles import Machine
from knet.kernel import nft
from knet.kernel.nflog import Nflog, NflogError
from knet.policy import drops
from knet.policy.drops import Drop
from knet.policy.population import NarrowPod
from knet.policy.table import FAMILY, LOG_GROUP, NAME


class Refused(NamedTuple):
    """A drop, the machine that refused it, and who is at its ends: a pod, a machine, or just the address."""

    machine: str
    drop: Drop
    source: str
    destination: str

    @property
    def port(self) -> str:
        return f"{self.drop.protocol}/{self.drop.port}" if self.drop.port else self.drop.protocol

    @property
    def by(self) -> str:
        """Whose isolation it was."""
        return f"{self.drop.direction}: {' '.join(self.drop.policies) or 'policies that have gone since'}"


class Names:
    """Whose an address is."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    async def learn(self, client: Client) -> None:
        """What the API server says; without one, addresses have to do."""
        try:
            pods, nodes = await client.list(NarrowPod), await client.list(Node)
        except (ApiError, Unavailable):
            return
        found = {row.address: node.name for node in nodes.items for row in node.status.addresses}
        for pod in pods.items:
            if not pod.spec.hostNetwork and not pod.over:
                found |= {row.ip: f"{pod.namespace}/{pod.name}" for row in pod.status.podIPs}
        self._known |= found

    def __contains__(self, address: str) -> bool:
        return address in self._known

    def named(self, machine: str, drop: Drop) -> Refused:
        source, destination = (self._known.get(address, address) for address in (drop.source, drop.destination))
        return Refused(machine, drop, source, destination)


def remembered(machines: Iterable[Machine]) -> Iterator[tuple[str, Drop]]:
    """What was refused in the last ten minutes, machine by machine, the last one first."""
    for machine in machines:
        with machine.inside():
            listing = nft.listing(FAMILY, NAME)
        yield from ((machine.name, drop) for drop in drops.remembered(listing or []))


def followed(machines: Iterable[Machine]) -> Iterator[tuple[str, Drop]]:
    """Each refused packet, as it comes, for ever; KnetError where somebody else follows already."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for machine in machines:
            try:
                with machine.inside():
                    log = Nflog(LOG_GROUP)
            except NflogError as error:
                raise KnetError(f"{machine.name}: {error.strerror} (another knet drops --follow?)") from None
            stack.callback(log.close)
            selector.register(log, selectors.EVENT_READ, machine.name)
        while True:
            for key, _ in selector.select():
                log = key.fileobj  # type: ignore[assignment]
                found = map(drops.logged, log.read())
                yield from ((key.data, drop) for drop in found if drop is not None)
