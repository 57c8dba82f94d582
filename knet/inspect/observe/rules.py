"""Rules' traces, put in order: which chains a packet passed at a hook, by which rules, in words.

A trace names chains and handles.  What a handle stands for is asked of the machine afterwards: of iptables-save for
tables of iptables (the rules of a chain come in the order of their handles), else of nft.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from knet.inspect.observe.frames import Seen, packet
from knet.inspect.observe.mark import TABLE
from knet.inspect.trace.hops import Passage, Rule
from knet.kernel import nft, rules
from knet.kernel.nftrace import Base, Chains, Event
from knet.kernel.rules import RulesError

_COMMENT = re.compile(r'comment "([^"]*)"|--comment ([^"\s]+)')
_IPTABLES = {"ip": 4, "ip6": 6}
_TABLES = ("nat", "filter", "mangle", "raw", "security")


@dataclass
class Root:
    """A base chain, and all chains that it led into."""

    base: Base
    seen: Seen
    """the packet, as it came in"""
    passages: list[Passage] = field(default_factory=list)
    verdict: str = ""

    @property
    def matched(self) -> bool:
        """Whether any rule did."""
        return any(passage.rules for passage in self.passages)


class Words:
    """Of one machine's chains; to be made and asked in its network namespace, and closed."""

    def __init__(self) -> None:
        self._chains = Chains()
        self._bases: dict[tuple[str, str, str], Base | None] = {}
        self._rules: dict[tuple[str, str, str], dict[int, Rule]] = {}
        self._saved: dict[tuple[str, str], str] = {}

    def close(self) -> None:
        self._chains.close()

    def base(self, family: str, table: str, chain: str) -> Base | None:
        key = family, table, chain
        if key not in self._bases:
            self._bases[key] = self._chains.base(*key)
        return self._bases[key]

    def rule(self, family: str, table: str, chain: str, handle: int) -> Rule:
        """The rule of that handle; without words where it has gone since."""
        key = family, table, chain
        if key not in self._rules:
            self._rules[key] = dict(self._read(*key))
        return self._rules[key].get(handle, Rule(handle, ""))

    def _read(self, family: str, table: str, chain: str) -> Iterator[tuple[int, Rule]]:
        handles = self._chains.handles(family, table, chain)
        texts = self._iptables(family, table, chain) if family in _IPTABLES and table in _TABLES else []
        if len(texts) != len(handles):
            found = nft.rules(family, table, chain)
            texts = [found.get(handle, "") for handle in handles]
        for handle, text in zip(handles, texts, strict=True):
            comment = _COMMENT.search(text)
            yield handle, Rule(handle, text, next(filter(None, comment.groups()), "") if comment else "")

    def _iptables(self, family: str, table: str, chain: str) -> list[str]:
        key = family, table
        if key not in self._saved:
            try:
                self._saved[key] = rules.save(table, family=_IPTABLES[family])
            except RulesError:  # not a table of iptables after all
                self._saved[key] = ""
        start = f"-A {chain} "
        return [line.removeprefix(start) for line in rules.rule_lines(self._saved[key], chain) or []]


def roots(events: Iterable[Event], words: Words) -> list[Root]:
    """The base chains that packets passed, in order; without those that have gone since."""
    found: list[Root] = []
    known = True
    for event in events:
        if event.network:
            # ours has gone by now; its chains are called after their hooks
            base = Base(event.chain, "filter", 0) if event.table == TABLE else words.base(*_key(event))
            seen = packet(event.network + event.transport)
            known = base is not None and seen is not None
            if base and seen:
                found.append(Root(base, seen))
        if known and found:
            _append(found[-1], event, words)
    return found


def _key(event: Event) -> tuple[str, str, str]:
    return event.family, event.table, event.chain


def _append(root: Root, event: Event, words: Words) -> None:
    key, ours = _key(event), event.table == TABLE
    rule = words.rule(*key, event.handle) if event.kind == "rule" and event.handle and not ours else None
    last = root.passages[-1] if root.passages else None
    if last is None or (last.family, last.table, last.chain) != key or last.verdict not in ("", "continue"):
        hook = "" if root.passages else root.base.hook
        last = Passage(*key, hook=hook)
        root.passages.append(last)
    added = (*last.rules, rule) if rule else last.rules
    root.passages[-1] = last._replace(rules=added, verdict=event.verdict)
    if event.kind == "policy" or event.verdict in ("drop", "accept"):
        root.verdict = event.verdict
