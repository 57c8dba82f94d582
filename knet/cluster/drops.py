"""`knet drops`: what network policies refused on the machines of a running cluster, with the names of both ends."""

import contextlib
import selectors
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from knet.cluster.errors import KnetError
from knet.cluster.handles import Machine
from knet.inspect.names import Names
from knet.kernel import nft
from knet.kernel.nflog import Nflog, NflogError
from knet.policy import drops
from knet.policy.drops import Drop
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


def named(machine: str, drop: Drop, names: Names) -> Refused:
    """With the names of both ends."""
    return Refused(machine, drop, names.text(drop.source), names.text(drop.destination))


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
