"""A packet of a connection that is there anyway, followed instead of a probe: nothing is sent, nothing is changed.

What FROM sends to TO is listened for, and the first packet that wants an answer is picked.  From then on it is known
again by what no NAT, tunnel or router changes:

=====  =======================================================  =======================================================
tcp    its sequence number; SYN, FIN and data want an answer    the first that acknowledges all of it, or a reset
udp    its payload, as of a probe's                             the first by its addresses; the DNS' by its ID, too
icmp   likewise (an echo)                                       the same payload, as a reply
=====  =======================================================  =======================================================
"""

import contextlib
import os
import time
from collections.abc import Set

from knet.inspect.observe.frames import Seen
from knet.inspect.observe.mark import ENOUGH, ICMP, KINDS, Mark, own_table
from knet.inspect.observe.probes import Answer
from knet.inspect.trace.hops import BACK, THERE, Packet
from knet.kernel import addresses
from knet.kernel.conntrack import Conntrack
from knet.kernel.netlink import Netlink
from knet.kernel.packets import OUTGOING
from knet.kernel.sniffer import Sniffed

#: an address and a port
End = tuple[str, int]

_MASK, _HALF = 0xFFFFFFFF, 1 << 31
_DNS = 53
#: packets a second that each chain has traced at most, of all that are to or from TO
_TRACED = 500


def ends_of(packet: Packet) -> tuple[End, End]:
    return (packet.source, packet.source_port), (packet.destination, packet.destination_port)


class Picked:
    """How the picked packet is told from others; it is nobody's until `pick`.

    ``ends``: TO, and all that a connection to it may be translated to.
    """

    def __init__(self, protocol: str, ends: Set[End]) -> None:
        self.protocol = protocol
        self._ends = ends
        self._has_ports = protocol != "icmp"
        self._picked: Seen | None = None
        self._words = Mark(protocol, 0)
        self._learnt: set[tuple[End, End]] = set()
        self._answer: tuple[int, int, str] | bytes | None = None

    def wants_an_answer(self, seen: Seen) -> bool:
        flags = seen.packet.flags.split(",")
        if seen.error or seen.packet.protocol != self.protocol:
            return False
        if self.protocol == "tcp":
            return "RST" not in flags and (flags == ["SYN"] or seen.length > 0 or "FIN" in flags)
        return len(seen.payload) >= ENOUGH and flags != ["echo reply"]

    def pick(self, seen: Seen) -> None:
        self._picked = seen
        self._words = Mark(self.protocol, seen.sequence, seen.payload)

    def way(self, seen: Seen) -> str:
        if self._picked is None:
            return ""
        if self.protocol != "tcp" or seen.error:
            way = self._words.way(seen)
            known = way != BACK or bool(seen.error) or self._carries_the_answer(seen)
            return way if known else ""
        if seen.packet.protocol != "tcp":
            return ""
        source, destination = ends_of(seen.packet)
        if (source, destination) in self._learnt:
            return THERE if self._is_it(seen, self._picked) else ""
        if (destination, source) in self._learnt:
            return BACK if self._answers(seen, self._picked) else ""
        if destination not in self._ends or not self._is_it(seen, self._picked):
            return ""
        self._learnt.add((source, destination))
        return THERE

    def _is_it(self, seen: Seen, picked: Seen) -> bool:
        """An acknowledgement without data has the sequence number of the data after it."""
        same = seen.sequence == picked.sequence and ("SYN" in seen.packet.flags) == ("SYN" in picked.packet.flags)
        return same and self.wants_an_answer(seen)

    def _carries_the_answer(self, seen: Seen) -> bool:
        """The first datagram that came back, or of the DNS the first with the question's ID (RFC 1035, 4.1.1): two
        questions may be sent at once."""
        if seen.packet.source_port == _DNS and seen.payload[:2] != self._words.payload[:2]:
            return False
        if not isinstance(self._answer, bytes):
            self._answer = seen.payload
        size = min(len(self._answer), len(seen.payload))
        return self._answer[:size] == seen.payload[:size]

    def _answers(self, seen: Seen, picked: Seen) -> bool:
        flags, asked = seen.packet.flags, picked.packet.flags
        end = picked.sequence + picked.length + ("SYN" in asked) + ("FIN" in asked)
        if self._answer is None and ("RST" in flags or ("ACK" in flags and (seen.acknowledged - end) & _MASK < _HALF)):
            self._answer = seen.sequence, seen.acknowledged, flags
        return self._answer == (seen.sequence, seen.acknowledged, flags)

    def filter(self) -> str:
        if not self._has_ports:
            return ICMP
        ports = " or ".join(f"{self.protocol} port {port}" for port in sorted({port for _, port in self._ends}))
        return f"{ICMP} or {ports}"

    def table(self) -> str:
        """Of all that is to or from one of the ends, so many a second."""
        sets, marking = [], []
        with_port, protocol = (" . th {}port", f"meta l4proto {self.protocol} ") if self._has_ports else ("", "")
        for family, kind in KINDS.items():
            rows = sorted(end for end in self._ends if (":" in end[0]) == (family == "ip6"))
            words = ", ".join(f"{address} . {port}" if self._has_ports else address for address, port in rows)
            if not rows:
                continue
            keys = f"{kind} . inet_service" if self._has_ports else kind
            sets.append(f"set ends-{family} {{ type {keys}; elements = {{ {words} }}; }}")
            for way in ("d", "s"):
                match = f"{protocol}{family} {way}addr{with_port.format(way)} @ends-{family}"
                marking.append(f"{match} limit rate {_TRACED}/second burst {_TRACED} packets meta nftrace set 1")
        return own_table(sets, marking)


