"""Policies and pods → the table that isolates this machine's pods.  Pure.

::

    forward-egress, output-egress   ── egress  ── saddr ──▸ egress-of-1a2b  ─┬─ egress/default/allow-dns ──▸ accept
      priority filter+10                                                    ├─ egress/default/deny-all
                                                                            └─ log, drop-egress
    forward-ingress, output-ingress ── ingress ── daddr ──▸ ingress-of-9f3e ─┬─ ingress/default/allow-web ──▸ accept
      priority filter+11                                                    └─ log, drop-ingress

- Two base chains at each hook, because ``accept`` ends just the one that it is said in: what may leave is still asked
  whether it may enter.  Both come after the filter table, so that kube-proxy's REJECT and DNAT have had their say: a
  policy sees the pod behind a Service, never the Service.
- What the machine itself sends to a pod (the kubelet's probes), and what a pod sends to its machine, is never held up,
  as upstream demands: of the output hook just what has another's source counts, which is what IPVS has translated, and
  the input hook is left alone.  Packets between two pods on one bridge get to the forward hook by br_netfilter.
- ``egress-of-…`` belongs to a set of policies, and all pods that just these isolate share it: one more pod is one more
  element.  Policies' chains name peers by sets, so they change only when the policy does.
- Answers pass by their connection's state.  Neighbour discovery is no traffic that a policy could mean.
- drop-… remembers for ten minutes who was refused what, for `knet drops`; log copies the packet to an nflog group,
  which costs a look-up where nobody listens.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from knet.policy.policies import DIRECTIONS, INGRESS, NamedPort, Policy, Rule, Selection
from knet.policy.population import Population
from knet.policy.table import LOG_GROUP, Set, Table

#: a name in nft may have 255 bytes, but so many are readable
_LONGEST = 120
#: NF_LOG_PREFIXLEN without the final zero
_LOG_PREFIX = 127

_CONNECTION = "ct state established,related accept"
_DISCOVERY = (
    "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect } accept"
)
_WITH_PORTS = "{ tcp, udp, sctp }"
#: after kube-proxy's filter chains (0)
_PRIORITY = {"egress": 10, "ingress": 11}
#: hook → what is let pass before anything is asked
_HOOKS: dict[str, tuple[str, ...]] = {"forward": (), "output": ("fib saddr type local accept",)}


class Family(NamedTuple):
    """How a version of IP is spelled."""

    version: str
    keyword: str
    type: str


IPV4, IPV6 = Family("ipv4", "ip", "ipv4_addr"), Family("ipv6", "ip6", "ipv6_addr")
FAMILIES = (IPV4, IPV6)


def family_of(address: str) -> Family:
    return IPV6 if ":" in address else IPV4


class Compiler:
    """Makes tables, and remembers the chains of each policy: from one change to the next nearly all stay the same."""

    def __init__(self) -> None:
        #: chain → the policy that it was made of, for which families, and its rules
        self._known: dict[str, tuple[Policy, tuple[Family, ...], tuple[str, ...]]] = {}

    def table(self, policies: Iterable[Policy], population: Population) -> Table:
        """The table for the population's local pods; an empty one where none is isolated."""
        isolated = _Isolated(policies, population)
        if not isolated.chains:
            return Table()
        known, self._known = self._known, {}
        families = isolated.families
        used = _Used()
        chains: dict[str, tuple[str, ...]] = {}
        for policy, direction in isolated.policies:
            name, allowed = chain_name(direction, policy), policy.rules[direction]
            former = known.get(name)
            if former is None or former[0] is not policy or former[1] != families:
                former = policy, families, _policy_chain(allowed, direction, families)
            self._known[name], chains[name] = former, former[2]
            used.add(allowed)
        for direction in isolated.directions:
            chains |= _frame(direction, families)
        for name, (direction, isolating) in isolated.chains.items():
            jumps = (f"jump {chain_name(direction, policy)}" for policy in isolating)
            log = f'log prefix "{log_prefix(direction, isolating)}" group {LOG_GROUP} snaplen 128'
            chains[name] = (*jumps, log, f"goto drop-{direction}")
        for direction in isolated.directions:
            chains |= _entrance(direction, families)
        return Table(isolated.sets() | used.sets(population, families), chains)


