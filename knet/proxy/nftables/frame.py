"""What of the table is there whatever the Services are: sets, maps, base chains, and the rules that look things up.

Pure.  Upstream: pkg/proxy/nftables/proxier.go, setupNFTables.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

TABLE = "kube-proxy"
#: --iptables-masquerade-bit 14
MARK = "0x00004000"

#: rules by chain
Rules = Mapping[str, tuple[str, ...]]


class Family(NamedTuple):
    """How an address family is called in rules, and how it is numbered and measured in the kernel."""

    nfproto: int
    keyword: str
    address: str
    length: int


FAMILIES = {4: Family(2, "ip", "ipv4_addr", 4), 6: Family(10, "ip6", "ipv6_addr", 16)}


class Container(NamedTuple):
    """A set or map: its type, with ``{ip}`` for the family's keyword and ``{address}`` for its type of address.

    ``parts`` are the parts of a key: "a" an address, "p" a protocol, "s" a port.
    """

    name: str
    parts: str
    type: str
    comment: str

    @property
    def kind(self) -> str:
        return "map" if ":" in self.type else "set"


_SERVICE = "type {address} . inet_proto . inet_service : verdict"
_NODE_PORT = "type inet_proto . inet_service : verdict"
_ENDPOINTS = "type {address} . inet_proto . inet_service : {address} . inet_service"
_NODE_PORT_ENDPOINTS = "type inet_proto . inet_service : {address} . inet_service"

CONTAINERS = {
    row.name: row
    for row in (
        Container("cluster-ips", "a", "type {address}", "Active ClusterIPs"),
        Container("nodeport-ips", "a", "type {address}", "IPs that accept NodePort traffic"),
        Container("service-ips", "aps", _SERVICE, "ClusterIP, ExternalIP and LoadBalancer IP traffic"),
        Container("service-nodeports", "ps", _NODE_PORT, "NodePort traffic"),
        Container("no-endpoint-services", "aps", _SERVICE, "drop or reject packets to services with no endpoints"),
        Container("no-endpoint-nodeports", "ps", _NODE_PORT, "drop or reject packets to nodeports with no endpoints"),
        Container("firewall-ips", "aps", _SERVICE, "destinations that are subject to LoadBalancerSourceRanges"),
        Container("hairpin", "aa", "type {address} . {address}", "endpoints that may reach themselves"),
    )
}

#: maps of which there is one for each place in the list of endpoints, ``service-endpoints-0`` for all first ones
#: (A number as a part of the key would do with one map; but nft 1.0.6 does not take rules for such a map.)
NUMBERED = {
    row.name: row
    for row in (
        Container("service-endpoints", "aps", _ENDPOINTS, "endpoints"),
        Container("service-local-endpoints", "aps", _ENDPOINTS, "endpoints on this machine, for traffic policy Local"),
        Container("nodeport-endpoints", "ps", _NODE_PORT_ENDPOINTS, "endpoints"),
        Container("nodeport-local-endpoints", "ps", _NODE_PORT_ENDPOINTS, "endpoints on this machine"),
    )
}

#: chain → type, hook, priority.  All of type nat: only the first packet of a connection comes here, and the others,
#: which are nearly all, cost nothing.  (Upstream looks at each packet in chains of type filter, because kernels before
#: 5.9 cannot reject in prerouting.)
BASE_CHAINS = {
    "nat-prerouting": ("nat", "prerouting", -100),
    "nat-output": ("nat", "output", -100),
    "nat-postrouting": ("nat", "postrouting", 100),
}

_ARRIVALS = (
    "jump firewall-check",
    "jump services",
    # what has not been translated by now
    "jump service-endpoints-check",
    "jump nodeport-endpoints-check",
    "jump cluster-ips-check",
)
_RULES = {
    "nat-prerouting": _ARRIVALS,
    "nat-output": _ARRIVALS,
    "nat-postrouting": ("jump masquerading",),
    "services": (
        "{ip} daddr . meta l4proto . th dport vmap @service-ips",
        "{ip} daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
    ),
    "firewall-check": ("{ip} daddr . meta l4proto . th dport vmap @firewall-ips",),
    "service-endpoints-check": ("{ip} daddr . meta l4proto . th dport vmap @no-endpoint-services",),
    "nodeport-endpoints-check": (
        "{ip} daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports",
    ),
    "cluster-ips-check": ('{ip} daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"',),
    "reject-chain": ("reject",),
    "mark-for-masquerade": (f"meta mark set meta mark | {MARK}",),
    "masquerading": (
        "ct status dnat {ip} saddr . {ip} daddr @hairpin jump mark-for-masquerade",
        f"meta mark & {MARK} == 0 return",
        # cleared, so that the packet is not masqueraded again should it pass here inside a tunnel
        f"meta mark set meta mark ^ {MARK}",
        "masquerade fully-random",
    ),
}  # fmt: skip


def rules(family: Family) -> Rules:
    """The rules that never change, by chain."""
    return {chain: tuple(row.format(ip=family.keyword) for row in rows) for chain, rows in _RULES.items()}


def container(name: str) -> Container:
    """The row of a set or map, numbered or not."""
    return CONTAINERS.get(name) or NUMBERED[name.rpartition("-")[0]]


def declaration(row: Container, family: Family) -> str:
    """What a set or map is declared as."""
    kind = row.type.format(ip=family.keyword, address=family.address)
    return f'{{ {kind}; comment "{row.comment}"; }}'


def declarations(family: Family) -> Iterable[str]:
    """Commands that make the table, its sets and its base chains where they are not."""
    table = f"{family.keyword} {TABLE}"
    yield f'add table {table} {{ comment "rules for kube-proxy"; }}'
    for row in CONTAINERS.values():
        yield f"add {row.kind} {table} {row.name} {declaration(row, family)}"
    for chain, (kind, hook, priority) in BASE_CHAINS.items():
        yield f"add chain {table} {chain} {{ type {kind} hook {hook} priority {priority}; }}"


def key_length(row: Container, family: Family) -> int:
    """Bytes of a key: each part padded to 4."""
    return sum(family.length if part == "a" else 4 for part in row.parts)
