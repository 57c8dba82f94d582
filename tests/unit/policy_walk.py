"""Walks packets through the text of an nftables table, so that tests can ask what happens instead of how it is written.

Understands what `knet.policy` writes, and raises at anything else: a rule the walker passes over would prove nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

_BLOCK = re.compile(r"^\t(set|map|chain) (\S+) \{$")
_TOKEN = re.compile(r'"[^"]*"|\{[^}]*\}|\S+')
#: statements that decide nothing, with the number of words after them
_SILENT = {"counter": 0, "log": 6, "update": 2}


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection, after address translation, unless it is an answer to one."""

    source: str
    destination: str
    port: int = 0
    protocol: str = "tcp"
    answer: bool = False
    own: bool = False
    """sent by the machine itself"""

    @property
    def keyword(self) -> str:
        return "ip6" if ":" in self.source else "ip"


@dataclass
class Ruleset:
    """A table's sets, maps and chains by name."""

    sets: dict[str, frozenset[str]] = field(default_factory=dict)
    chains: dict[str, list[list[str]]] = field(default_factory=dict)
    #: (hook, priority, base chain)
    hooks: list[tuple[str, int, str]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> "Ruleset":
        found, kind, name = cls(), "", ""
        for line in text.splitlines():
            if block := _BLOCK.match(line):
                kind, name = block.groups()
                if kind == "chain":
                    found.chains[name] = []
                else:
                    found.sets[name] = frozenset()
            elif not line.startswith("\t\t"):
                continue
            elif kind == "chain":
                found._add_rule(name, line.strip())
            elif elements := re.fullmatch(r"\t\telements = \{ (.*) \}", line):
                found.sets[name] = frozenset(elements[1].split(", "))
        return found

    def _add_rule(self, chain: str, rule: str) -> None:
        if base := re.fullmatch(r"type filter hook (\w+) priority filter \+ (\d+); policy accept;", rule):
            self.hooks.append((base[1], int(base[2]), chain))
        else:
            self.chains[chain].append(_TOKEN.findall(rule))

    def passes(self, packet: Packet, hook: str = "forward") -> bool:
        """Whether every base chain of the hook lets it."""
        return all(self._verdict(chain, packet) != "drop" for at, _, chain in sorted(self.hooks) if at == hook)

    def _verdict(self, chain: str, packet: Packet) -> str:
        """accept, drop, or "" for the end of the chain."""
        for rule in self.chains[chain]:
            verdict = self._rule(list(rule), packet)
            if verdict.startswith("jump "):
                verdict = self._verdict(verdict[5:], packet)
                if not verdict:
                    continue
            if verdict.startswith("goto "):
                return self._verdict(verdict[5:], packet)
            if verdict:
                return verdict
        return ""

    def _rule(self, words: list[str], packet: Packet) -> str:
        """The rule's verdict for the packet, "" where it does not match or says none."""
        while words:
            word = words.pop(0)
            if word in ("accept", "drop"):
                return word
            if word in ("jump", "goto"):
                return f"{word} {words[0]}"
            if word in _SILENT:
                del words[: _SILENT[word]]
            elif word == "ct":
                assert words[:2] == ["state", "established,related"]
                del words[:2]
                if not packet.answer:
                    return ""
            elif word == "fib":
                assert words[:3] == ["saddr", "type", "local"]
                del words[:3]
                if not packet.own:
                    return ""
            elif word == "icmpv6":
                assert words[0] == "type"
                return ""  # tests do not ask for neighbours
            elif word in ("meta", "ip", "ip6"):
                key = self._key([word, *_take(words)], packet)
                if key is None:
                    return ""
                if words[0] == "vmap":
                    verdicts = dict(row.split(" : ") for row in self.sets[words[1].removeprefix("@")])
                    return verdicts.get(key, "")
                negated = words[0] == "!="
                del words[:negated]
                if self._in(words.pop(0), key) is negated:
                    return ""
            else:
                raise ValueError(f"the walker does not know {word!r}")
        return ""

    def _key(self, words: list[str], packet: Packet) -> str | None:
        """The packet's value of a concatenation; None where it has no such field."""
        values = {
            f"{packet.keyword} saddr": packet.source,
            f"{packet.keyword} daddr": packet.destination,
            "meta l4proto": packet.protocol,
            "th dport": str(packet.port) if packet.protocol in ("tcp", "udp", "sctp") else None,
        }
        parts = [values.get(part) for part in " ".join(words).split(" . ")]
        return None if None in parts else " . ".join(map(str, parts))

    def _in(self, right: str, key: str) -> bool:
        if right.startswith("@"):
            return key in self.sets[right[1:]]
        elements = right.strip("{} ").split(", ") if right.startswith("{") else [right]
        return any(all(map(_matches, element.split(" . "), key.split(" . "))) for element in elements)


def _take(words: list[str]) -> list[str]:
    """The rest of a left side: ``saddr . ip daddr . th dport``."""
    taken = [words.pop(0)]
    while words[0] == ".":
        taken += [words.pop(0), words.pop(0), words.pop(0)]
    return taken


def _matches(pattern: str, value: str) -> bool:
    if "/" in pattern:
        return ip_address(value) in ip_network(pattern)
    if re.fullmatch(r"\d+-\d+", pattern):
        first, last = map(int, pattern.split("-"))
        return first <= int(value) <= last
    return pattern == value


def packets(addresses: list[str], ports: list[tuple[str, int]]) -> Iterator[Packet]:
    """A packet from each address to each other one of its version, at each port."""
    for source in addresses:
        for destination in addresses:
            if (":" in source) == (":" in destination):
                yield from (Packet(source, destination, port, protocol) for protocol, port in ports)
