"""Which packets are of one connection, and between whom: what was counted, joined with what machines track.  Pure.

A pod that calls a Service sends to its virtual address; its machine puts an endpoint's there, and perhaps its own as
the source.  Each machine on the way tracks what it sees::

    n1   10.244.1.4:41822 > 10.96.71.12:80     answered by 10.244.2.7:8080 to 10.244.1.4:41822
    n2   10.244.1.4:41822 > 10.244.2.7:8080    answered by the same

All of these are one connection: that of whoever began it.
"""

import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from knet.inspect.flows.sample import Count, Ends, Sample
from knet.inspect.names import Names
from knet.kernel.conntrack import Tracked
from knet.kernel.protocols import kind_of

#: of tracked echoes: their identifiers are no ports
_ECHO = (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)
#: ports from here on are whoever begins's (net.ipv4.ip_local_port_range)
_EPHEMERAL = 32768
#: a connection is translated by so many machines at most
_LONGEST = 8


class Rates(NamedTuple):
    """Packets and bits a second."""

    packets: float = 0.0
    bits: float = 0.0

    def json(self) -> dict[str, Any]:
        return {"packetsPerSecond": round(self.packets, 1), "bitsPerSecond": round(self.bits)}


@dataclass(frozen=True)
class Flow:
    """A connection, or with ``connections`` > 1 several between the same two to the same port."""

    protocol: str
    source: str
    """who began it, by name"""
    source_port: int
    """0 of several"""
    service: str
    """the name that it was sent to, if that was not yet ``destination``"""
    service_port: int
    destination: str
    destination_port: int
    states: Mapping[str, int]
    """ESTABLISHED … of TCP, "unanswered" of what has had no answer, "" of the rest: and how many have it"""
    sent: Rates
    answered: Rates
    connections: int = 1

    @property
    def bits(self) -> float:
        return self.sent.bits + self.answered.bits

    @property
    def state(self) -> str:
        """``ESTABLISHED``, ``3 ESTABLISHED, 1 TIME_WAIT``"""
        named = sorted((count, state) for state, count in self.states.items() if state)[::-1]
        if len(self.states) == 1:
            return named[0][1] if named else ""
        return ", ".join(f"{count} {state}" for count, state in named)

    def json(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "source": self.source,
            "sourcePort": self.source_port,
            "service": self.service,
            "servicePort": self.service_port,
            "destination": self.destination,
            "destinationPort": self.destination_port,
            "states": dict(self.states),
            "connections": self.connections,
            "sent": self.sent.json(),
            "answered": self.answered.json(),
        }


def flows(found: Sample, tracked: Iterable[Tracked], names: Names, each: bool = False) -> list[Flow]:
    """The flows of a sample, those with the most bits first; with ``each``, every connection by itself."""
    book = _Book(tracked)
    by_way: dict[tuple[Ends, bool], dict[str, Count]] = defaultdict(dict)
    for (place, ends), count in found.counts.items():
        begun, forth = book.find(ends)
        seen = by_way[begun, forth].setdefault(place, Count())
        seen.packets += count.packets
        seen.bytes += count.bytes
    rows = [_flow(book, names, begun, by_way, found.seconds) for begun in dict.fromkeys(key[0] for key in by_way)]
    if not each:
        rows = list(_summed(rows))
    return sorted(rows, key=lambda row: (-row.bits, row.source, row.destination, row.source_port))


def _flow(
    book: "_Book",
    names: Names,
    begun: Ends,
    by_way: Mapping[tuple[Ends, bool], Mapping[str, Count]],
    seconds: float,
) -> Flow:
    sent, answered = (_rates(by_way.get((begun, forth), {}), seconds) for forth in (True, False))
    last = book.last(begun)
    translated = (begun.destination, begun.destination_port) != (last.destination, last.destination_port)
    return Flow(
        protocol=kind_of(begun.protocol),
        source=names.text(begun.source),
        source_port=begun.source_port,
        service=names.text(begun.destination) if translated else "",
        service_port=begun.destination_port if translated else 0,
        destination=names.text(last.destination),
        destination_port=last.destination_port,
        states={book.state(begun): 1},
        sent=sent,
        answered=answered,
    )


def _rates(counts: Mapping[str, Count], seconds: float) -> Rates:
    """Of the place that saw most: all others saw some of the same packets."""
    if not counts or seconds <= 0:
        return Rates()
    most = max(counts.values(), key=lambda count: count.packets)
    return Rates(most.packets / seconds, 8 * most.bytes / seconds)


def _summed(rows: Iterable[Flow]) -> Iterator[Flow]:
    groups: dict[tuple[object, ...], list[Flow]] = defaultdict(list)
    for row in rows:
        to = row.service, row.service_port, row.destination, row.destination_port
        groups[row.protocol, row.source, *to].append(row)
    for group in groups.values():
        states: dict[str, int] = defaultdict(int)
        for row in group:
            for state, count in row.states.items():
                states[state] += count
        yield replace(
            group[0],
            source_port=group[0].source_port if len(group) == 1 else 0,
            states=dict(states),
            sent=_sum(row.sent for row in group),
            answered=_sum(row.answered for row in group),
            connections=len(group),
        )


def _sum(rates: Iterable[Rates]) -> Rates:
    rows = list(rates)
    return Rates(sum(row.packets for row in rows), sum(row.bits for row in rows))


class _Book:
    """All machines' tracked connections, by every form that their packets have."""

    def __init__(self, tracked: Iterable[Tracked]) -> None:
        self._rows: dict[Ends, Tracked] = {}
        self._onward: dict[Ends, Ends] = {}
        """what a machine makes of them"""
        self._back: dict[Ends, Ends] = {}
        self._guessed: dict[Ends, Ends] = {}
        for row in tracked:
            flow = row.flow
            before = _ends(flow.protocol, flow.source, flow.source_port, flow.destination, flow.destination_port)
            after = _ends(flow.protocol, row.answers_to, row.answers_to_port, flow.answered_by, flow.answered_by_port)
            if before == after and before.source_port < _EPHEMERAL <= before.destination_port:
                before = after = before.reversed  # tracked from the middle on, by a packet of who answers
            if before != after or before not in self._rows:
                self._rows[before] = row
            if before != after:
                self._onward[before] = after
                self._back[after] = before

    def find(self, ends: Ends) -> tuple[Ends, bool]:
        """The connection that packets of this form are of, as it was begun; and whether they are of whoever began it.

        Of what nobody tracks, the end with the higher port has begun it.
        """
        for form, forth in ((ends, True), (ends.reversed, False)):
            begun = _followed(self._back, form)
            if begun in self._rows:
                return begun, forth
        forth = ends.source_port >= ends.destination_port
        begun = self._guessed.setdefault(ends, self._guessed.get(ends.reversed, ends if forth else ends.reversed))
        return begun, begun == ends

    def last(self, begun: Ends) -> Ends:
        """What has become of it when it gets to whom it is for."""
        return _followed(self._onward, begun)

    def state(self, begun: Ends) -> str:
        row = self._rows.get(begun)
        if row is None:
            return ""
        return row.state or ("" if row.replied else "unanswered")


def _followed(steps: Mapping[Ends, Ends], ends: Ends) -> Ends:
    """From translation to translation, to the last."""
    for _ in range(_LONGEST):
        if ends not in steps:
            break
        ends = steps[ends]
    return ends


def _ends(protocol: int, source: str, source_port: int, destination: str, destination_port: int) -> Ends:
    if protocol in _ECHO:
        source_port = destination_port = 0
    return Ends(protocol, source, source_port, destination, destination_port)
