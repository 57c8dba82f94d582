"""What the processes of a control group have used: CPU time, memory, page faults.

CPU time is the kernel's own count for the group, ended processes included.  Memory is the memory controller's where
the group has one (cgroup v2; on v1 a machine, and a container with limits); otherwise it is the sum over the processes
that are in the group now.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from knet.kernel.cgroup import Hierarchies

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Memory(NamedTuple):
    """Bytes, and counts of page faults.  The working set is what cannot simply be dropped: all but idle file pages."""

    usage: int = 0
    working_set: int = 0
    rss: int = 0
    faults: int = 0
    major_faults: int = 0

    def __add__(self, other: tuple[int, ...]) -> "Memory":  # type: ignore[override]
        return Memory(*(one + more for one, more in zip(self, other, strict=True)))


class Traffic(NamedTuple):
    """Counters of a network interface."""

    name: str
    received: int
    receive_errors: int
    sent: int
    send_errors: int


class Account:
    """The account of one group, below it included.  Its file stays open: opening costs more than reading."""

    def __init__(self, hierarchies: Hierarchies, group: str) -> None:
        """Raises OSError if there is no such group."""
        self._hierarchies = hierarchies
        self._group = group
        self._cpu = os.open(hierarchies.account / group / "cpu.stat", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        if self._cpu >= 0:
            os.close(self._cpu)
            self._cpu = -1

    def cpu(self) -> int:
        """Nanoseconds of CPU time since the group was made; OSError if it is gone."""
        first_line = os.pread(self._cpu, 64, 0).split(b"\n", 1)[0]
        return int(first_line.split(b" ")[1]) * 1000  # usage_usec

    def memory(self) -> Memory:
        """What is used now; nothing by a group that is gone."""
        directory = self._hierarchies.roots.get("memory", self._hierarchies.account) / self._group
        try:
            if self._hierarchies.unified:
                return _of_controller(directory, "memory.current", "", "anon")
            if (directory / "memory.usage_in_bytes").exists():
                return _of_controller(directory, "memory.usage_in_bytes", "total_", "total_rss")
        except OSError:
            return Memory()
        total = Memory()
        for pid in self.processes():
            total += _of_process(pid)
        return total

    def processes(self) -> Iterator[int]:
        """The processes that are in the group or below it, as this process' PID namespace numbers them."""
        for directory, _, _ in os.walk(self._hierarchies.account / self._group):
            try:
                text = Path(directory, "cgroup.procs").read_text()
            except OSError:  # removed meanwhile
                continue
            yield from map(int, text.split())


def _of_controller(directory: Path, usage_file: str, prefix: str, rss: str) -> Memory:
    usage = int((directory / usage_file).read_text())
    rows = dict(line.split() for line in (directory / "memory.stat").read_text().splitlines())
    return Memory(
        usage,
        max(usage - int(rows[f"{prefix}inactive_file"]), 0),
        int(rows[rss]),
        int(rows[f"{prefix}pgfault"]),
        int(rows[f"{prefix}pgmajfault"]),
    )


def _of_process(pid: int) -> Memory:
    try:
        sizes = Path(f"/proc/{pid}/statm").read_text().split()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return Memory()
    resident, shared = int(sizes[1]) * _PAGE, int(sizes[2]) * _PAGE
    return Memory(resident, resident, resident - shared, int(fields[7]), int(fields[9]))


def traffic(pid: int) -> list[Traffic]:
    """The interfaces, but for the loopback, of the network namespace that a process is in; OSError if it is gone."""
    found = []
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]:
        name, _, figures = line.partition(":")
        counts = [int(figure) for figure in figures.split()]
        if name.strip() != "lo":
            found.append(Traffic(name.strip(), counts[0], counts[2], counts[8], counts[10]))
    return found
