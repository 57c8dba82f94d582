"""Control groups: limits for cpu, memory and the number of processes, and an account of who is in a group.

A group is a path below the hierarchies' roots, ``knet/<cluster>/<machine>/pod<uid>/<container>``, so what belongs to
a cluster can be found and removed by that name alone, from anywhere, whoever died before (`remove_tree`).

Every container has a group in the cgroup2 hierarchy, which counts CPU time even where its controllers are taken by
v1 (the hybrid of both): a mkdir of 0.05 ms, and a process is born into it (`knet.kernel.libc.fork_into`).  Groups in
v1's hierarchies are made only for those that have limits: a process has to join them, and each join waits for a grace
period of the whole kernel, 1 to 4 ms.
"""

import errno
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from knet.kernel import mounts

log = logging.getLogger(__name__)

CONTROLLERS = ("cpu", "memory", "pids")

#: length of the period in which a CPU quota is spent, microseconds (Kubernetes' cpuCFSQuotaPeriod)
PERIOD = 100_000


@dataclass(frozen=True)
class Limits:
    """Zero means: no limit, no request.  CPU in thousandths of a core, memory in bytes."""

    cpu_limit: int = 0
    cpu_request: int = 0
    memory_limit: int = 0
    processes: int = 0


@dataclass(frozen=True)
class Hierarchies:
    """Where the controllers are mounted: one directory for all (v2), or one for each (v1).

    ``account`` is the cgroup2 hierarchy: the same directory, or beside v1 one without controllers of ours.
    """

    unified: bool
    roots: dict[str, Path]
    account: Path

    @property
    def distinct(self) -> list[Path]:
        """The hierarchies, the accounting one first."""
        return list(dict.fromkeys((self.account, *self.roots.values())))

    def create(self, path: str, limits: Limits) -> None:
        """A group with limits; its parents come into being with it.  Raises OSError where the kernel refuses."""
        if self.unified:
            _delegate(self.account, Path(path).parts[:-1])
        for root in self.distinct if limits != Limits() else [self.account]:
            os.makedirs(f"{root}/{path}", exist_ok=True)
        for controller, file, value in settings(limits, self.unified):
            if controller in self.roots:
                (self.roots[controller] / path / file).write_text(value)

    def process_files(self, path: str) -> tuple[str, ...]:
        """The files into which a process writes its pid (or 0, for itself) to join the group."""
        there = [f"{root}/{path}" for root in self.distinct if os.path.isdir(f"{root}/{path}")]
        return tuple(f"{directory}/cgroup.procs" for directory in there)

    def join(self, path: str, pid: int) -> None:
        """Move a process into a group; one that is gone, or a group that is, is nobody's loss."""
        for file in self.process_files(path):
            try:
                Path(file).write_text(str(pid))
            except OSError as error:
                if error.errno not in (errno.ESRCH, errno.ENOENT, errno.ENODEV):
                    raise

    def count_memory(self, path: str, pid: int) -> None:
        """Have v1's controller count to a group what a process, and all that it starts from now on, takes of memory.

        v2's counts for the group that `join` has moved it to.
        """
        if not self.unified and "memory" in self.roots:
            directory = self.roots["memory"] / path
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "cgroup.procs").write_text(str(pid))

    def out_of_memory(self, path: str) -> bool:
        """Whether the kernel has killed one of the group's processes for exceeding its memory limit."""
        if "memory" not in self.roots:
            return False
        file = self.roots["memory"] / path / ("memory.events" if self.unified else "memory.oom_control")
        try:
            rows = dict(line.split() for line in file.read_text().splitlines())
        except OSError:
            return False
        return int(rows.get("oom_kill", "0")) > 0

    def kill(self, path: str) -> None:
        """SIGKILL to all processes of a group, and to those that they start meanwhile."""
        file = self.account / path / "cgroup.procs"
        killed: set[int] = set()
        with suppress(FileNotFoundError):
            while pids := set(map(int, file.read_text().split())) - killed:
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                killed |= pids

    def remove_tree(self, path: str) -> None:
        """Remove a group and all below it; groups that still hold processes stay, and are named in the log."""
        for root in self.distinct:
            for directory in _bottom_up(root / path):
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    pass
                except OSError as error:
                    log.info("cgroup %s stays: %s", directory, error.strerror)


def settings(limits: Limits, unified: bool) -> Iterator[tuple[str, str, str]]:
    """Limits as (controller, file, value), in the formulas of runc and KEP-2254."""
    if limits.cpu_request:
        shares = max(2, limits.cpu_request * 1024 // 1000)
        if unified:
            yield "cpu", "cpu.weight", str(1 + (min(shares, 262144) - 2) * 9999 // 262142)
        else:
            yield "cpu", "cpu.shares", str(shares)
    if limits.cpu_limit:
        quota = max(1000, limits.cpu_limit * PERIOD // 1000)
        if unified:
            yield "cpu", "cpu.max", f"{quota} {PERIOD}"
        else:
            yield "cpu", "cpu.cfs_period_us", str(PERIOD)
            yield "cpu", "cpu.cfs_quota_us", str(quota)
    if limits.memory_limit:
        yield "memory", "memory.max" if unified else "memory.limit_in_bytes", str(limits.memory_limit)
    if limits.processes:
        yield "pids", "pids.max", str(limits.processes)


def find() -> Hierarchies | None:
    """The hierarchies that this mount namespace shows; None if it shows no cgroup2 one."""
    unified: Path | None = None
    separate: dict[str, Path] = {}
    for line in Path("/proc/thread-self/mountinfo").read_text().splitlines():
        fields, _, tail = line.partition(" - ")
        _, _, _, base, place = fields.split(" ")[:5]
        kind, _, options = tail.split(" ")[:3]
        if base != "/":
            continue
        if kind == "cgroup2":
            unified = Path(place)
        elif kind == "cgroup":
            for option in options.split(","):
                if option in CONTROLLERS:
                    separate[option] = Path(place)
    if unified is None:
        return None
    if set(CONTROLLERS) <= set((unified / "cgroup.controllers").read_text().split()):
        return Hierarchies(True, dict.fromkeys(CONTROLLERS, unified), unified)
    return Hierarchies(False, separate, unified)


def find_or_mount(directory: Path) -> Hierarchies | None:
    """`find`, or else mount what is missing below ``directory``.

    A host may show its machines v1's hierarchies only, or none at all.  None where the kernel does not let us.
    """
    found = find()
    if found is not None and found.roots:
        return found
    directory.mkdir(parents=True, exist_ok=True)
    for kind, options in [("cgroup2", [""]), ("cgroup", list(CONTROLLERS))]:
        if found is not None and (found.roots or kind == "cgroup2"):
            continue
        for option in options:
            place = directory / (option or "unified")
            place.mkdir(exist_ok=True)
            try:
                mounts.mount("cgroup", str(place), kind, mounts.QUIET, option)
            except OSError as error:
                log.info("%s", error)
        found = find()
    return found


def _delegate(root: Path, parts: tuple[str, ...]) -> None:
    """Hand our controllers down to the children of each group on the way (v2's cgroup.subtree_control)."""
    directory = root
    for part in ("", *parts):
        directory = directory / part
        directory.mkdir(exist_ok=True)
        control = directory / "cgroup.subtree_control"
        missing = set(CONTROLLERS) - set(control.read_text().split())
        if missing:
            control.write_text(" ".join(f"+{name}" for name in sorted(missing)))


def _bottom_up(directory: Path) -> Iterator[Path]:
    for parent, children, _ in os.walk(directory, topdown=False):
        for child in children:
            yield Path(parent) / child
    yield directory
