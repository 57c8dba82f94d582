"""What the kernel of one site says about a packet: its route, who has the next hop's address, where that lives.

Asked after the probe, by the same questions that the kernel asked itself; nothing is changed by them.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from knet.inspect.trace.evidence import Lookups
from knet.inspect.trace.hops import Packet
from knet.kernel import links, neighbours, routes, sysctl
from knet.kernel.links import Link
from knet.kernel.namespaces import Namespaces, entered
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.netlink import Netlink
from knet.kernel.netlink_wire import family
from knet.kernel.routes import Route

#: what decides whether a packet goes on
SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.ipv4.conf.all.rp_filter",
)
_LISTENING = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; UDP's sockets without a peer are "closed"


class Asked:
    """One site's kernel; interfaces are read once.  To be closed."""

    def __init__(self, site: str, netns: int) -> None:
        self.site = site
        self._spaces = Namespaces({"net": netns})
        self._netlink = Netlink(netns)
        self.links: dict[str, Link] = {link.name: link for link in links.list_links(self._netlink)}
        self._names = {link.index: name for name, link in self.links.items()}

    def close(self) -> None:
        self._netlink.close()

    def bridge_of(self, interface: str) -> str:
        """The bridge that an interface is a port of, "" for none."""
        link = self.links.get(interface)
        return self._names.get(link.master, "") if link and link.master else ""

    def about(self, packet: Packet, incoming: str = "", sent_to: str = "") -> Lookups:
        """For a packet that came in by that interface, or starts here; it left for that hardware address, if it did."""
        link = self.links.get(incoming)
        source = packet.source if link else ""
        rows = routes.lookup(self._netlink, packet.destination, source=source, incoming=link.index if link else 0)
        if link and not any(row.interface for row in rows):  # which a machine that does not forward says, too
            rows = routes.lookup(self._netlink, packet.destination)
        route = self._taken(rows, sent_to)
        if route and route.type in routes.REFUSING:
            route = routes.refusing(self._netlink, route)
        hop = (route.gateway or packet.destination) if route and route.interface and route.type == "unicast" else ""
        neighbour = self.neighbour(hop, route.interface) if route and hop else None
        return Lookups(
            site=self.site,
            packet=packet,
            route=route,
            hop=hop,
            neighbour=neighbour,
            fdb=self._beyond(route.interface, neighbour.mac) if route and neighbour and neighbour.mac else None,
            links=self.links,
        )

    def further(self, found: Lookups) -> Lookups:
        """With what only a failure asks for: settings, the way back, and who listens (for which the kernel looks
        through all connections of all namespaces: 20 ms)."""
        local = found.route is not None and found.route.type == "local"
        answer = self.about(found.packet.reversed).route if local and found.packet.source else None
        return replace(found, sysctls=self._sysctls(), answer=answer, listening=self._listening(found.packet))

    def _taken(self, rows: Sequence[Route], sent_to: str) -> Route | None:
        """Of several next hops, the one that has the hardware address."""
        for row in rows if len(rows) > 1 else ():
            neighbour = self.neighbour(row.gateway, row.interface)
            if neighbour and neighbour.mac == sent_to:
                return row
        return rows[0] if rows else None

    def neighbour(self, address: str, interface: str) -> Neighbour | None:
        """The entry for an address on an interface."""
        with contextlib.suppress(OSError):  # the interface has gone
            rows = neighbours.list_neighbours(self._netlink, interface, family(address))
            return next((row for row in rows if row.address == address), None)
        return None

    def _beyond(self, interface: str, mac: str) -> FdbEntry | None:
        """Where a hardware address lives, behind a tunnel's device or a bridge."""
        kind = self.links[interface].kind if interface in self.links else ""
        with contextlib.suppress(OSError):
            if kind == "vxlan":
                rows = neighbours.list_fdb(self._netlink, interface)
                return next((row for row in rows if row.mac == mac and row.destination), None)
            if kind == "bridge":
                rows = neighbours.list_fdb(self._netlink, bridge=interface)
                return next((row for row in rows if row.mac == mac and row.interface != interface), None)
        return None

    def _sysctls(self) -> dict[str, str]:
        found = {}
        with entered(self._spaces):
            for name in SYSCTLS:
                with contextlib.suppress(OSError):  # the kernel, or its module, is not there
                    found[name] = sysctl.read(name)
        return found

    def _listening(self, packet: Packet) -> frozenset[int]:
        if packet.protocol not in _LISTENING:
            return frozenset()
        with entered(self._spaces):
            tables = [Path(f"/proc/thread-self/net/{packet.protocol}{six}") for six in ("", "6")]
            rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
        return frozenset(int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTENING[packet.protocol])
