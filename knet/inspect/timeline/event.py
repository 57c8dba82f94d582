"""One thing that happened, whoever told of it."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

#: what an event can be, in the order in which events with one stamp are shown
KINDS = {
    "network": "links, partitions and machines, as somebody changed them",
    "component": "a component's process began or ended",
    "write": "a write to the API, with its revision",
    "decision": "what a component says in a Kubernetes Event",
    "binding": "a pod and the node chosen for it, with scores",
    "sandbox": "a pod's namespaces and its network",
    "container": "a container's process began or ended",
    "probe": "a probe's result, where it differs from the one before",
    "signal": "preStop, SIGTERM, SIGKILL; args[0] says which",
    "rules": "what kube-proxy and network policies told the kernel",
    "routes": "what flanneld told the kernel",
    "packet": "a packet on the wire",
}


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``at`` is CLOCK_MONOTONIC, nanoseconds, when it was done; ``duration``, likewise, is how long that took.

    ``actor`` is who did it, and where: ``kubelet@n1``, ``kubectl``.  ``objects`` are those concerned, the first one
    most, as ``pod/default/web-0`` or ``node/n1``.  ``text`` is for people; ``args``, of which it is made, for programs.
    """

    at: int
    actor: str
    kind: str
    objects: tuple[str, ...] = ()
    text: str = ""
    revision: int = 0
    duration: int = 0
    #: the user in whose name it was written
    user: str = ""
    args: tuple[str | int | float | None, ...] = ()

    @property
    def machine(self) -> str:
        """Where it happened, "" if nowhere in particular."""
        return self.actor.partition("@")[2]

    @property
    def by_somebody(self) -> bool:
        """It was written by a person or a program of theirs, not by a component."""
        return bool(self.user) and not self.user.startswith("system:")


def ref(kind: str, namespace: str, name: str) -> str:
    """How an event names an object; ``kind`` is its resource's singular."""
    return f"{kind}/{namespace}/{name}" if namespace else f"{kind}/{name}"


def short(name: str) -> str:
    """``pod/default/web-0`` → ``pod/web-0``, as people name it; ``kube-system/pod/x`` elsewhere."""
    kind, *rest = name.split("/")
    if len(rest) == 2:
        return f"{kind}/{rest[1]}" if rest[0] == "default" else f"{rest[0]}/{kind}/{rest[1]}"
    return name


def moment(realtime: int) -> str:
    """RFC 3339 with nanoseconds, UTC."""
    return f"{datetime.fromtimestamp(realtime // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{realtime % 10**9:09d}Z"


def since(nanoseconds: int) -> str:
    """An offset, in seconds to the tenth of a millisecond: `` +0.0041``."""
    sign = "+" if nanoseconds else " "
    return f"{sign}{nanoseconds / 1e9:.4f}".rjust(9)


def spelled(nanoseconds: int) -> str:
    """``2.1 ms``, ``340 µs``, ``1.2 s``"""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1000)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds} ns"


_RANK = {kind: place for place, kind in enumerate(KINDS)}


def ordered(*sources: Iterable[Event]) -> list[Event]:
    """All events, in the order in which they happened; writes by their revision where stamps are alike."""
    events = [event for source in sources for event in source]
    return sorted(events, key=lambda row: (row.at, _RANK.get(row.kind, len(_RANK)), row.revision))


def from_realtime(at: int) -> int:
    """A CLOCK_REALTIME stamp (a packet's) as CLOCK_MONOTONIC, nanoseconds, by how far the two are apart now."""
    return at - realtime_offset()


def realtime_offset() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC, nanoseconds: the closest of some looks, the clocks being read in turn."""
    looks = []
    for _ in range(5):
        before, real, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        looks.append((after - before, real - (before + after) // 2))
    return min(looks)[1]
