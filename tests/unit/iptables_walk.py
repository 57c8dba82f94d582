"""Walks packets through iptables-restore text, so that tests can ask what happens instead of how rules are spelled.

Understands what kube-proxy writes, and raises at anything else: a rule the walker passes over would prove nothing.
All branches of ``statistic`` are followed, each with its probability.
"""

import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from packets import Outcome, Packet


@dataclass(frozen=True)
class _Rule:
    matches: tuple[tuple[str, bool, str], ...]
    target: str
    argument: str


#: options that take a value and restrict what a rule matches
_MATCHES = {"-p", "-s", "-d", "--dport", "--ctstate", "--mark", "--dst-type", "--src-type", "--probability", "--name"}
#: options of targets
_ARGUMENTS = {"--xor-mark", "--or-mark", "--to-destination"}
#: options that matter only together with others
_IGNORED = {"-m": 1, "--comment": 1, "--mode": 1, "--seconds": 1, "--reap": 0, "--random-fully": 0}


class Ruleset:
    """Rules as text, the addresses that are this machine's own, and the endpoint lists that a client stands in."""

    def __init__(self, text: str, local: set[str] = frozenset(), remembered: set[str] = frozenset()) -> None:
        self._chains: dict[tuple[str, str], list[_Rule]] = defaultdict(list)
        self._local = {"127.0.0.1", *local}
        self._remembered = remembered
        table = ""
        for line in text.splitlines():
            words = shlex.split(line)
            if line.startswith("*"):
                table = line[1:]
            elif words and words[0] == "-A":
                self._chains[table, words[1]].append(_parse(words[2:]))
            elif words and words[0] == "-I":
                self._chains[table, words[1]].insert(0, _parse(words[2:]))

    def forwarded(self, packet: Packet) -> dict[Outcome, float]:
        """A packet that comes in over an interface: what becomes of it, and how likely."""
        return self._through(packet, "PREROUTING", from_here=False)

    def sent(self, packet: Packet) -> dict[Outcome, float]:
        """A packet of a process on this machine."""
        return self._through(packet, "OUTPUT", from_here=True)

    def _through(self, packet: Packet, first: str, from_here: bool) -> dict[Outcome, float]:
        outcomes: dict[Outcome, float] = defaultdict(float)
        for verdict, translated, chance in self._chain("nat", first, packet, from_here):
            to = f"{translated.destination}:{translated.port}"
            hook = "OUTPUT" if from_here else "INPUT" if translated.destination in self._local else "FORWARD"
            if translated != replace(packet, mark=translated.mark):
                translated = replace(translated, state="NEW,DNAT")
            assert verdict in ("ACCEPT", "DNAT")
            for verdict, filtered, chance_here in self._chain("filter", hook, translated, from_here):
                if verdict != "ACCEPT":
                    outcomes[Outcome(to, verdict=verdict)] += chance * chance_here
                    continue
                for last, _, chance_last in self._chain("nat", "POSTROUTING", filtered, from_here):
                    outcomes[Outcome(to, last == "MASQUERADE")] += chance * chance_here * chance_last
        return dict(outcomes)

    def _chain(self, table: str, chain: str, packet: Packet, from_here: bool) -> Iterator[tuple[str, Packet, float]]:
        """The verdicts a built-in chain can come to; its policy is ACCEPT."""
        for verdict, after, chance in self._rules(table, chain, 0, packet, from_here):
            yield verdict or "ACCEPT", after, chance

    def _rules(
        self, table: str, chain: str, start: int, packet: Packet, from_here: bool
    ) -> Iterator[tuple[str, Packet, float]]:
        """(verdict, packet, chance) for each way through a chain; "" is its end, or RETURN."""
        rules = self._chains[table, chain]
        for place in range(start, len(rules)):
            rule = rules[place]
            chance = self._matches(rule, packet)
            if chance == 0:
                continue
            for verdict, after, share in self._target(table, rule, packet, from_here):
                if verdict == "RETURN":
                    yield "", after, chance * share
                elif verdict:
                    yield verdict, after, chance * share
                else:
                    for further, last, rest in self._rules(table, chain, place + 1, after, from_here):
                        yield further, last, chance * share * rest
            if chance == 1:
                return
            for further, last, rest in self._rules(table, chain, place + 1, packet, from_here):
                yield further, last, (1 - chance) * rest
            return
        yield "", packet, 1.0

    def _target(self, table: str, rule: _Rule, packet: Packet, from_here: bool) -> Iterator[tuple[str, Packet, float]]:
        match rule.target:
            case "ACCEPT" | "DROP" | "REJECT" | "RETURN" | "MASQUERADE":
                yield rule.target, packet, 1.0
            case "":
                yield "", packet, 1.0
            case "DNAT":
                address, port = rule.argument.rsplit(":", 1)
                yield "DNAT", replace(packet, destination=address.strip("[]"), port=int(port)), 1.0
            case "MARK":
                option, bits = rule.argument.split()
                mark = packet.mark | int(bits, 16) if option == "--or-mark" else packet.mark ^ int(bits, 16)
                yield "", replace(packet, mark=mark), 1.0
            case chain:
                assert (table, chain) in self._chains or chain.startswith("KUBE-"), chain
                yield from self._rules(table, chain, 0, packet, from_here)

    def _matches(self, rule: _Rule, packet: Packet) -> float:
        """0, 1, or the chance that a random match holds."""
        chance = 1.0
        for option, negated, value in rule.matches:
            match option:
                case "-p":
                    holds = packet.protocol == value
                case "-s":
                    holds = ip_address(packet.source) in ip_network(value)
                case "-d":
                    holds = ip_address(packet.destination) in ip_network(value)
                case "--dport":
                    holds = packet.port == int(value)
                case "--ctstate":
                    holds = bool(set(packet.state.split(",")) & set(value.split(",")))
                case "--mark":
                    bits, mask = (int(part, 16) for part in value.split("/"))
                    holds = packet.mark & mask == bits
                case "--dst-type" | "--src-type":
                    holds = (packet.destination if option == "--dst-type" else packet.source) in self._local
                case "--probability":
                    holds, chance = True, float(value)
                case "--rcheck":
                    holds = value in self._remembered
                case _:
                    raise ValueError(option)
            if holds == negated:
                return 0.0
        return chance


def _parse(words: list[str]) -> _Rule:
    matches: list[tuple[str, bool, str]] = []
    target = argument = recent = ""
    negated = False
    rest = iter(words)
    for word in rest:
        if word == "!":
            negated = True
            continue
        if word == "-j":
            target = next(rest)
        elif word == "--name":
            recent = next(rest)
        elif word == "--rcheck":
            matches.append(("--rcheck", False, recent))
        elif word == "--set":
            pass  # remembers the client, always matches
        elif word in _MATCHES:
            matches.append((word, negated, next(rest)))
        elif word in _ARGUMENTS:
            value = next(rest)
            argument = f"{word} {value}" if word.endswith("-mark") else value
        elif word in _IGNORED:
            for _ in range(_IGNORED[word]):
                next(rest)
        else:
            raise ValueError(f"the walker does not know {word} in {' '.join(words)}")
        negated = False
    return _Rule(tuple(matches), target, argument)
