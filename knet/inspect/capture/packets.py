"""Captured packets as scapy's, for scripts and tests.

They are gathered by a thread from the first moment on; one becomes scapy's only when somebody looks at it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from knet.errors import KnetError
from knet.inspect.capture.ends import addresses
from knet.inspect.capture.pcapng import Pcapng
from knet.inspect.capture.run import Curiosity
from knet.inspect.capture.session import Capture
from knet.kernel.packets import OUTGOING, Seen


class Packets:
    """A sequence that grows until `stop`: what has settled, a tenth of a second after it passed.

    Iterating goes through what is there and then waits for more, until it is stopped (leaving the with block does
    that).  Each packet is scapy's, an ``Ether`` with ``time`` (EDecimal seconds), ``place`` ("n1/cni0"), ``outgoing``
    and ``comment`` (bytes, as scapy has it: "default/client → svc/default/web").
    """

    def __init__(self, capture: Capture, curiosity: Curiosity, count: int = 0, seconds: float = 0) -> None:
        self._capture = capture
        self._curiosity = curiosity
        self._comments = Pcapng(curiosity.names)
        self._rows: list[Seen[int]] = []
        self._made: dict[int, Any] = {}
        self._news = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._gather, args=(count, seconds), name="knet-capture", daemon=True)
        self._thread.start()

    def _gather(self, count: int, seconds: float) -> None:
        try:
            for batch in self._capture.batches(count, seconds):
                with self._news:
                    self._rows += batch
                    self._news.notify_all()
        finally:
            with self._news:
                self._over = True
                self._news.notify_all()

    def stop(self) -> None:
        """No more from now on; all that passed before is there when it returns."""
        self._capture.stop()
        self._thread.join()

    @property
    def lost(self) -> dict[str, int]:
        """How many packets there was no room for, by place; to be asked when it has been stopped."""
        rows = zip(self._capture.places, self._capture.lost, strict=True)
        return {place.name: lost for place, lost in rows if lost}

    def wait(self, wanted: Callable[[Any], bool], timeout: float = 10) -> Any:
        """The first packet, of all from the beginning on, that is what is wanted; KnetError after so many seconds."""
        deadline = time.monotonic() + timeout
        for packet in self._until(deadline):
            if wanted(packet):
                return packet
        raise KnetError(f"none of {len(self)} captured packets is the one waited for")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        return self._packet(range(len(self._rows))[index])

    def __iter__(self) -> Iterator[Any]:
        return self._until(None)

    def _until(self, deadline: float | None) -> Iterator[Any]:
        index = 0
        while True:
            with self._news:
                while index >= len(self._rows):
                    left = None if deadline is None else deadline - time.monotonic()
                    if self._over or not self._news.wait(left):
                        return
            yield self._packet(index)
            index += 1

    def _packet(self, index: int) -> Any:
        if index not in self._made:
            self._made[index] = self._scapy(self._rows[index])
        return self._made[index]

    def _scapy(self, row: Seen[int]) -> Any:
        from scapy.layers.l2 import Ether
        from scapy.utils import EDecimal

        data = row.data
        made = Ether(data)
        made.time = EDecimal(row.time) / 10**9
        made.wirelen = row.length
        made.place = self._capture.places[row.place].name
        made.outgoing = row.kind == OUTGOING
        comment = self._comments.comment(*addresses(data))
        if self._curiosity.satisfied():
            comment = self._comments.comment(*addresses(data))
        made.comment = comment.encode()
        return made
