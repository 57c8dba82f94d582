"""System calls that Python does not offer, through libc: one door with one way of failing.

Imports next to nothing, because the container shim (knet/kubelet/runtime/shim.py) lives as one small interpreter
per machine and forks with all it has loaded.
"""

import ctypes
import os
import signal

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
_CLONE_INTO_CGROUP = 0x200000000
_CLOSE_RANGE_CLOEXEC = 4
_CLONE3 = 435  # on every architecture
_CLONE_ARGS = ctypes.c_uint64 * 11  # linux/sched.h: flags … exit_signal (4) … cgroup (10)

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc["prctl"]  # an object of its own: `call` has no fixed types
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def call(name: str, *arguments: int | bytes | None) -> int:
    """Call a libc function that returns -1 and sets errno; OSError("name: reason") where it does.

    Integers are passed as ``long``, which suits pointers' width, flags and descriptors alike on Linux.
    """
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = getattr(_libc, name)(*converted)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


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


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one argument; its own few lines, because a container's start makes thirty of these calls."""
    if _prctl(option, argument, 0, 0, 0) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def close_on_exec() -> None:
    """Mark all descriptors above 2 so that no program started from here on inherits them (close_range(2)).

    For processes that start others without being in control of what they inherited themselves.
    """
    call("close_range", 3, 0x7FFFFFFF, _CLOSE_RANGE_CLOEXEC)
