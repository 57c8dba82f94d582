"""Walks packets through nft text, so that tests can ask what happens instead of how rules are spelled.

Understands what kube-proxy writes, and raises at anything else: a rule the walker passes over would prove nothing.
All branches of ``numgen random`` are followed, each with its probability.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from packets import Outcome, Packet

_BASE = re.compile(r"add chain ip6? kube-proxy (\S+) { type (\w+) hook (\w+) priority (-?\d+); }")
_RULE = re.compile(r"add rule ip6? kube-proxy (\S+) (.*)")
_ELEMENTS = re.compile(r"add element ip6? kube-proxy (\S+) { (.*) }")
_DECLARED = re.compile(r"add (?:table|set|map|chain) .*|flush chain .*")
_COMMENT = re.compile(r' comment "[^"]*"')
_PLACES = re.compile(r"(\d+) : goto ([^ ,]+)")


@dataclass(frozen=True)
class _Hook:
    priority: int
    chain: str


class Ruleset:
    """Rules as text, the addresses that are this machine's own, and the affinity sets that a client stands in."""

    def __init__(self, text: str, local: set[str] = frozenset(), remembered: set[str] = frozenset()) -> None:
        self._hooks: dict[str, list[_Hook]] = defaultdict(list)
        self._chains: dict[str, list[str]] = defaultdict(list)
        self._elements: dict[str, dict[str, str]] = defaultdict(dict)
        self._local = {"127.0.0.1", *local}
        self._remembered = remembered
        for line in text.splitlines():
            if base := _BASE.fullmatch(line):
                self._hooks[base[3]].append(_Hook(int(base[4]), base[1]))
            elif rule := _RULE.fullmatch(line):
                self._chains[rule[1]].append(_COMMENT.sub("", rule[2]))
            elif added := _ELEMENTS.fullmatch(line):
                for one in _COMMENT.sub("", added[2]).split(", "):
                    key, _, value = one.partition(" : ")
                    assert key not in self._elements[added[1]], f"two elements {key}"
                    self._elements[added[1]][key] = value
            elif not _DECLARED.fullmatch(line):
                raise ValueError(f"the walker does not know {line}")

    def forwarded(self, packet: Packet) -> dict[Outcome, float]:
        """A packet that comes in over an interface: what becomes of it, and how likely."""
        return self._outcomes("prerouting", packet)

    def sent(self, packet: Packet) -> dict[Outcome, float]:
        """A packet of a process on this machine."""
        return self._outcomes("output", packet)

    def _outcomes(self, first: str, packet: Packet) -> dict[Outcome, float]:
        outcomes: dict[Outcome, float] = defaultdict(float)
        for verdict, last, chance in self._hook(first, packet):
            outcomes[Outcome(f"{last.destination}:{last.port}", verdict == "masquerade", _OUTCOMES[verdict])] += chance
        return dict(outcomes)

    def _hook(self, hook: str, packet: Packet, start: int = 0) -> Iterator[tuple[str, Packet, float]]:
        """(verdict, packet, chance) for each way through the chains of a hook and of those after it."""
        chains = [row.chain for row in sorted(self._hooks[hook], key=lambda row: row.priority)]
        if start == len(chains):
            after = {"prerouting": "forward", "forward": "postrouting", "output": "postrouting"}.get(hook)
            if hook == "prerouting" and packet.destination in self._local:
                after = "input"
            if after is None:
                yield "accept", packet, 1.0
            else:
                yield from self._hook(after, packet)
            return
        for verdict, reached, chance in self._rules(chains[start], 0, packet):
            if verdict in ("", "return", "dnat", "accept"):
                for final, last, rest in self._hook(hook, reached, start + 1):
                    yield final, last, chance * rest
            else:
                yield verdict, reached, chance

    def _rules(self, chain: str, place: int, packet: Packet) -> Iterator[tuple[str, Packet, float]]:
        """The ways through a chain; "" is its end."""
        if place == len(self._chains[chain]):
            yield "", packet, 1.0
            return
        for verdict, reached, chance in self._rule(self._chains[chain][place], packet):
            if verdict:
                yield verdict, reached, chance
            else:
                for final, last, rest in self._rules(chain, place + 1, reached):
                    yield final, last, chance * rest

    def _rule(self, rule: str, packet: Packet) -> Iterator[tuple[str, Packet, float]]:
        """What one rule does; "" goes on with the next one."""
        while rule:
            for pattern, holds in _MATCHES:
                if found := re.match(pattern + r"(?: |$)", rule):
                    if not holds(self, packet, *found.groups()):
                        yield "", packet, 1.0
                        return
                    rule = rule[found.end() :]
                    break
            else:
                for pattern, effect in _STATEMENTS:
                    if found := re.fullmatch(pattern, rule):
                        yield from effect(self, packet, *found.groups())
                        return
                raise ValueError(f"the walker does not know {rule}")
        yield "", packet, 1.0

    # ---- matches ------------------------------------------------------------------------------------------------

    def _address(self, packet: Packet, side: str, negated: str | None, value: str) -> bool:
        address = packet.source if side == "saddr" else packet.destination
        if value.startswith("@affinity-"):
            held = value[1:] in self._remembered
        elif value.startswith("@"):
            held = address in self._elements[value[1:]]
        else:
            held = any(ip_address(address) in ip_network(one) for one in value.strip("{ }").split(", "))
        return held == (negated is None)

    def _key(self, packet: Packet, with_address: str | None) -> str:
        return f"{f'{packet.destination} . ' if with_address else ''}{packet.protocol} . {packet.port}"

    # ---- statements ---------------------------------------------------------------------------------------------

    def _look_up(self, packet: Packet, with_address: str | None, name: str) -> Iterator[tuple[str, Packet, float]]:
        verdict = self._elements[name].get(self._key(packet, with_address), "")
        if not verdict:
            yield "", packet, 1.0
        else:
            yield from self._verdict(packet, verdict)

    def _verdict(self, packet: Packet, verdict: str) -> Iterator[tuple[str, Packet, float]]:
        kind, _, chain = verdict.partition(" ")
        if not chain:
            yield kind, packet, 1.0
            return
        assert self._chains[chain], f"{chain} is empty"
        for final, reached, chance in self._rules(chain, 0, packet):
            if kind == "jump" and final == "return":
                final = ""
            yield final or ("return" if kind == "goto" else ""), reached, chance

    def _at_random(self, packet: Packet, count: str, listed: str) -> Iterator[tuple[str, Packet, float]]:
        chains = _PLACES.findall(listed)
        assert [int(place) for place, _ in chains] == list(range(int(count)))
        for _, chain in chains:
            for verdict, reached, chance in self._verdict(packet, f"goto {chain}"):
                yield verdict, reached, chance / len(chains)

    def _translate(self, packet: Packet, with_address: str | None, name: str) -> Iterator[tuple[str, Packet, float]]:
        address, port = self._elements[name][self._key(packet, with_address)].split(" . ")
        yield "dnat", replace(packet, destination=address, port=int(port), state="NEW,DNAT"), 1.0

    def _translate_to(self, packet: Packet, address: str, port: str) -> Iterator[tuple[str, Packet, float]]:
        yield "dnat", replace(packet, destination=address.strip("[]"), port=int(port), state="NEW,DNAT"), 1.0

    def _mark(self, packet: Packet, operation: str, bits: str) -> Iterator[tuple[str, Packet, float]]:
        mark = packet.mark | int(bits, 16) if operation == "|" else packet.mark ^ int(bits, 16)
        yield "", replace(packet, mark=mark), 1.0


