"""Run a test where it can break nothing: as process 1 of PID, network, mount, UTS and IPC namespaces of its own.

When the test's body returns or fails, or the test run is killed, the kernel ends every process that it left, and with
them all namespaces, interfaces and mounts.
"""

import functools
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from knet.kernel import mounts
from knet.kernel.libc import call
from knet.kernel.namespaces import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS, unshare

_PR_SET_PDEATHSIG = 1
_ALL = CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS


def isolated(body: Callable[..., None]) -> Callable[..., None]:
    """The test, to be run inside; what fails in there is told outside."""

    @functools.wraps(body)
    def test(*arguments: Any, **named: Any) -> None:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            os.close(reading)
            _leave_for_good(lambda: _as_first_process(lambda: body(*arguments, **named)), writing)
        os.close(writing)
        with open(reading) as pipe:
            report = pipe.read()
        os.waitpid(child, 0)
        if report:
            raise AssertionError(f"in the sandbox:\n{report}")

    return test


def _as_first_process(body: Callable[[], None]) -> None:
    unshare(_ALL)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    mounts.make_private()
    mounts.proc("/proc")
    body()


def _leave_for_good(work: Callable[[], None], report: int) -> None:
    """Run ``work`` and end the process: neither it nor its child may return into pytest."""
    try:
        work()
    except BaseException:  # noqa: BLE001 - told outside
        os.write(report, traceback.format_exc().encode())
    finally:
        os._exit(0)


def processes() -> list[str]:
    """The names of all processes in the sandbox besides the test itself, zombies included."""
    return sorted(
        path.joinpath("comm").read_text().strip()
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and int(path.name) != os.getpid()
    )
