"""Who lives in a machine, and what happens to all of them at once: their end, a pause.

A machine's processes are those in its mount namespace (its components, the shim, what was started by hand), and those
in a network namespace that one of these is in: its pods' pause holds the pod's, so the containers, whose mounts are
their own, are found by it.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path


def inhabitants(mount_namespace: int) -> list[int]:
    """The processes of the machine whose mount namespace that descriptor refers to, seen from this PID namespace."""
    machine = os.fstat(mount_namespace).st_ino
    places: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):  # it has ended meanwhile, or is a zombie
                places[int(entry.name)] = _inode(entry / "ns/mnt"), _inode(entry / "ns/net")
    networks = {net for mnt, net in places.values() if mnt == machine}
    return [pid for pid, (mnt, net) in places.items() if mnt == machine or net in networks]


def end_all(mount_namespace: int) -> None:
    """Kill all processes of a machine, as a power cut would, also those that they start meanwhile."""
    _signal_all(mount_namespace, signal.SIGKILL)


def stop_all(mount_namespace: int) -> None:
    """Stop all processes of a machine where they are, until `go_on`."""
    _signal_all(mount_namespace, signal.SIGSTOP)


def go_on(mount_namespace: int) -> None:
    """Let all processes of a machine that have been stopped go on."""
    _signal_all(mount_namespace, signal.SIGCONT)


def _signal_all(mount_namespace: int, number: int) -> None:
    reached: set[int] = set()
    while fresh := [pid for pid in inhabitants(mount_namespace) if pid not in reached]:
        for pid in fresh:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        reached.update(fresh)


def _inode(path: Path) -> int:
    return path.stat().st_ino
