"""Whose an address is: IP and hardware addresses by the names of pods, Services and machines.

Two sources, in this order: what the API says (`Names.learn`), which may be asked again when an address is new, and what
the kernel has on the interfaces that somebody looks at (`Names.see`): gateways on cni0, the tunnel's end, switches.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from knet.api.families import FAMILIES
from knet.api.objects import Node, Service
from knet.client import ApiError, Client, Unavailable
from knet.cni.bridge import mac_of
from knet.cni.lease import Lease, lease_of
from knet.inspect.inventory import PATIENCE
from knet.inspect.places import MACHINE, Site
from knet.inspect.world import Owner, owners_of
from knet.kernel import addresses, links
from knet.kernel.netlink import Netlink
from knet.policy.population import NarrowPod

#: what has an address beside those whose the API says it is: a tunnel's end, by its Node; an interface, ``n1/cni0``
VTEP, INTERFACE = "vtep", "interface"
#: of interfaces whose addresses are not the machine's own: every node has all Services' on it (IPVS)
_NOT_THEIRS = ("dummy",)


class Names:
    """Whose an address is."""

    def __init__(self) -> None:
        self._said: dict[str, Owner] = {}
        self._seen: dict[str, Owner] = {}
        self._hardware: dict[str, Owner] = {}
        #: addresses that were asked for in vain
        self.unknown: set[str] = set()

    async def learn(self, client: Client) -> None:
        """What the API server says now; without one, what is known has to do.

        Whoever had an address keeps it until somebody else has it: packets outlive pods.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                pods, nodes, services = await asyncio.gather(
                    client.list(NarrowPod), client.list(Node), client.list(Service)
                )
        except (ApiError, Unavailable, TimeoutError):
            return
        self.know(pods.items, nodes.items, services.items)

    def know(self, pods: Iterable[NarrowPod], nodes: Iterable[Node], services: Iterable[Service]) -> None:
        """These objects' addresses."""
        nodes = list(nodes)
        self._said |= owners_of(nodes, services)
        for node in nodes:
            for lease in _leases(node):
                if lease.vtep:
                    self._hardware[lease.vtep.VtepMAC] = Owner(VTEP, node.name)
        for pod in sorted(pods, key=lambda pod: not pod.deleting):  # whose address was given away is leaving
            if not pod.spec.hostNetwork and not pod.over:
                found = {row.ip: Owner("pod", pod.name, pod.namespace) for row in pod.status.podIPs}
                self._said |= found
                self._hardware |= {mac_of(address): name for address, name in found.items()}

    def see(self, sites: Iterable[Site]) -> None:
        """What the interfaces of these sites have."""
        for site in sites:
            with Netlink(site.netns) as netlink:
                here = {link.index: link for link in links.list_links(netlink) if link.kind not in _NOT_THEIRS}
                held = [*addresses.briefly(netlink, 4), *addresses.briefly(netlink, 6)]
            places = {index: _place(site, link.name) for index, link in here.items()}
            for index, link in here.items():
                if link.mac.strip("0:"):
                    self._hardware.setdefault(link.mac, places[index])
            self._seen |= {row.address: places[row.link] for row in held if row.link in here and row.scope == "global"}

    def of(self, address: str) -> Owner | None:
        """Of an IP address."""
        return self._said.get(address) or self._seen.get(address)

    def hardware_text(self, address: str) -> str:
        """The owner's name of a hardware address, as ``0a:58:0a:f4:01:02``, or just that."""
        found = self._hardware.get(address)
        return found.short if found else address

    def addresses(self, owner: Owner) -> list[str]:
        """The IP addresses that somebody has."""
        return [address for address, name in self._said.items() if name == owner]

    def text(self, address: str) -> str:
        """The owner's name, or just the address."""
        found = self.of(address)
        if found is None:
            self.unknown.add(address)
            return address
        return found.short

    def __contains__(self, address: str) -> bool:
        return self.of(address) is not None


def _place(site: Site, interface: str) -> Owner:
    """A machine is known by what is plugged in, for the rest it is said which interface it is."""
    machine = site.spot.kind == MACHINE and interface in site.cables
    return Owner("node", site.name) if machine else Owner(INTERFACE, f"{site.name}/{interface}")


def _leases(node: Node) -> Iterator[Lease]:
    for family in FAMILIES:
        with contextlib.suppress(ValueError):  # annotations that make no sense
            if lease := lease_of(node, family):
                yield lease
