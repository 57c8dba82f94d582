"""Whose an address is: IP and hardware addresses by the names of pods, Services and machines.

Two sources, in this order: what the API says (`Names.learn`), which may be asked again when an address is new, and what
the kernel has on the interfaces that somebody looks at (`Names.see`): gateways on cni0, the tunnel's end, switches.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from knet.api.families import FAMILIES
from knet.api.objects import Node, Service
from knet.client import ApiError, Client, Unavailable
from knet.cni.bridge import mac_of
from knet.cni.lease import Lease, lease_of
from knet.inspect.inventory import PATIENCE
from knet.inspect.places import MACHINE, Site
from knet.inspect.world import addresses_of
from knet.kernel import addresses, links
from knet.kernel.netlink import Netlink
from knet.policy.population import NarrowPod

POD, SERVICE, VTEP, INTERFACE = "pod", "svc", "vtep", "interface"
#: a machine, also one that is no Node
NODE = "node"
#: of interfaces whose addresses are not the machine's own: every node has all Services' on it (IPVS)
_NOT_THEIRS = ("dummy",)


class Name(NamedTuple):
    """The owner of an address.  An interface's name is its place's, ``n1/cni0``; a VTEP's that of its Node."""

    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        """``default/web-0``, ``svc/default/web``, ``n1``, ``n1/cni0``"""
        words = [self.kind if self.kind == SERVICE else "", self.namespace, self.name]
        return "/".join(filter(None, words))


class Names:
    """Whose an address is."""

    def __init__(self) -> None:
        self._said: dict[str, Name] = {}
        self._seen: dict[str, Name] = {}
        self._hardware: dict[str, Name] = {}
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
        for node in nodes:
            name = Name(NODE, node.name)
            self._said |= {row.address: name for row in node.status.addresses if row.type != "Hostname"}
            for lease in _leases(node):
                if lease.vtep:
                    self._hardware[lease.vtep.VtepMAC] = Name(VTEP, node.name)
        for service in services:
            self._said |= dict.fromkeys(addresses_of(service), Name(SERVICE, service.name, service.namespace))
        for pod in sorted(pods, key=lambda pod: not pod.deleting):  # whose address was given away is leaving
            if not pod.spec.hostNetwork and not pod.over:
                found = {row.ip: Name(POD, pod.name, pod.namespace) for row in pod.status.podIPs}
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

    def of(self, address: str) -> Name | None:
        """Of an IP address."""
        return self._said.get(address) or self._seen.get(address)

    def of_hardware(self, address: str) -> Name | None:
        """Of a hardware address, as ``0a:58:0a:f4:01:02``."""
        return self._hardware.get(address)

    def addresses(self, owner: Name) -> list[str]:
        """The IP addresses that somebody has."""
        return [address for address, name in self._said.items() if name == owner]

    def text(self, address: str) -> str:
        """The owner's name, or just the address."""
        found = self.of(address)
        if found is None:
            self.unknown.add(address)
            return address
        return str(found)

    def __contains__(self, address: str) -> bool:
        return self.of(address) is not None


def _place(site: Site, interface: str) -> Name:
    """A machine is known by what is plugged in, for the rest it is said which interface it is."""
    machine = site.spot.kind == MACHINE and interface in site.cables
    return Name(NODE, site.name) if machine else Name(INTERFACE, f"{site.name}/{interface}")


def _leases(node: Node) -> Iterator[Lease]:
    for family in FAMILIES:
        with contextlib.suppress(ValueError):  # annotations that make no sense
            if lease := lease_of(node, family):
                yield lease
