"""Start programs inside namespaces, wait for processes, signal them: by pidfd, so never the wrong one.

A program is started by a helper thread that enters the namespaces, sheds capabilities, and calls posix_spawn
(0.2 ms, whatever the size of this process); the process around it never moves.  A `Process` may be a child or one
that somebody else started and we adopted: a pidfd becomes readable when it ends, whoever its parent is.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from knet.kernel import privileges
from knet.kernel.libc import CLONE_FS, unshare
from knet.kernel.namespaces import Namespaces, in_thread
from knet.kernel.programs import DEFAULT_PATH, DEFAULTED, find_program


@dataclass(frozen=True)
class User:
    """Who a program runs as: numeric ids, and further groups."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Program:
    """What to execute and how.

    ``argv[0]`` is looked up in ``env``'s PATH (of the namespace it will run in) unless ``executable`` is given.
    ``stdio`` are descriptors for 0, 1 and 2; None is /dev/null.  ``capabilities`` None keeps all there are.
    ``terminal`` is the path of a terminal (of that namespace) to be 0, 1 and 2 instead, and to control the session.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    executable: str = ""
    cwd: str = ""
    stdio: tuple[int | None, int | None, int | None] = (None, None, None)
    user: User = User()
    capabilities: frozenset[str] | None = None
    terminal: str = ""


class Process:
    """A process held by pidfd, ours or adopted.  `wait` and `close` belong to one event loop."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._ended: asyncio.Future[int | None] | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended yet (an unreaped child has ended)."""
        if self._pidfd < 0:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, 0)
            return not _is_zombie(self.pid)
        except ProcessLookupError:
            return False

    def kill(self, number: int = signal.SIGKILL) -> bool:
        """Send a signal; False if it had ended already."""
        if self._pidfd < 0:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
            return True
        except ProcessLookupError:
            return False

    def reap(self) -> None:
        """Wait, without an event loop, for a child that is about to end, and let go of it."""
        if self._pidfd >= 0:
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
            self.close()

    async def wait(self) -> int | None:
        """Until it ends.  Its exit code, or minus the signal's number; None where only its parent learns that."""
        if self._ended is None:
            loop = asyncio.get_running_loop()
            self._ended = loop.create_future()
            if self._pidfd < 0:
                self._ended.set_result(None)
            else:
                loop.add_reader(self._pidfd, self._reap, self._ended, loop)
        return await asyncio.shield(self._ended)

    def _reap(self, ended: "asyncio.Future[int | None]", loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._pidfd)
        try:
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            found = None
        self.close()
        if found is None:
            ended.set_result(None)
        else:
            ended.set_result(found.si_status if found.si_code == os.CLD_EXITED else -found.si_status)

    def close(self) -> None:
        """Let go of it; it goes on running."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot: with its pid, a name that is never reused.

    Raises ProcessLookupError where there is none.
    """
    return int(_stat(pid)[19])


def adopt(pid: int, started: int) -> Process | None:
    """The process of that pid and `start_time`, if it is still there."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    process = Process(pid, pidfd)
    try:
        if start_time(pid) == started and process.running:
            return process
    except ProcessLookupError:
        pass
    process.close()
    return None


def spawn(program: Program, namespaces: Namespaces | None = None) -> Process:
    """Start a program as the leader of a new session, inside ``namespaces`` where given.

    Raises FileNotFoundError or PermissionError if it cannot be executed there, OSError if the namespaces are gone.
    """

    def work() -> Process:
        if namespaces is not None:
            namespaces.enter()
        return spawn_here(program)

    return in_thread(work)


def spawn_here(program: Program) -> Process:
    """As `spawn`, in the calling thread's namespaces, and at its expense: it loses what ``program`` is not to have."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = _spawn(program, null)
        return Process(pid, os.pidfd_open(pid))
    finally:
        os.close(null)


def _spawn(program: Program, null: int) -> int:
    if program.cwd:
        unshare(CLONE_FS)
        os.chdir(program.cwd)
    executable = program.executable or find_program(
        program.argv[0], program.env.get("PATH", DEFAULT_PATH), program.cwd or "/"
    )
    if program.capabilities is not None:
        privileges.limit_to(frozenset(privileges.NUMBERS[name] for name in program.capabilities))
    privileges.become(program.user.uid, program.user.gid, program.user.groups)
    actions: list[tuple[Any, ...]]
    if program.terminal:  # the first terminal that a session's leader opens controls it
        actions = [(os.POSIX_SPAWN_OPEN, 0, program.terminal, os.O_RDWR, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, 0, number) for number in (1, 2)]
    else:
        actions = [
            (os.POSIX_SPAWN_DUP2, null if given is None else given, number)
            for number, given in enumerate(program.stdio)
        ]
    return os.posix_spawn(
        executable,
        list(program.argv),
        dict(program.env),
        file_actions=actions,
        setsid=True,
        setsigmask=[],
        setsigdef=DEFAULTED,
    )


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything: [0] state … [19] start time."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"no process {pid}") from None


def _is_zombie(pid: int) -> bool:
    try:
        return _stat(pid)[0] in ("Z", "X")
    except ProcessLookupError:
        return True
