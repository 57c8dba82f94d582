"""From a query's bytes to an answer's.  No I/O.

Answers are remembered by the question's bytes until something changes in the cluster: looking up and packing cost
100 µs, finding bytes and putting the ID before them one.  Of an answer with several addresses a few orders are
remembered, so that clients see them in turns, as CoreDNS's ``loadbalance`` has it.
"""

import time
from collections.abc import Callable, Iterator
from itertools import cycle, repeat
from typing import NamedTuple

from dnslib import QTYPE, RCODE

from knet.dns.directory import Directory
from knet.dns.packing import Packer, format_error
from knet.dns.question import Malformed, Question, parse
from knet.dns.zone import Name, Record, Zone

#: answers remembered; then all are forgotten, so that queries for random names cannot fill the memory
CACHE = 10_000
#: different orders of an answer's addresses that are remembered
ORDERS = 8
_IN, _ANY_CLASS = 1, 255
_QUERY = 0
_TRANSFERS = (QTYPE.AXFR, QTYPE.IXFR)
_HEADER_SIZE = 12
_RESPONSE = 0x80
_BADVERS = 16


class Foreign(NamedTuple):
    """Somebody else has to be asked about ``target``: what the question is about, or where its aliases lead to."""

    question: Question
    target: Name
    aliases: tuple[Record, ...] = ()


class Responder:
    """Answers queries out of a zone.  Until it is ``ready`` it says SERVFAIL, never a wrong no.

    With ``recursive`` False nobody else can be asked: then there are no names but the zone's.
    """

    def __init__(self, directory: Directory, zone: Zone, recursive: bool = False) -> None:
        self._directory = directory
        self._zone = zone
        self._recursive = recursive
        self._cache: dict[tuple[bytes, bool], Iterator[bytes]] = {}
        self._version = -1
        self.packer = Packer(zone.name, recursive)
        self.ready = False

    def respond(self, query: bytes, tcp: bool = False) -> bytes | Foreign | None:
        """The answer to a message, whatever is in it; None for what deserves none."""
        if self._version != self._directory.version or len(self._cache) >= CACHE:
            self._cache.clear()
            self._version = self._directory.version
            self.packer.serial = int(time.time())
        key = query[2:], tcp
        known = self._cache.get(key)
        if known is not None:
            return query[:2] + next(known)
        if len(query) < _HEADER_SIZE or query[2] & _RESPONSE:  # to answer an answer could go on forever
            return None
        try:
            question = parse(query)
        except Malformed:
            return format_error(query)
        refusal = self._refusal(question)
        if refusal is not None:
            return self.packer.code(question, tcp, refusal)
        messages = self._messages(question, tcp)
        if isinstance(messages, Foreign):
            return messages
        self._cache[key] = messages
        return query[:2] + next(messages)

    def _refusal(self, question: Question) -> int | None:
        """The code for what is not answered out of the zone."""
        if question.opcode != _QUERY:
            return int(RCODE.NOTIMP)
        if question.edns is not None and question.edns.version > 0:
            return _BADVERS
        if question.cls not in (_IN, _ANY_CLASS) or question.type in _TRANSFERS:
            return int(RCODE.REFUSED)
        return None if self.ready else int(RCODE.SERVFAIL)

    def _messages(self, question: Question, tcp: bool) -> Iterator[bytes] | Foreign:
        """What to answer, time after time, without the ID."""
        answer = self._zone.lookup(question.name, QTYPE.get(question.type))
        if answer is None:
            if self._recursive:
                return Foreign(question, question.name)
            return repeat(self.packer.code(question, tcp, RCODE.NXDOMAIN)[2:])
        if answer.unresolved is not None and self._recursive:
            return Foreign(question, answer.unresolved, answer.records)
        if sum(record.type in ("A", "AAAA") for record in answer.records) > 1:
            return _orders(lambda: self.packer.answer(question, tcp, answer)[2:])
        return repeat(self.packer.answer(question, tcp, answer)[2:])


def _orders(pack: Callable[[], bytes]) -> Iterator[bytes]:
    """What ``pack`` makes, a few times, and then that over and over."""
    messages = []
    for _ in range(ORDERS):
        messages.append(pack())
        yield messages[-1]
    yield from cycle(messages)
