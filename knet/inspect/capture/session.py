"""A capture under way: a ring on each place, and what becomes of the places meanwhile.

A pod that ends leaves the capture, so that nothing of it stays behind for our sake; a machine's interface may vanish.
Where members were chosen (``svc/web``, ``all``, a pattern), whoever becomes one later joins: we look once a second, so
what a pod sends in its first second may be missing.  Each such event is told in a line, and the capture goes on with
what is left.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from knet.client import ApiError, Unavailable
from knet.errors import KnetError
from knet.inspect.capture.noise import EXPRESSION
from knet.inspect.inventory import Inventory
from knet.inspect.places import Place, Site, Sites
from knet.kernel import bpf
from knet.kernel.files import allow_files
from knet.kernel.packets import BLOCK, Ring, Seen
from knet.kernel.tap import Tap

#: of the computer's memory, what rings may take all together; bytes at most for one: at 50,000 packets a second seconds
_MEMORY, _MOST = 1 / 32, 64 << 20
#: above everybody else: who is late has lost packets
_URGENCY = -10
#: seconds between looks at what has become of the places, and at who has become a member
_LOOK, _JOIN = 0.25, 1.0


class Capture:
    """Packets of the places that ``words`` choose, without noise unless wanted, in batches in the order of their times.

    ``told`` hears what happens to places.  ``renewed`` reads the inventory again, for members to come; it is called by
    a thread.  ``up`` tells whether there still is a cluster: its namespaces live as long as anybody looks.

    KnetError for words and expressions that make no sense, and for places that cannot be looked at.
    """

    def __init__(
        self,
        sites: Sites,
        words: Sequence[str],
        namespace: str = "default",
        expression: str = "",
        noise: bool = False,
        told: Callable[[str], None] = lambda _: None,
        renewed: Callable[[], Inventory] | None = None,
        up: Callable[[], bool] = lambda: True,
    ) -> None:
        self.places: list[Place] = []
        self.received: list[int] = []
        self._sites = sites
        self._words, self._namespace = words, namespace
        self._told = told
        self._up = up
        self._joining: queue.SimpleQueue[Place] = queue.SimpleQueue()
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None
        self._program = _program(expression, noise)
        places = sites.places(words, namespace)
        self._renewed = renewed if any(not row.named for row in sites.inventory.choose(words, namespace)) else None
        self._share = max(min(int(_MEMORY * _installed()) // len(places), _MOST), 2 * BLOCK)
        self._tap: Tap[int] = Tap({})
        allow_files(3 * len(places))
        for place in sorted(places, key=_height):
            try:
                self._open(place)
            except OSError as error:
                self._tap.close()
                raise KnetError(f"{place}: {error.strerror}") from None

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._over.set()
        if self._watcher is not None:
            self._watcher.join()
        self._tap.close()

    def urgent(self) -> None:
        """Have the calling thread, and those that it starts from now on, go before others on a busy computer."""
        with contextlib.suppress(PermissionError):  # then it goes as fast as it may
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _URGENCY)

    def stop(self) -> None:
        """Let `batches` come to its end; may be called by anybody, a signal's handler too."""
        self._over.set()

    @property
    def lost(self) -> list[int]:
        """How many packets the ring of each place had no room for."""
        found = self._tap.lost
        return [found[number] for number in range(len(self.places))]

    def batches(self, count: int = 0, seconds: float = 0) -> Iterator[list[Seen[int]]]:
        """Packets with their places' numbers in `places`, until `stop`, so many packets, or so many seconds from now.

        A batch may be empty: it is there at least four times a second, for whoever has something to look after.
        """
        left = count or -1
        until = time.time_ns() + int(seconds * 1e9) if seconds else 0
        if self._renewed is not None:
            self._watcher = threading.Thread(target=self._watch, args=[self._renewed], name="knet-members", daemon=True)
            self._watcher.start()
        looked = time.monotonic()
        while not self._over.is_set() and not (until and time.time_ns() >= until):
            batch = self._counted(self._tap.read(_LOOK), left)
            left -= len(batch)
            yield batch
            if not left:
                return
            if time.monotonic() - looked >= _LOOK:
                self._look()
                looked = time.monotonic()
            if not self._tap.open and self._renewed is None:
                self._told("nothing is left to look at")
                break
        end = min(time.time_ns(), until or time.time_ns())
        yield self._counted(self._tap.finish(end), left)

    def _counted(self, batch: list[Seen[int]], left: int) -> list[Seen[int]]:
        """At most so many of a batch (-1: all)."""
        taken = batch if left < 0 else batch[:left]
        for row in taken:
            self.received[row[1]] += 1
        return taken

    # ---- places come and go --------------------------------------------------------------------------------------

    def _open(self, place: Place) -> None:
        ring = Ring(place.interface, place.site.netns, self._program, self._share)
        self._tap.add(len(self.places), ring)
        self.places.append(place)
        self.received.append(0)

    def _look(self) -> None:
        if not self._up():
            self._told("the cluster has gone")
            self._over.set()
            return
        for number in self._tap.vanished():
            if self.places[number].site.alive:
                self._told(f"{self.places[number]} has vanished; the capture goes on without it")
        ended = [self.places[number].site for number in self._tap.open if not self.places[number].site.alive]
        for site in {id(site): site for site in ended}.values():
            self._leave(site)
            self._told(f"{site.name} has ended; the capture goes on without it")
        while not self._joining.empty():
            place = self._joining.get()
            try:
                self._open(place)
            except OSError:  # it has gone already
                continue
            self._told(f"{place} has joined")

    def _leave(self, site: Site) -> None:
        """Let go of a pod's network: nobody else holds it any more."""
        for number in self._tap.open:
            if self.places[number].site is site:
                self._tap.drop(number)
        self._sites.forget(site)

    def _watch(self, renewed: Callable[[], Inventory]) -> None:
        """In a thread: whoever has become a member."""
        known = {_identity(place) for place in self.places}
        while not self._over.wait(_JOIN):
            try:
                fresh = renewed()
                if fresh.blind:
                    continue
                self._sites.renew(fresh)
                found = self._sites.places(self._words, self._namespace)
            except (KnetError, ApiError, Unavailable, OSError):
                continue  # nobody is one now, or somebody is just leaving, or nobody can say; asked again in a moment
            for place in found:
                if _identity(place) not in known:
                    known.add(_identity(place))
                    self._joining.put(place)


def _program(expression: str, noise: bool) -> bpf.Program:
    try:
        return bpf.program(expression, "" if noise else EXPRESSION)
    except bpf.FilterError as error:
        reason = str(error).removeprefix("can't parse filter expression: ")
        raise KnetError(f"filter {expression!r}: {reason} (man pcap-filter tells how)") from None
    except OSError as error:
        raise KnetError(f"filters need libpcap ({error}); apt-get install tcpdump") from None


def _identity(place: Place) -> tuple[str, str]:
    """A pod of a StatefulSet has its predecessor's name."""
    return place.name, place.site.held.id if place.site.held else ""


def _height(place: Place) -> int:
    """How far up in the stack of devices a packet meets it: those of one stamp are told in this order."""
    return {"vxlan": 1, "bridge": 2}.get(place.kind, 0)


def _installed() -> int:
    """Bytes of memory that the computer has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
