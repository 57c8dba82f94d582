"""Upstream's sets of addresses and ports, by which the fixed rules know what belongs to Services.  Pure.

Those of IPv6 are called KUBE-6-….  A set's comment is what its rules are commented with.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from knet.proxy.snapshot import ServicePort, Snapshot


class IPSet(NamedTuple):
    """A set as ipset(8) makes it; ``match`` says which parts of a packet stand for an entry."""

    name: str
    kind: str
    match: str
    comment: str


LOOP_BACK = "KUBE-LOOP-BACK"
CLUSTER_IP = "KUBE-CLUSTER-IP"
EXTERNAL_IP = "KUBE-EXTERNAL-IP"
EXTERNAL_IP_LOCAL = "KUBE-EXTERNAL-IP-LOCAL"
LOAD_BALANCER = "KUBE-LOAD-BALANCER"
LOAD_BALANCER_FW = "KUBE-LOAD-BALANCER-FW"
LOAD_BALANCER_LOCAL = "KUBE-LOAD-BALANCER-LOCAL"
SOURCE_IP = "KUBE-LOAD-BALANCER-SOURCE-IP"
SOURCE_CIDR = "KUBE-LOAD-BALANCER-SOURCE-CIDR"
NODE_PORT = {"TCP": "KUBE-NODE-PORT-TCP", "UDP": "KUBE-NODE-PORT-UDP", "SCTP": "KUBE-NODE-PORT-SCTP-HASH"}
NODE_PORT_LOCAL = {
    "TCP": "KUBE-NODE-PORT-LOCAL-TCP",
    "UDP": "KUBE-NODE-PORT-LOCAL-UDP",
    "SCTP": "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
}
HEALTH_CHECK = "KUBE-HEALTH-CHECK-NODE-PORT"
IPVS_IPS = "KUBE-IPVS-IPS"

_ADDRESS_PORT, _PORT = ("hash:ip,port", "dst,dst"), ("bitmap:port", "dst")
_HAIRPIN, _SOURCE = ("hash:ip,port,ip", "dst,dst,src"), ("hash:ip,port,net", "dst,dst,src")
_OF, _PORT_OF = "Kubernetes service", "Kubernetes nodeport"

SETS: Mapping[str, IPSet] = {
    name: IPSet(name, *shape, comment)
    for name, shape, comment in (
        (LOOP_BACK, _HAIRPIN, "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose"),
        (CLUSTER_IP, _ADDRESS_PORT, f"{_OF} cluster ip + port for masquerade purpose"),
        (EXTERNAL_IP, _ADDRESS_PORT, f"{_OF} external ip + port for masquerade and filter purpose"),
        (EXTERNAL_IP_LOCAL, _ADDRESS_PORT, f"{_OF} external ip + port with externalTrafficPolicy=local"),
        (LOAD_BALANCER, _ADDRESS_PORT, f"{_OF} lb portal"),
        (LOAD_BALANCER_FW, _ADDRESS_PORT, f"{_OF} load balancer ip + port for load balancer with sourceRange"),
        (LOAD_BALANCER_LOCAL, _ADDRESS_PORT, f"{_OF} load balancer ip + port with externalTrafficPolicy=local"),
        (SOURCE_IP, _HAIRPIN, f"{_OF} load balancer ip + port + source IP for packet filter purpose"),
        (SOURCE_CIDR, _SOURCE, f"{_OF} load balancer ip + port + source cidr for packet filter purpose"),
        (NODE_PORT["TCP"], _PORT, f"{_PORT_OF} TCP port for masquerade purpose"),
        (NODE_PORT_LOCAL["TCP"], _PORT, f"{_PORT_OF} TCP port with externalTrafficPolicy=local"),
        (NODE_PORT["UDP"], _PORT, f"{_PORT_OF} UDP port for masquerade purpose"),
        (NODE_PORT_LOCAL["UDP"], _PORT, f"{_PORT_OF} UDP port with externalTrafficPolicy=local"),
        (NODE_PORT["SCTP"], _ADDRESS_PORT, f"{_PORT_OF} SCTP port for masquerade purpose with type 'hash ip:port'"),
        (
            NODE_PORT_LOCAL["SCTP"],
            _ADDRESS_PORT,
            f"{_PORT_OF} SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
        ),
        (HEALTH_CHECK, _PORT, "Kubernetes health check node port"),
        (IPVS_IPS, ("hash:ip", "dst"), "Kubernetes IPVS IPs"),
    )
}

#: entries by the set's (IPv4) name; all sets are there, if empty
Contents = Mapping[str, frozenset[str]]


def kernel_name(name: str, family: int) -> str:
    """What a set is called in the kernel, which takes 31 characters."""
    return name if family == 4 else name.replace("KUBE-", "KUBE-6-", 1)[:31]


def contents(snapshot: Snapshot, node_addresses: Iterable[str], bound: Iterable[str]) -> Contents:
    """Which entries each set has; ``bound`` are the addresses on kube-ipvs0."""
    found: dict[str, set[str]] = defaultdict(set)
    addresses = list(node_addresses)
    for port in snapshot.ports.values():
        for name, entry in _entries(port, addresses, snapshot.node_ip):
            found[name].add(entry)
    found[IPVS_IPS] |= set(bound)
    return {name: frozenset(found[name]) for name in SETS}


def _entries(port: ServicePort, node_addresses: list[str], node_ip: str) -> Iterator[tuple[str, str]]:
    protocol, local = port.protocol.lower(), port.external_local
    for endpoint in port.endpoints:
        if endpoint.local:
            yield LOOP_BACK, f"{endpoint.ip},{protocol}:{endpoint.port},{endpoint.ip}"
    yield CLUSTER_IP, f"{port.cluster_ip},{protocol}:{port.port}"
    for address in port.external_ips:
        yield EXTERNAL_IP_LOCAL if local else EXTERNAL_IP, f"{address},{protocol}:{port.port}"
    for address in port.load_balancer_ips:
        entry = f"{address},{protocol}:{port.port}"
        yield LOAD_BALANCER, entry
        if local:
            yield LOAD_BALANCER_LOCAL, entry
        if port.firewalled:
            yield LOAD_BALANCER_FW, entry
            for source in _networks(port.source_ranges):
                yield SOURCE_CIDR, f"{entry},{source}"
            if any(ip_address(node_ip) in ip_network(row, strict=False) for row in port.source_ranges if node_ip):
                # where the machine holds the balancer's address itself, its own packets have that as source
                yield SOURCE_IP, f"{entry},{address}"
    if port.node_port:
        names = (NODE_PORT, NODE_PORT_LOCAL) if local else (NODE_PORT,)
        for by_protocol in names:
            for entry in _node_port(port, node_addresses):
                yield by_protocol[port.protocol], entry
    if port.health_check_port:
        yield HEALTH_CHECK, str(port.health_check_port)


def _node_port(port: ServicePort, node_addresses: list[str]) -> list[str]:
    """A bitmap holds numbers, and the kernel looks for them in TCP and UDP only."""
    if port.protocol == "SCTP":
        return [f"{address},sctp:{port.node_port}" for address in node_addresses]
    return [str(port.node_port)]


def _networks(ranges: Iterable[str]) -> Iterator[str]:
    """As ipset prints them: without a full-length prefix; and everything in two halves, as it takes no prefix of 0."""
    for text in ranges:
        network = ip_network(text, strict=False)
        for part in network.subnets() if network.prefixlen == 0 else (network,):
            yield str(part.network_address) if part.prefixlen == part.max_prefixlen else str(part)


def restore_text(wanted: Contents, held: Mapping[str, Set[str]], family: int) -> str:
    """The lines that bring the kernel's sets, ``held`` by their names there, to ``wanted``."""
    lines = []
    for name, entries in wanted.items():
        known = held.get(kernel_name(name, family))
        if known is None:
            lines.append(f"create {kernel_name(name, family)} {_options(SETS[name], family)}")
        lines += [f"add {kernel_name(name, family)} {entry}" for entry in sorted(entries - (known or set()))]
        lines += [f"del {kernel_name(name, family)} {entry}" for entry in sorted((known or set()) - entries)]
    return "".join(line + "\n" for line in lines)


def _options(made: IPSet, family: int) -> str:
    if made.kind == "bitmap:port":
        return f"{made.kind} range 0-65535"
    return f"{made.kind} family {'inet' if family == 4 else 'inet6'} hashsize 1024 maxelem 65536"
