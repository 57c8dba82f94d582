"""All probes at once, from all stations, in one process: what came of each.

A packet that was dropped tells nothing, so that silence has to be waited out, and a busy machine is slow to answer.
Hence rounds: a short one for all, a longer one for those of which nothing was heard, and a long one for those that were
expected to get there.  Each ends when it has been quiet for several times the longest answer so far.
"""

import select
import time
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from knet.inspect.reach.probes import ANSWERED, ARRIVED, REFUSED, UNREACHABLE, Heard
from knet.inspect.reach.stations import Station

K = TypeVar("K", bound=Hashable)


class Probe(NamedTuple, Generic[K]):
    """From a station to an address; of ICMP the port is 0."""

    source: K
    address: str
    port: int


@dataclass
class Observation(Generic[K]):
    """What came of a probe."""

    arrived: dict[K, str] = field(default_factory=dict)
    """at which stations, and the sender's address as it was seen there"""
    answer: Heard | None = None
    error: str = ""
    """why it could not even leave"""
    seconds: float = 0.0
    """until the answer"""
    tries: int = 0
    one_way: bool = False
    """no answer can be expected (UDP)"""

    @property
    def reached(self) -> bool:
        """It got to somebody, and (if answers are given at all) the answer got back.

        A refusal counts if it is the destination's own, as is told by an arrival: a packet filter may send one, too.
        """
        if self.answer is None:
            return bool(self.arrived) and self.one_way
        return self.answer.what == ANSWERED or bool(self.arrived)

    def __str__(self) -> str:
        """``answered``, ``refused by 10.244.1.2``, ``dropped: nothing arrived`` …"""
        seen = ", ".join(sorted(set(self.arrived.values())))
        if self.error:
            return f"it could not leave: {self.error}"
        if self.answer is None:
            if self.arrived:
                return f"it arrived, as {seen}" + ("" if self.one_way else ", but no answer came back")
            return f"dropped: nothing arrived ({self.tries} {'try' if self.tries == 1 else 'tries'})"
        if self.answer.what == ANSWERED:
            return "answered"
        if self.answer.what == REFUSED and self.arrived:
            return "it arrived, nobody listens there"
        if self.answer.what == REFUSED:
            return f"reset on the way, in the name of {self.answer.address}"
        if self.arrived:
            return f"it arrived, {self.answer.detail}"
        return f"{self.answer.address} says: {self.answer.detail}"


class _Limit(NamedTuple):
    """Seconds without news after which a round is over: at least, and in longest answers."""

    least: float
    answers: float


#: … and at most in those
_LONGEST = 2.0
#: probes that are sent before it is heard again
_BURST = 64
_ROUNDS = (_Limit(0.05, 4), _Limit(0.2, 8), _Limit(1.0, 16))


def observe(
    stations: Mapping[K, Station],
    probes: Sequence[Probe[K]],
    expected: Collection[int] = (),
    *,
    one_way: bool = False,
    delay: float = 0.0,
    tries: int = 0,
) -> list[Observation[K]]:
    """What comes of each probe.  ``expected``: those, by index, that should get there; ``delay``: seconds that the
    links take there and back; ``tries``: how many it may take where links lose packets."""
    work = _Work(stations, probes, one_way)
    for number, limit in enumerate((*_ROUNDS, *([_ROUNDS[1]] * (tries - len(_ROUNDS))))):
        open_ = [index for index in range(len(probes)) if not work.settled(index)]
        if number >= 2:
            open_ = [index for index in open_ if index in expected]
        if not open_:
            break
        work.send(open_)
        work.wait(open_, limit, delay)
    return work.found


class _Work(Generic[K]):
    """The probes that are on their way."""

    def __init__(self, stations: Mapping[K, Station], probes: Sequence[Probe[K]], one_way: bool) -> None:
        self._stations, self._probes = stations, probes
        self.found: list[Observation[K]] = [Observation(one_way=one_way) for _ in probes]
        self._sent: dict[int, float] = {}
        self._slowest = 0.0
        self._poller = select.poll()
        self._at: dict[int, K] = {}
        for key, station in stations.items():
            for file in station.files:
                self._poller.register(file, select.POLLIN)
                self._at[file.fileno()] = key

    def settled(self, index: int) -> bool:
        """Nothing more is to be learned by waiting."""
        found = self.found[index]
        return bool(found.error or found.answer or (found.one_way and found.arrived))

    def send(self, indexes: Sequence[int]) -> None:
        """One probe each; in between it is heard, so that nobody's buffers fill."""
        for count, index in enumerate(indexes):
            probe, found = self._probes[index], self.found[index]
            self._sent[index] = time.monotonic()
            found.error = self._stations[probe.source].send(index, probe.address, probe.port)
            found.tries += 1
            if count % _BURST == _BURST - 1:
                self._hear(0)

    def wait(self, indexes: Sequence[int], limit: _Limit, delay: float) -> None:
        """Until all of them are settled, or it has been quiet for too long."""
        open_ = {index for index in indexes if not self.settled(index)}
        last = time.monotonic()
        while open_:
            patience = max(limit.least, min(limit.answers * self._slowest, _LONGEST)) + delay
            left = last + patience - time.monotonic()
            if left <= 0:
                break
            if news := self._hear(left):
                last = time.monotonic()
                open_.difference_update(index for index in news if self.settled(index))
        while self._hear(0):  # an arrival may lie behind the answer to it
            pass

    def _hear(self, seconds: float) -> set[int]:
        """Wait so long for news, of which probes it is."""
        news: set[int] = set()
        for key in dict.fromkeys(self._at[file] for file, _ in self._poller.poll(seconds * 1000)):
            now = time.monotonic()
            for heard in self._stations[key].hear():
                if heard.number < len(self.found):
                    self._note(key, heard, now)
                    news.add(heard.number)
        return news

    def _note(self, at: K, heard: Heard, now: float) -> None:
        found = self.found[heard.number]
        if heard.what == ARRIVED:
            found.arrived[at] = heard.address
        elif at == self._probes[heard.number].source and found.answer is None:
            found.answer, found.seconds = heard, now - self._sent[heard.number]
            if heard.what != UNREACHABLE:  # those who say so have waited for others
                self._slowest = max(self._slowest, found.seconds)
