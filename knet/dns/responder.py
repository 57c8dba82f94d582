"""From a query's bytes to an answer's.  No I/O.

Answers out of the zone are remembered until something changes in the cluster, first by the question's bytes: looking
up and packing cost 25 µs, finding bytes and putting the ID before them a quarter of one.  A question that comes with
options (cookies differ each time) is found by what it says.  Of an answer with several addresses a few orders are
remembered, so that clients see them in turns, as CoreDNS's ``loadbalance`` has it.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, cycle, repeat
from typing import NamedTuple

from dnslib import QTYPE, RCODE

from knet.dns.directory import Directory
from knet.dns.foreign import reply
from knet.dns.metrics import Labels, Metrics
from knet.dns.packing import Packer, code_only
from knet.dns.question import Malformed, Question, parse
from knet.dns.routes import Route, Routes
from knet.dns.zone import Answer, Name

#: answers remembered, and the bytes that they take; then all are forgotten, so that random names cannot fill the memory
CACHE, ROOM = 10_000, 16 << 20
#: different orders of an answer's addresses that are remembered
ORDERS = 8
_IN, _ANY_CLASS = 1, 255
_QUERY = 0
_TRANSFERS = (QTYPE.AXFR, QTYPE.IXFR)
_HEADER_SIZE = 12
_RESPONSE = 0x80
_BADVERS = 16


class Known:
    """An answer that is remembered, without its ID; ``times`` it was given since `Metrics` were told."""

    __slots__ = ("labels", "messages", "query_size", "size", "times")

    def __init__(self, pack: Callable[[], bytes], several: bool, labels: Labels, query_size: int) -> None:
        first = pack()
        self.messages = chain((first,), _orders(first, pack)) if several else repeat(first)
        self.size = len(first)
        self.labels = labels
        self.query_size = query_size
        self.times = 0


class Transport:
    """Over which queries come: ``udp`` or ``tcp``, family "1" (IPv4) or "2"; and what was answered there, by bytes."""

    def __init__(self, proto: str = "udp", family: str = "1") -> None:
        self.proto = proto
        self.family = family
        self.tcp = proto == "tcp"
        self.by_bytes: dict[bytes, Known] = {}
        self.by_question: dict[Question, Known] = {}


class Foreign(NamedTuple):
    """Somebody else has to be asked about ``asked``: the question itself, or one about where its aliases lead to."""

    question: Question
    asked: Question
    route: Route
    answer: Answer | None = None


class Responder:
    """Answers queries by routes.  Until the cluster's zone is ``ready`` its names are SERVFAIL, never a wrong no."""

    def __init__(self, directory: Directory, routes: Routes, metrics: Metrics | None = None) -> None:
        self.directory = directory
        self._version = -1
        self._room = 0
        self._transports: list[Transport] = []
        self.metrics = metrics or Metrics()
        self.routes = routes
        self.ready = False
        #: asked of other name servers only; when it comes here, they ask us
        self.probes: dict[Name, Callable[[], None]] = {}

    def transport(self, proto: str = "udp", family: str = "1") -> Transport:
        self._transports.append(Transport(proto, family))
        return self._transports[-1]

    def reroute(self, routes: Routes) -> None:
        """From now on by these."""
        self.routes = routes
        self.forget()

    def count(self) -> None:
        """Tell the metrics how often remembered answers were given."""
        for transport in self._transports:
            for known in transport.by_question.values():
                if known.times:
                    self.metrics.answered(known.labels, known.query_size, known.size, known.times)
                    known.times = 0

    def forget(self) -> None:
        """All answers."""
        self.count()
        for transport in self._transports:
            transport.by_bytes.clear()
            transport.by_question.clear()
        self._room = 0
        self._version = self.directory.version
        self.routes.packer.serial = int(time.time())

    def respond(self, query: bytes, transport: Transport) -> bytes | Foreign | None:
        """The answer to a message, whatever is in it; None for what deserves none."""
        if self._version != self.directory.version:
            self.forget()
        known = transport.by_bytes.get(query[2:])
        if known is None:
            return self._respond(query, transport)
        known.times += 1
        return query[:2] + next(known.messages)

    def _respond(self, query: bytes, transport: Transport) -> bytes | Foreign | None:
        if len(query) < _HEADER_SIZE or query[2] & _RESPONSE:  # to answer an answer could go on forever
            return None
        try:
            question = parse(query)
        except Malformed:
            self.told(query, transport, Labels("dropped", transport.proto, transport.family, 0, RCODE.FORMERR, ""))
            return code_only(query, RCODE.FORMERR)
        if self.probes and (looped := self.probes.get(question.name)) is not None:
            looped()
        key = question._replace(id=0, edns=question.edns and question.edns._replace(options=False))
        known = transport.by_question.get(key)
        if known is None:
            route = self.routes.of(question.name)
            refusal = self._refusal(question, route)
            if refusal is not None:
                return self._code(question, query, transport, refusal)
            assert route is not None, "what nobody answers is refused"
            found = self._answer(question, query, route, transport)
            if not isinstance(found, Known):
                return found
            known = self._keep(key, found, transport)
        if question.edns is None or not question.edns.options:
            transport.by_bytes[query[2:]] = known
        known.times += 1
        return query[:2] + next(known.messages)

    def _refusal(self, question: Question, route: Route | None) -> int | None:
        """The code for what is not answered at all."""
        if question.opcode != _QUERY:
            return int(RCODE.NOTIMP)
        if question.cls not in (_IN, _ANY_CLASS):
            return int(RCODE.REFUSED)
        if question.edns is not None and question.edns.version > 0:
            return _BADVERS
        return int(RCODE.REFUSED) if route is None or question.type in _TRANSFERS else None

    def _answer(self, question: Question, query: bytes, route: Route, transport: Transport) -> Known | bytes | Foreign:
        """Out of the zone, or out of what others have said; else whom to ask."""
        answer = None
        if route.zone is not None and route.zone.covers(question.name):
            if not self.ready:
                return self._code(question, query, transport, RCODE.SERVFAIL)
            answer = route.zone.lookup(question.name, str(QTYPE.get(question.type)))
        if answer is None:
            return self._foreign(Foreign(question, question, route), query, transport)
        if answer.unresolved is not None:
            further = self.routes.of(answer.unresolved)
            if further is not None and further.forwarder_of(answer.unresolved) is not None:
                return Foreign(question, _about(question, answer.unresolved), further, answer)
        labels = self.labels(question, transport, int(RCODE.NOERROR if answer.exists else RCODE.NXDOMAIN), "kubernetes")
        several = sum(record.type in ("A", "AAAA") for record in answer.records) > 1
        packer = self.routes.packer
        pack = partial(_without_id, packer, question, transport.tcp, answer)
        return Known(pack, several and packer.shuffled, labels, len(query))

    def _foreign(self, foreign: Foreign, query: bytes, transport: Transport) -> bytes | Foreign:
        question = foreign.question
        forwarder = foreign.route.forwarder_of(question.name)
        if forwarder is None:  # nobody can be asked: then there are no names but ours
            return self._code(question, query, transport, RCODE.NXDOMAIN)
        said = forwarder.known(question)
        if said is None:
            return foreign
        message = reply(said, question, transport.tcp, time.monotonic())
        self.told(query, transport, self.labels(question, transport, said.code, "cache"), len(message))
        return message

    def _keep(self, key: Question, known: Known, transport: Transport) -> Known:
        self._room += ORDERS * known.size + 2 * known.query_size
        if len(transport.by_question) >= CACHE or self._room > ROOM:
            self.forget()
        transport.by_question[key] = known
        return known

    def _code(self, question: Question, query: bytes, transport: Transport, code: int) -> bytes:
        message = self.routes.packer.code(question, transport.tcp, code)
        self.told(query, transport, self.labels(question, transport, code, ""), len(message))
        return message

    def labels(self, question: Question, transport: Transport, code: int, plugin: str) -> Labels:
        route = self.routes.of(question.name)
        zone = "dropped" if route is None else route.label
        return Labels(zone, transport.proto, transport.family, question.type, code, plugin)

    def told(self, query: bytes, transport: Transport, labels: Labels, size: int = _HEADER_SIZE) -> None:
        self.metrics.answered(labels, len(query), size)


def _without_id(packer: Packer, question: Question, tcp: bool, answer: Answer) -> bytes:
    return packer.answer(question, tcp, answer)[2:]


def _orders(first: bytes, pack: Callable[[], bytes]) -> Iterator[bytes]:
    """What ``pack`` makes, a few times, and then that over and over."""
    messages = [first]
    while len(messages) < ORDERS:
        messages.append(pack())
        yield messages[-1]
    yield from cycle(messages)


def _about(question: Question, target: Name) -> Question:
    """The same question about another name."""
    return question._replace(labels=tuple(label.encode("latin-1") for label in target))
