"""What kube-proxy does to a connection, in any mode: which port of which Service it is for, and which endpoints may get
it.  Pure.

The modes render the same `Snapshot`; where they differ about a connection's fate, a row of `_DIFFERENCES` says how.
"""

from collections.abc import Set
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from knet.inspect import desired
from knet.inspect.world import World
from knet.proxy.snapshot import Endpoints, ServicePort, Snapshot, usable_endpoints

#: by which of a Service's addresses it was asked, as kube-proxy's comments call it
CLUSTER_IP, EXTERNAL_IP, BALANCED, NODE_PORT = "cluster IP", "external IP", "loadbalancer IP", "node port"
REJECT, DROP = "reject", "drop"


class Translated(NamedTuple):
    """The fate of a connection to a Service."""

    port: ServicePort | None
    """None: the address is a Service's, but it has no such port"""
    by: str
    verdict: str = ""
    """reject or drop, or "" where it goes on to an endpoint"""
    reason: str = ""
    """of a verdict: "has no endpoints", as the rules' comments have it"""
    endpoints: Endpoints = ()
    """each has the same chance"""
    masquerade: bool = False
    """under the machine's own address, whichever endpoint it is"""

    def masquerades(self, source: str, endpoint: str) -> bool:
        """Whether the endpoint sees the machine instead of the client; a pod that reaches itself always does."""
        return self.masquerade or source == endpoint


class Mode(NamedTuple):
    """How a mode differs from the others."""

    refuses_its_own: bool = True
    """what the machine itself sends to an address outside of the cluster, where there is nobody to get it"""

    refuses_other_ports: bool = False
    """a port of a Service's address that the Service does not have: rejected, instead of sent to nobody"""
    node_ports_anywhere: bool = True
    """a node port is served on each address of the machine, not only on its own one"""
    firewall_first: bool = False
    """who may not come by the balancer's address is not told that nobody is there"""


_DIFFERENCES = {
    "iptables": Mode(refuses_its_own=False),
    "ipvs": Mode(refuses_other_ports=True),
    "nftables": Mode(refuses_other_ports=True, node_ports_anywhere=False, firewall_first=True),
}


class Services:
    """The Services as one machine's kube-proxy has them; made by `services`."""

    def __init__(self, snapshot: Snapshot, mode: Mode, own: Set[str]) -> None:
        self._snapshot = snapshot
        self._pods = ip_network(snapshot.cluster_cidr) if snapshot.cluster_cidr else None
        self._mode = mode
        self._own = own
        self._ports: dict[tuple[str, int, str], tuple[ServicePort, str]] = {}
        self._node_ports: dict[tuple[int, str], ServicePort] = {}
        self._virtual: set[str] = set()
        for port in snapshot.ports.values():
            protocol = port.protocol.lower()
            ways = (
                ((port.cluster_ip,), CLUSTER_IP),
                (port.external_ips, EXTERNAL_IP),
                (port.load_balancer_ips, BALANCED),
            )
            for addresses, by in ways:
                for address in addresses:
                    self._ports.setdefault((address, port.port, protocol), (port, by))
            self._virtual.add(port.cluster_ip)
            if port.node_port:
                self._node_ports[port.node_port, protocol] = port

    def translated(
        self, source: str, destination: str, number: int, protocol: str, from_here: bool = False
    ) -> Translated | None:
        """What becomes of a new connection; None for one that is to no Service.

        ``from_here``: a process of the machine itself has opened it.
        """
        if found := self._ports.get((destination, number, protocol)):
            decided = self._decide(*found, source, from_here)
            outside = from_here and decided.by != CLUSTER_IP
            silent = outside and decided.verdict == REJECT and not self._mode.refuses_its_own
            return None if silent else decided
        anywhere = self._mode.node_ports_anywhere or destination == self._snapshot.node_ip
        if destination in self._own and anywhere and (port := self._node_ports.get((number, protocol))):
            return self._decide(port, NODE_PORT, source, from_here)
        if destination in self._virtual and self._mode.refuses_other_ports:
            return Translated(None, CLUSTER_IP, REJECT, "has no such port")
        return None

    def _decide(self, port: ServicePort, by: str, source: str, from_here: bool) -> Translated:
        usable = usable_endpoints(port)
        pods = self._pods
        from_pod = pods is not None and ip_address(source) in pods
        fenced = by == BALANCED and port.firewalled and not self._admitted(port, source)
        if not usable.anywhere and not (fenced and self._mode.firewall_first):
            return Translated(port, by, REJECT, "has no endpoints")
        if by == CLUSTER_IP:
            endpoints, masquerade = (
                (usable.local if port.internal_local else usable.cluster),
                pods is not None and not from_pod,
            )
        elif fenced:
            return Translated(port, by, DROP, "traffic not accepted by loadBalancerSourceRanges")
        elif not port.external_local:
            endpoints, masquerade = usable.cluster, True
        elif from_pod or from_here:
            endpoints, masquerade = usable.cluster, from_here
        else:
            endpoints, masquerade = usable.local, False
        if not endpoints:
            return Translated(port, by, DROP, "has no local endpoints")
        return Translated(port, by, "", "", endpoints, masquerade)

    def _admitted(self, port: ServicePort, source: str) -> bool:
        ranges = [ip_network(row, strict=False) for row in port.source_ranges]
        own = self._snapshot.node_ip
        itself = source in port.load_balancer_ips and own and any(ip_address(own) in row for row in ranges)
        return bool(itself) or any(ip_address(source) in row for row in ranges)


def services(world: World, node: str, family: str) -> Services:
    """The Services as kube-proxy on that machine has them."""

    def make() -> Services:
        mode, own = _DIFFERENCES[world.settings.proxy], desired.own_addresses(world, node)
        return Services(desired.snapshot(world, node, family), mode, own)

    return world.once(("services", node, family), make)
