"""What NetworkPolicies say, as values: defaults resolved, selectors ready to be asked.  Pure.

``spec.policyTypes`` decides what a policy is about; a server that gives defaults has filled it in, and where it has
not, what upstream's defaults are holds here, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Any, NamedTuple

from knet.api.networking import IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort
from knet.api.selectors import EVERYTHING, Selector, from_label_selector

INGRESS, EGRESS = "ingress", "egress"
DIRECTIONS = (EGRESS, INGRESS)  # in the order in which packets meet them

Network = IPv4Network | IPv6Network
#: first and last port
Range = tuple[int, int]


class Selection(NamedTuple):
    """Pods as peers: those that ``pods`` matches in the policy's own namespace, or in those that match.

    ``namespace`` is "" where ``namespaces`` decides.
    """

    namespace: str
    namespaces: Selector
    pods: Selector

    def __str__(self) -> str:
        where = self.namespace or f"namespaces {_text(self.namespaces)}"
        return f"{where}: pods {_text(self.pods)}"


class NamedPort(NamedTuple):
    """A port that each destination pod gives a number to."""

    protocol: str
    name: str


@dataclass(frozen=True)
class Ports:
    """Ports by protocol (tcp, udp, sctp) as disjoint ranges in ascending order, and named ones."""

    ranges: tuple[tuple[str, Range], ...] = ()
    named: tuple[NamedPort, ...] = ()


@dataclass(frozen=True)
class Rule:
    """What is allowed: any of the peers (None: anybody, anywhere) at any of the ports (None: every packet)."""

    selections: tuple[Selection, ...] | None
    blocks: tuple[Network, ...]
    ports: Ports | None


@dataclass(frozen=True)
class Policy:
    """One policy; ``rules`` has an entry for each direction that it isolates its pods in."""

    namespace: str
    name: str
    revision: str
    pods: Selector
    rules: dict[str, tuple[Rule, ...]]

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def read(policy: NetworkPolicy) -> Policy:
    """The meaning of an object that the API server has let pass; ValueError for one that it would not."""
    spec = policy.spec
    types = spec.policyTypes or (("Ingress", "Egress") if spec.egress else ("Ingress",))
    rules = {
        direction: tuple(_rule(row.peers, row.ports, policy.namespace) for row in rows)
        for direction, rows in ((EGRESS, spec.egress), (INGRESS, spec.ingress))
        if direction.capitalize() in types
    }
    selector = from_label_selector(spec.podSelector)
    return Policy(policy.namespace, policy.name, policy.metadata.resourceVersion, selector, rules)


def _rule(peers: tuple[NetworkPolicyPeer, ...], ports: tuple[NetworkPolicyPort, ...], namespace: str) -> Rule:
    selections = [_selection(peer, namespace) for peer in peers if peer.ipBlock is None]
    blocks = [network for peer in peers if peer.ipBlock is not None for network in networks(peer.ipBlock)]
    return Rule(
        tuple(dict.fromkeys(selections)) if peers else None, _collapsed(blocks), _ports(ports) if ports else None
    )


def _selection(peer: NetworkPolicyPeer, namespace: str) -> Selection:
    pods = EVERYTHING if peer.podSelector is None else from_label_selector(peer.podSelector)
    if peer.namespaceSelector is None:
        return Selection(namespace, EVERYTHING, pods)
    return Selection("", from_label_selector(peer.namespaceSelector), pods)


def networks(block: IPBlock) -> list[Network]:
    """A block without its exceptions.  Bits of a host are overlooked, as by the API server."""
    left: list[Network] = [ip_network(block.cidr, strict=False)]
    for text in block.excluded:
        hole: Any = ip_network(text, strict=False)
        rest: list[Network] = []
        for network in left:
            whole: Any = network
            if whole.version != hole.version or not whole.overlaps(hole):
                rest.append(network)
            elif hole.subnet_of(whole):
                rest += whole.address_exclude(hole)
        left = rest
    return left


def _collapsed(blocks: list[Network]) -> tuple[Network, ...]:
    """In ascending order, without overlaps, IPv4 first."""
    by_version: list[list[Any]] = [[block for block in blocks if block.version == version] for version in (4, 6)]
    return tuple(network for rows in by_version for network in collapse_addresses(rows))


def _ports(ports: Iterable[NetworkPolicyPort]) -> Ports:
    ranges: dict[str, list[Range]] = {}
    named: list[NamedPort] = []
    for row in ports:
        protocol = row.protocol.lower()
        if isinstance(row.port, str):
            named.append(NamedPort(protocol, row.port))
        else:
            whole = row.port is None
            first = 0 if row.port is None else row.port
            ranges.setdefault(protocol, []).append((first, 65535 if whole else row.endPort or first))
    merged = tuple((protocol, row) for protocol in sorted(ranges) for row in merge(ranges[protocol]))
    return Ports(merged, tuple(sorted(set(named))))


def merge(ranges: Iterable[Range]) -> list[Range]:
    """The same ports in disjoint ranges, in ascending order."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _text(selector: Selector) -> str:
    """As one would write it behind ``kubectl get pods -l``."""
    words = []
    for row in selector.requirements:
        values = ",".join(row.values)
        match row.operator:
            case "In" if len(row.values) == 1:
                words.append(f"{row.key}={values}")
            case "In" | "NotIn":
                words.append(f"{row.key} {row.operator.lower()} ({values})")
            case _:
                words.append(row.key if row.operator == "Exists" else f"!{row.key}")
    return ",".join(words) or "all"
