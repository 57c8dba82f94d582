"""Hears connections begin and end on all machines while somebody records: one ring each, for all its interfaces."""

import threading
import time
from collections.abc import Collection, Mapping

from knet.inspect.timeline.attempts import Attempt, Attempts
from knet.inspect.timeline.event import realtime_offset
from knet.inspect.timeline.segments import segment, wanted
from knet.kernel import links
from knet.kernel.netlink import Netlink
from knet.kernel.packets import BLOCK, EVERYWHERE, Ring, Seen
from knet.kernel.tap import Tap

#: of kernel memory, for each machine; a connection takes two dozen packets of 200 bytes
_MEMORY = 8 * BLOCK
#: seconds for which packets gather; there is room for 50,000 a second
_TURN = 0.1


class Listening:
    """From now on until `close`.  ``machines``: descriptors of network namespaces, by machine; not kept.

    ``ports``: of UDP, to which datagrams are heard.  OSError where the kernel has no memory for it.
    A thread of its own reads: what it costs is paid by who records, not by the cluster.
    """

    def __init__(self, machines: Mapping[str, int], ports: Collection[int] = ()) -> None:
        self._attempts = Attempts()
        self._offset = realtime_offset()
        self._lost: dict[str, int] = {}
        self._until = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        rings: dict[str, Ring] = {}
        try:
            for machine, netns in machines.items():
                rings[machine] = Ring(EVERYWHERE, netns, wanted(_bridges(netns), ports), _MEMORY)
        except OSError:
            for ring in rings.values():
                ring.close()
            raise
        self._tap = Tap(rings)
        self._thread = threading.Thread(target=self._run, name="knet-listening", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear what has been sent until now, and nothing more."""
        if not self._until:
            self._until = time.time_ns()
            self._over.set()
            self._thread.join()

    @property
    def attempts(self) -> list[Attempt]:
        """The connections heard so far; the latest packets settle two tenths of a second after they were sent."""
        return self.after(0)[0]

    def after(self, count: int) -> tuple[list[Attempt], int]:
        """Those after the first so many, and how many there were in all."""
        with self._lock:
            forgotten, kept = self._attempts.forgotten, self._attempts.all
            return kept[max(count - forgotten, 0) :], forgotten + len(kept)

    @property
    def gaps(self) -> list[str]:
        """What was not heard, in sentences."""
        found = [f"{lost} packets of connections were not heard on {name}" for name, lost in self._lost.items() if lost]
        if self._attempts.forgotten:
            found.append(f"of the first {self._attempts.forgotten} connections nothing is remembered")
        return found

    def _run(self) -> None:
        with self._tap as tap:
            while not self._over.wait(_TURN):
                self._learn(tap.read(0))
            self._learn(tap.finish(self._until))
            self._lost = tap.lost

    def _learn(self, seen: list[Seen[str]]) -> None:
        found = (segment(row.place, row.packet, self._offset) for row in seen)
        with self._lock:
            self._attempts.add(row for row in found if row is not None)


def _bridges(netns: int) -> tuple[int, ...]:
    with Netlink(netns) as netlink:
        return tuple(link.index for link in links.list_links(netlink) if link.kind == "bridge")
