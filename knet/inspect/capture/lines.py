"""Packets for people: a line each, who to whom by name, what it says, and what is inside the tunnel.

::

    12:01:07.663207  n1/cni0      in   default/client:41822 > svc/default/web:80  TCP SYN  ttl 64
    12:01:07.663241  n1/n1-eth0   out  n1 > n2  VXLAN vni 1 │ default/client:41822 > default/web-0:8080  TCP SYN  ttl 63

Pure.  Colours are the terminal's sixteen, written as such, because a library's markup costs more than all the rest.
"""

import time
from collections.abc import Callable, Iterable

from knet.inspect.capture.decode import Message, decode
from knet.inspect.names import Names
from knet.inspect.places import Place
from knet.kernel.packets import BROADCAST, MULTICAST, OUTGOING, TO_OTHERS, TO_US, Seen

_DIM, _BOLD, _RED, _YELLOW, _CYAN = "2", "1", "31", "33", "36"
#: of places, in turn
_PLACES = ("32", "34", "35", "36", "33", "92", "94", "95", "96", "93")
_PROTOCOLS = {"TCP": _BOLD, "DNS": _CYAN, "ARP": _DIM, "ICMP": _YELLOW, "ICMPv6": _YELLOW}
_WAYS = {OUTGOING: "out", TO_US: "in", TO_OTHERS: "in", BROADCAST: "in", MULTICAST: "in"}


class Lines:
    """Turns packets into text; ``colour``: for a terminal that has colours."""

    def __init__(self, names: Names, colour: bool) -> None:
        self._names = names
        self._paint: Callable[[str, str], str] = _painted if colour else lambda text, _: text
        self._places: list[str] = []
        self._width = 0

    def begin(self, places: Iterable[Place]) -> bytes:
        """What stands before the first packet: nothing."""
        return b"".join(map(self.joined, places))

    def joined(self, place: Place) -> bytes:
        """One more place: the next number is its."""
        self._places.append(place.name)
        self._width = max(self._width, len(place.name))
        return b""

    def packets(self, batch: Iterable[Seen[int]]) -> bytes:
        """Packets of places by their numbers."""
        return "".join(map(self._line, batch)).encode()

    def end(self, counts: Iterable[tuple[int, int]], now: int) -> bytes:
        """What stands after the last packet: nothing."""
        return b""

    def forget(self) -> None:
        """Names have changed: nothing is remembered here."""

    def _line(self, seen: Seen[int]) -> str:
        seconds, rest = divmod(seen.time, 1_000_000_000)
        stamp = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1000:06d}"
        place = self._places[seen.place].ljust(self._width)
        words = (
            self._paint(stamp, _DIM),
            self._paint(place, _PLACES[seen.place % len(_PLACES)]),
            self._paint(_WAYS.get(seen.kind, "").ljust(3), _DIM),
            self._message(decode(seen.data, self._names)),
        )
        return "  ".join(words) + "\n"

    def _message(self, message: Message) -> str:
        ends = f"{message.source} > {message.destination}"
        if message.inner is not None:
            outside = self._paint(f"{ends}  {message.protocol} {message.text} │", _DIM)
            return f"{outside} {self._message(message.inner)}"
        said = f"{message.protocol} {message.text}"
        colour = _RED if message.failure else _PROTOCOLS.get(message.protocol, "")
        ttl = self._paint(f"  ttl {message.ttl}", _DIM) if message.ttl else ""
        return f"{ends}  {self._paint(said, colour) if colour else said}{ttl}"


def _painted(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m"
