"""System calls that Python does not offer, through libc: one door with one way of failing.

Imports next to nothing, because the container shim (knet/kubelet/runtime/shim.py) lives as one small interpreter
per machine and forks with all it has loaded.
"""

from __future__ import annotations

import ctypes
import os
import signal

TYPE_CHECKING = False  # typing itself would cost each container shim 1.2 MB
if TYPE_CHECKING:
    from typing import Any

    #: a call to be made: the function's name, the function, its arguments
    Call = tuple[str, Any, tuple[Any, ...]]

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
_CLONE_INTO_CGROUP = 0x200000000
_CLOSE_RANGE_CLOEXEC = 4
_CLONE3 = 435  # on every architecture
_CLONE_ARGS = ctypes.c_uint64 * 11  # linux/sched.h: flags … exit_signal (4) … cgroup (10)

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | ctypes.Array[Any] | None) -> int:
    """Call a libc function that returns -1 and sets errno; OSError("name: reason") where it does.

    Integers are passed as ``long``, which suits pointers' width, flags and descriptors alike on Linux.
    """
    return perform(prepare(name, *arguments))


def prepare(name: str, *arguments: int | bytes | ctypes.Array[Any] | None) -> Call:
    """A `call` for later: what is left to do then touches so little memory that a forked process can afford it."""
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return name, getattr(_libc, name), tuple(converted)


def perform(prepared: Call) -> int:
    """Make a prepared call; OSError as of `call`."""
    result: int = prepared[1](*prepared[2])
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{prepared[0]}: {os.strerror(number)}")
    return result


def execution(program: str, argv: list[str], env: dict[str, str]) -> Call:
    """execve(2) of a program, prepared."""
    words = [word.encode() for word in argv]
    settings = [f"{name}={value}".encode() for name, value in env.items()]
    return prepare("execve", program.encode(), _strings(words), _strings(settings))


def _strings(texts: list[bytes]) -> ctypes.Array[Any]:
    return (ctypes.c_char_p * (len(texts) + 1))(*texts, None)


def setns(fd: int, kind: int = 0) -> None:
    """Move the calling thread into a namespace (setns(2)); CLONE_NEWPID moves only the children to come."""
    call("setns", fd, kind)


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces (unshare(2))."""
    call("unshare", flags)


def fork_into(cgroup: int) -> int:
    """fork(2) into a control group of the cgroup2 hierarchy, given by a descriptor of its directory; Linux 5.7.

    Being born there costs nothing, moving there a grace period of the kernel.  Only for processes with one thread:
    Python's own preparations for a fork are passed by.  OSError where the kernel refuses.
    """
    arguments = _CLONE_ARGS()
    arguments[0], arguments[4], arguments[10] = _CLONE_INTO_CGROUP, signal.SIGCHLD, cgroup
    pid: int = _libc.syscall(_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if pid == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return pid


def close_on_exec() -> None:
    """Mark all descriptors above 2 so that no program started from here on inherits them (close_range(2)).

    For processes that start others without being in control of what they inherited themselves.
    """
    perform(closing_on_exec())


def closing_on_exec() -> Call:
    """`close_on_exec`, prepared."""
    return prepare("close_range", 3, 0x7FFFFFFF, _CLOSE_RANGE_CLOEXEC)