class _Isolated:
    """Which policies isolate which of this machine's pods, in which direction."""

    def __init__(self, policies: Iterable[Policy], population: Population) -> None:
        by_namespace: dict[str, list[Policy]] = defaultdict(list)
        for policy in sorted(policies, key=lambda row: (row.namespace, row.name)):
            by_namespace[policy.namespace].append(policy)
        #: chain → what it is made of
        self.chains: dict[str, tuple[str, tuple[Policy, ...]]] = {}
        #: (direction, address) → chain
        self._subjects: dict[tuple[str, str], str] = {}
        taken = population.taken
        for group in population.groups():
            here = [
                row for row in group.members if row.local and not (row.leaving and taken.intersection(row.addresses))
            ]
            selecting = [row for row in by_namespace[group.namespace] if here and row.pods.matches(group.labels)]
            for direction in DIRECTIONS:
                isolating = tuple(row for row in selecting if direction in row.rules)
                if not isolating:
                    continue
                name = f"{direction}-of-{_digest(*map(str, isolating))}"
                self.chains[name] = direction, isolating
                self._subjects |= {(direction, address): name for row in here for address in row.addresses}

    @property
    def directions(self) -> list[str]:
        return [row for row in DIRECTIONS if any(row == direction for direction, _ in self.chains.values())]

    @property
    def families(self) -> tuple[Family, ...]:
        found = {family_of(address) for _, address in self._subjects}
        return tuple(row for row in FAMILIES if row in found)

    @property
    def policies(self) -> list[tuple[Policy, str]]:
        """Each with the direction that it is needed for, in the order of names."""
        found = {
            chain_name(direction, policy): (policy, direction)
            for direction, policies in self.chains.values()
            for policy in policies
        }
        return [found[name] for name in sorted(found)]

    def sets(self) -> dict[str, Set]:
        """Who is isolated, who talks to himself, and the memory of what was refused."""
        found: dict[str, Set] = {}
        for family in self.families:
            version, kind = family.version, family.type
            mine = {key: name for key, name in self._subjects.items() if family_of(key[1]) == family}
            for direction in self.directions:
                elements = (f"{address} : goto {name}" for (way, address), name in mine.items() if way == direction)
                found[f"{direction}-{version}"] = Set(f"{kind} : verdict", frozenset(elements))
            selves = frozenset(f"{address} . {address}" for _, address in mine)
            found[f"self-{version}"] = Set(f"{kind} . {kind}", selves)
            for direction in self.directions:
                refused = f"{kind} . {kind} . inet_proto"
                found[f"dropped-{direction}-{version}"] = Set(f"{refused} . inet_service", memory=True)
                found[f"dropped-{direction}-{version}-other"] = Set(refused, memory=True)
        return found


class _Used:
    """The selections and the named ports that rules name."""

    def __init__(self) -> None:
        self._selections: dict[Selection, None] = {}
        self._ports: dict[NamedPort, None] = {}

    def add(self, rules: Iterable[Rule]) -> None:
        for rule in rules:
            self._selections |= dict.fromkeys(rule.selections or ())
            self._ports |= dict.fromkeys(rule.ports.named if rule.ports else ())

    def sets(self, population: Population, families: tuple[Family, ...]) -> dict[str, Set]:
        found: dict[str, Set] = {}
        for selection in self._selections:
            addresses = [address for row in population.select(selection) for address in row.addresses]
            for family in families:
                mine = frozenset(address for address in addresses if family_of(address) == family)
                found[peers_set(selection, family)] = Set(family.type, mine, str(selection)[:100])
        for port in self._ports:
            offers = [(address, number) for row, number in population.offering(port) for address in row.addresses]
            for family in families:
                elements = frozenset(f"{at} . {number}" for at, number in offers if family_of(at) == family)
                found[port_set(port, family)] = Set(f"{family.type} . inet_service", elements)
        return dict(sorted(found.items()))


