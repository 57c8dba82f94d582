"""What is kept of each run of a container: N.json says what was started, N.exit how it ended.

Both lie in the container's directory (`PodPaths.container`), N being the restart count.
"""

import os
from pathlib import Path

import msgspec

from knet.kubelet.runtime.paths import PodPaths
from knet.kubelet.state import Attempt, Exit

#: what a container that could not be executed reports, as containerd does
START_ERROR = 128
#: what one reports whose exit code nobody learned (upstream's ContainerStatusUnknown)
UNKNOWN_CODE = 137
UNKNOWN = "The container could not be located when the pod was terminated"
#: bytes of a termination message that are kept
MESSAGE_BYTES = 4096
#: of a log that stands in for a message: its last lines, and of these the last bytes
MESSAGE_LINES, LOG_BYTES = 80, 2048


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """N.json."""

    id: str
    container: str
    number: int
    image: str
    image_id: str
    created_at: float
    env: dict[str, str]
    cwd: str
    user: str
    group: int | None
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...]
    stop_signal: int
    cgroup: str = ""
    limited: bool = False
    logs_as_message: bool = False
    shares: bool = False  # a PID namespace that goes on without it
    pid: int = 0
    ticks: int = 0
    started_at: float = 0.0


class Exited(msgspec.Struct, frozen=True):
    """N.exit, as the shim writes it: ``code`` is negative for a signal. ``reason`` only where we wrote it."""

    code: int
    at: float
    reason: str = ""
    message: str = ""


def attempt_of(record: Record, exit_: Exit | None = None) -> Attempt:
    """A run as status reports it."""
    return Attempt(
        container=record.container,
        number=record.number,
        id=record.id,
        image=record.image,
        image_id=record.image_id,
        started_at=record.started_at or record.created_at,
        exit=exit_,
    )


def exit_of(code: int, at: float, out_of_memory: bool = False, message: str = "") -> Exit:
    """An end as status reports it; ``code`` is negative for a signal, which becomes 128 + its number."""
    number = -code if code < 0 else 0
    shown = 128 + number if number else code
    reason = "OOMKilled" if out_of_memory else "Completed" if shown == 0 else "Error"
    return Exit(shown, at, reason, number, message)


def write_record(directory: Path, record: Record) -> None:
    """Write it anew in one step, readable by nobody else: the environment may hold secrets."""
    fresh = f"{directory}/.{record.number}.json"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(record))
    finally:
        os.close(fd)
    os.rename(fresh, f"{directory}/{record.number}.json")


def write_exit(paths: PodPaths, record: Record, ending: Exited) -> None:
    (paths.container(record.container) / f"{record.number}.exit").write_bytes(msgspec.json.encode(ending))


def read_exit(file: Path) -> Exited | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Exited)
    except FileNotFoundError:
        return None