_OUTCOMES = {"accept": "ACCEPT", "masquerade": "ACCEPT", "drop": "DROP", "reject": "REJECT"}
_SERVICE = r"(ip6? daddr \. )?meta l4proto \. th dport"
_MATCHES = (
    (r"ct state new", lambda rules, packet: "NEW" in packet.state),
    (r"ct status dnat", lambda rules, packet: "DNAT" in packet.state),
    (r"fib saddr type local", lambda rules, packet: packet.source in rules._local),
    (
        r"ip6? saddr \. ip6? daddr @(\S+)",
        lambda rules, packet, name: f"{packet.source} . {packet.destination}" in rules._elements[name],
    ),
    (r"ip6? ([sd]addr) (!= )?(@\S+|{ [^}]* }|[0-9a-f][^ ]*)", Ruleset._address),
    (r"(tcp|udp|sctp) dport (\d+)", lambda rules, packet, *at: at == (packet.protocol, str(packet.port))),
    (r"meta l4proto (tcp|udp|sctp)", lambda rules, packet, protocol: packet.protocol == protocol),
    (r"meta mark & (\S+) == 0", lambda rules, packet, bits: packet.mark & int(bits, 16) == 0),
    (r"update @\S+ { ip6? saddr timeout \d+s }", lambda rules, packet: True),
)
_STATEMENTS = (
    (_SERVICE + r" vmap @(\S+)", Ruleset._look_up),
    (r"numgen random mod (\d+) vmap { (.*) }", Ruleset._at_random),
    (r"dnat ip6? to " + _SERVICE + r" map @(\S+)", Ruleset._translate),
    (r"dnat to (\S+):(\d+)", Ruleset._translate_to),
    (r"meta mark set meta mark ([|^]) (\S+)", Ruleset._mark),
    (r"(masquerade) fully-random", Ruleset._verdict),
    (r"(return|drop|reject)", Ruleset._verdict),
    (r"((?:jump|goto) \S+)", Ruleset._verdict),
)  # fmt: skip
