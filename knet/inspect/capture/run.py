"""A capture from its places to its sink: encode what comes, look new names up, say how it went."""

import contextlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from knet.inspect.capture.session import Capture
from knet.inspect.capture.sink import Sink
from knet.inspect.names import Names
from knet.inspect.places import Place
from knet.kernel.packets import Seen

#: seconds between questions about addresses that nobody knows, doubled while nobody does
_ASK = (0.5, 30.0)
#: seconds that packets wait for their names
_MOMENT = 0.05


class Encoder(Protocol):
    """Packets as bytes: `Pcapng`, `Lines`.  Places are known by their number, in the order in which they were told."""

    def begin(self, places: Iterable[Place]) -> bytes:
        """What stands before the first packet."""

    def joined(self, place: Place) -> bytes:
        """What tells of one more place."""

    def packets(self, batch: Iterable[Seen[int]]) -> bytes:
        """Packets, each whole; to be called again for the same ones where names have been learnt by it."""

    def end(self, counts: Iterable[tuple[int, int]], now: int) -> bytes:
        """What stands after the last one: of each place how many packets came, and how many of them got lost."""

    def forget(self) -> None:
        """Names have changed."""


@dataclass
class Curiosity:
    """Looks addresses up that were asked for in vain, ever more rarely while that brings nothing.

    ``learn`` begins to ask the API server, which answers at once or, if it cannot, whenever: nobody waits for it long.
    """

    names: Names
    learn: Callable[[], "Future[None]"]
    wait: float = 0.0
    due: float = 0.0
    asking: "Future[None] | None" = None

    def satisfied(self) -> bool:
        """Whether some of them are known now."""
        if self.asking is None:
            if not self.names.unknown or time.monotonic() < self.due:
                return False
            self.asking = self.learn()
        with contextlib.suppress(TimeoutError):
            self.asking.exception(_MOMENT)
        if not self.asking.done():
            return False
        self.asking = None
        found = {address for address in self.names.unknown if address in self.names}
        self.wait = _ASK[0] if found else min(max(2 * self.wait, _ASK[0]), _ASK[1])
        self.due = time.monotonic() + self.wait
        self.names.unknown.clear()
        return bool(found)


def run(
    capture: Capture, encoder: Encoder, sink: Sink, curiosity: Curiosity, count: int = 0, seconds: float = 0
) -> str:
    """To its end: so many packets, so many seconds, `Capture.stop`, a reader that leaves.  How it went, in a line.

    KnetError where the sink cannot be written.
    """
    begin = time.monotonic()
    told = len(capture.places)
    sink.put(encoder.begin(capture.places), 0)
    for batch in capture.batches(count, seconds):
        data = b"".join(map(encoder.joined, capture.places[told:]))
        told = len(capture.places)
        if batch:
            packets = encoder.packets(batch)
            if curiosity.satisfied():
                encoder.forget()
                packets = encoder.packets(batch)
            sink.put(data + packets, len(batch))
        elif data:
            sink.put(data, 0)
        if sink.gone:
            break
    lost = capture.lost
    sink.put(encoder.end(zip(capture.received, lost, strict=True), time.time_ns()), 0)
    read = sink.close()
    words = [_counted(capture, time.monotonic() - begin), _lost(capture.places, lost)]
    if sink.left_out:
        words.append(f"{sink.left_out:,} left out, because the reader did not read")
    elif not read:
        words.append("the last ones left out, because the reader did not read")
    if sink.gone:
        words.append("the reader has left")
    return "; ".join(words)


def _counted(capture: Capture, seconds: float) -> str:
    packets, places = sum(capture.received), len(capture.places)
    return f"{packets:,} packet{'s' * (packets != 1)} at {places} place{'s' * (places != 1)} in {seconds:.1f} s"


def _lost(places: Iterable[Place], lost: Iterable[int]) -> str:
    rows = [f"{number:,} at {place}" for place, number in zip(places, lost, strict=True) if number]
    return f"LOST, because the rings were full: {', '.join(rows)}" if rows else "none lost"