def _entrance(direction: str, families: tuple[Family, ...]) -> dict[str, tuple[str, ...]]:
    """From the hooks to the pods' policies."""
    end = "daddr" if direction == INGRESS else "saddr"
    chain = (
        _CONNECTION,
        *((_DISCOVERY,) if IPV6 in families else ()),
        *(f"{row.keyword} saddr . {row.keyword} daddr @self-{row.version} accept" for row in families),
        *(f"{row.keyword} {end} vmap @{direction}-{row.version}" for row in families),
    )
    bases = {
        f"{hook}-{direction}": (
            f"type filter hook {hook} priority filter + {_PRIORITY[direction]}; policy accept;",
            *first,
            f"jump {direction}",
        )
        for hook, first in _HOOKS.items()
    }
    return {direction: chain, **bases}


def _frame(direction: str, families: tuple[Family, ...]) -> dict[str, tuple[str, ...]]:
    """Where refused packets end."""
    rules: list[str] = []
    for row in families:
        memory = f"dropped-{direction}-{row.version}"
        ends = f"{row.keyword} saddr . {row.keyword} daddr . meta l4proto"
        rules.append(f"meta l4proto {_WITH_PORTS} update @{memory} {{ {ends} . th dport counter }}")
        rules.append(f"meta l4proto != {_WITH_PORTS} update @{memory}-other {{ {ends} counter }}")
    return {f"drop-{direction}": (*rules, "counter drop")}


def _policy_chain(rules: Iterable[Rule], direction: str, families: tuple[Family, ...]) -> tuple[str, ...]:
    """What the policy allows; whoever is not in it returns."""
    return tuple(dict.fromkeys(line for rule in rules for line in _allowing(rule, direction, families)))


def _allowing(rule: Rule, direction: str, families: tuple[Family, ...]) -> Iterable[str]:
    for peer in _peers(rule, "saddr" if direction == INGRESS else "daddr", families):
        if rule.ports is None:
            yield f"{peer}accept"
            continue
        if rule.ports.ranges:
            ports = ", ".join(f"{protocol} . {_range(*row)}" for protocol, row in rule.ports.ranges)
            yield f"{peer}meta l4proto . th dport {{ {ports} }} accept"
        for port in rule.ports.named:
            for row in families:
                if not peer or peer.startswith(f"{row.keyword} "):
                    where = f"{row.keyword} daddr . th dport @{port_set(port, row)}"
                    yield f"{peer}meta l4proto {port.protocol} {where} accept"


def _peers(rule: Rule, end: str, families: tuple[Family, ...]) -> Iterable[str]:
    """Matches of which each is sufficient, with a blank at the end; one that is empty for everybody."""
    if rule.selections is None:
        yield ""
        return
    for row in families:
        for selection in rule.selections:
            yield f"{row.keyword} {end} @{peers_set(selection, row)} "
        blocks = [str(block) for block in rule.blocks if family_of(str(block)) == row]
        if blocks:
            yield f"{row.keyword} {end} {{ {', '.join(blocks)} }} "


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def chain_name(direction: str, policy: Policy) -> str:
    """``ingress/default/allow-web``; shortened, with a digest of the whole, where a name is very long."""
    name = f"{direction}/{policy}"
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}-{_digest(name)}"


def peers_set(selection: Selection, family: Family) -> str:
    return f"pods-{_digest(repr(selection))}-{family.version}"


def port_set(port: NamedPort, family: Family) -> str:
    return f"port-{port.protocol}-{port.name}-{family.version}"


def log_prefix(direction: str, policies: Iterable[Policy]) -> str:
    """``ingress default/deny-all default/allow-web``: the names that there is room for, and how many there are more."""
    words = [str(policy) for policy in policies]
    for shown in range(len(words), 0, -1):
        more = f" +{len(words) - shown}" if shown < len(words) else ""
        text = f"{direction} {' '.join(words[:shown])}{more}"
        if len(text) <= _LOG_PREFIX:
            return text
    return f"{direction} {words[0]}"[:_LOG_PREFIX]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
