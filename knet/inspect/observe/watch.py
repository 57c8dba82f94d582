"""Listening in many network namespaces at once while a probe is under way.

It is over as soon as it is decided: the sender's socket has its answer, a rule has dropped the packet, or nothing of
the probe has been seen for longer than the links can hold it back.
"""

import selectors
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple

from knet.inspect.observe.frames import Seen, frame, packet
from knet.inspect.observe.probes import Answer, Sender
from knet.kernel import bpf, nft
from knet.kernel.namespaces import Namespaces, entered
from knet.kernel.nftrace import Event, Nftrace
from knet.kernel.packets import OUTGOING, TO_OTHERS
from knet.kernel.sniffer import Sniffed, Sniffer

#: of packets, and of each namespace's rules' traces: what came last, while nobody knows yet what is to be followed
_KEPT = 1 << 15


class Sight(NamedTuple):
    """The probe, or its answer, seen on an interface."""

    space: str
    """the namespace, by the key that it was given with"""
    interface: str
    out: bool
    foreign: bool
    """it came in with another's hardware address"""
    at: int
    seen: Seen
    way: str


@dataclass
class Watched:
    """All that was seen."""

    sights: list[Sight] = field(default_factory=list)
    """in the order in which they happened"""
    events: dict[str, list[Event]] = field(default_factory=dict)
    """of rules, in their order, by namespace"""
    answer: Answer | None = None
    """None where there was none"""

    def way(self, way: str) -> list[Sight]:
        return [row for row in self.sights if row.way == way]


class Watch:
    """Listens from its making until `close`.

    ``spaces``: descriptors of network namespaces; ``ruled``: those in which the kernel is asked to trace rules, by a
    table that vanishes with this process at the latest.  OSError, RulesError.
    """

    def __init__(self, sender: Sender, spaces: Mapping[str, int], ruled: frozenset[str]) -> None:
        self._sender = sender
        self._closing: list[Callable[[], None]] = []
        self._sniffers: dict[str, Sniffer] = {}
        self._traces: dict[str, Nftrace] = {}
        self._raw: deque[tuple[str, Sniffed, Seen]] = deque(maxlen=_KEPT)
        self._events: dict[str, deque[Event]] = {name: deque(maxlen=_KEPT) for name in spaces}
        self._told: dict[str, bool] = {}
        """whether what a namespace's rules tell of just now is what is followed"""
        self._dropped = False
        taken = bpf.program(sender.mark.filter())
        try:
            for name, netns in spaces.items():
                with entered(Namespaces({"net": netns})):
                    self._listen(name, taken, name in ruled)
        except BaseException:
            self.close()
            raise

    def _listen(self, name: str, taken: bpf.Program, ruled: bool) -> None:
        self._sniffers[name] = sniffer = Sniffer(taken)
        self._closing.append(sniffer.close)
        if ruled:
            self._traces[name] = trace = Nftrace()
            self._closing += [trace.close, nft.Owned(self._sender.mark.table()).close]

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """All at once: for each the kernel waits until nobody uses it any more (RCU), 10 to 20 ms."""
        closing, self._closing = self._closing, []
        with ThreadPoolExecutor(max(len(closing), 1)) as threads:
            for done in [threads.submit(close) for close in closing]:
                done.result()

    def run(self, patience: float, answering: float) -> Watched:
        """Send, and follow until it is decided: nothing was seen for ``patience`` seconds, or nothing was answered for
        ``answering`` ones by a program that has it."""
        answer = self._sender.send()
        with selectors.DefaultSelector() as selector:
            for listening in (self._sniffers, self._traces):
                for row in listening.values():
                    selector.register(row.fileno(), selectors.EVENT_READ)
            ready = selectors.EVENT_WRITE if self._sender.writes else selectors.EVENT_READ
            if answer is None:
                selector.register(self._sender, ready, self._sender)
            since, wait = time.monotonic(), self._sender.waits + patience
            while answer is None and not self._dropped:
                found = selector.select(max(since + wait - time.monotonic(), 0))
                if not found:
                    break
                if any(key.data is self._sender for key, _ in found):
                    answer = self._sender.answer()
                if self._gather():
                    since = time.monotonic()
                    wait = max(patience, answering) if self._sender.mark.protocol == "udp" else patience
                elif time.monotonic() - since > wait:
                    break
        self._gather()  # all that happened before the answer is there by now
        return self._sorted(answer)

    def _gather(self) -> bool:
        """Read all that has come; whether anything of it was the probe's."""
        ours = False
        for name, sniffer in self._sniffers.items():
            for row in sniffer.read():
                seen = frame(row.packet.data)
                if seen is None:
                    continue
                self._raw.append((name, row, seen))  # an answer, perhaps, that was read before what it answers
                self._sender.hear(name, row, seen)
                ours |= bool(self._sender.mark.way(seen))
        for name, trace in self._traces.items():
            for event in trace.read():
                self._events[name].append(event)
                if event.network:
                    first = packet(event.network + event.transport)
                    self._told[name] = first is not None and bool(self._sender.mark.way(first))
                self._dropped |= event.verdict == "drop" and self._told.get(name, False)
        return ours

    def _sorted(self, answer: Answer | None) -> Watched:
        """By time; within a namespace in the order in which packets passed."""
        found = Watched(events={name: list(rows) for name, rows in self._events.items() if rows}, answer=answer)
        for name, (interface, row), seen in sorted(self._raw, key=lambda row: row[1].packet.time):
            if way := self._sender.mark.way(seen):
                out, foreign = row.kind == OUTGOING, row.kind == TO_OTHERS
                found.sights.append(Sight(name, interface, out, foreign, row.time, seen, way))
        return found