class Overheard:
    """Who sends is somebody else.  To be made in FROM's network namespace.

    ``home``: that namespace's key; ``to``: TO as its sender knows it; ``ends``: as `Picked` has them; ``source_port``:
    of which connection, 0 for any; ``waits``: for so many seconds.
    """

    writes = False

    def __init__(
        self, home: str, netns: int, protocol: str, to: End, ends: Set[End], source_port: int, waits: float
    ) -> None:
        self.mark = Picked(protocol, ends)
        self.waits = waits
        self._home, self._to, self._ends, self._source_port = home, to, ends, source_port
        self._since = 0
        self._packet: Packet | None = None
        self._answer: Answer | None = None
        self._others: set[tuple[End, End]] = set()
        with contextlib.closing(Netlink(netns)) as netlink:
            self._own = {row.address for version in (4, 6) for row in addresses.briefly(netlink, version)}
        self._conntrack = Conntrack()
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def send(self) -> Answer | None:
        """Nothing; what passes from now on counts."""
        self._since = time.time_ns()
        return None

    def fileno(self) -> int:
        return self._event

    def close(self) -> None:
        os.close(self._event)
        self._conntrack.close()

    def packet(self) -> Packet | None:
        return self._packet

    def answer(self) -> Answer | None:
        return self._answer

    def hear(self, space: str, sniffed: Sniffed, seen: Seen) -> None:
        """Pick, then wait for the answer to come home."""
        row = sniffed.packet
        if self._packet is None:
            if row.time >= self._since and self.mark.wants_an_answer(seen):
                self._packet = self._as_sent(seen.packet)
            if self._packet is not None:
                self.mark.pick(seen)
            return
        home = space == self._home and row.kind != OUTGOING and seen.outer is None
        if home and self._answer is None and self.mark.way(seen) == BACK:
            reset = "Connection reset by peer" if "RST" in seen.packet.flags else ""
            self._answer = Answer(seen.error or reset)
            os.eventfd_write(self._event, 1)

    def _as_sent(self, packet: Packet) -> Packet | None:
        """With the addresses that its sender's socket has; None for what is another's."""
        source, destination = ends_of(packet)
        if packet.source not in self._own or (source, destination) in self._others:
            return None
        sent = source
        if destination != self._to:
            sent = self._sent_by(source, destination) if destination in self._ends else ("", 0)
        if sent[0] in self._own and self._source_port in (0, sent[1]):
            return Packet(packet.protocol, *sent, *self._to, packet.ttl, packet.flags, packet.size)
        self._others.add((source, destination))
        return None

    def _sent_by(self, source: End, destination: End) -> End:
        """What a machine itself sends is seen after its translation, which connection tracking knows."""
        for row in self._conntrack.tracked():
            flow = row.flow
            answered = (flow.answered_by, flow.answered_by_port), (row.answers_to, row.answers_to_port)
            if answered == (destination, source) and (flow.destination, flow.destination_port) == self._to:
                return flow.source, flow.source_port
        return "", 0
