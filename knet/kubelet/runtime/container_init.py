"""What a container's first process does before it executes the program: take its place, shed its privileges.

It has been forked by the shim into a new PID namespace, in the pod's namespaces and with the container's root around it
(`container_root`).  It *is* process 1 of the container, as with runc, so signals behave as they do in a real cluster.

Each page of memory that it touches before that is copied, which costs more than what it does.  So the shim writes down
beforehand which system calls it has to make, and it makes them.
"""

from __future__ import annotations

import os
import signal
import termios

from knet.kernel import mounts, privileges
from knet.kernel.libc import closing_on_exec, execution, perform, prepare
from knet.kubelet.runtime.container_root import sentence

TYPE_CHECKING = False  # typing itself would cost each container shim 1.2 MB
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from knet.kernel.libc import Call
    from knet.kubelet.runtime.container_root import Message, Prepared

#: /proc of an unprivileged container: what could change the kernel is read-only, what tells of the host is hidden
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts")


def first_steps(prepared: Prepared, stdio: list[int], joins: list[int]) -> Iterator[Call]:
    """The system calls that turn a fork of the calling process into the container's program.

    ``stdio`` are its three descriptors; ``joins`` are files of the groups that it is to enter.
    """
    for fd in joins:
        yield prepare("write", fd, b"0", 1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # all that the shim ignores
        yield prepare("signal", number, 0)
    yield prepare("setsid")
    for target, fd in enumerate(stdio):
        yield prepare("dup2", fd, target)
    if prepared.master >= 0:
        yield prepare("ioctl", 0, termios.TIOCSCTTY, 0)
    yield mounts.mounting("proc", "/proc", "proc", mounts.QUIET)
    if prepared.unprivileged:
        yield from _COVERING
    yield from prepared.limits
    yield from privileges.becoming(prepared.uid, prepared.gid, prepared.groups)
    if prepared.no_new_privileges:
        yield privileges.forbidding_new_privileges()
    yield closing_on_exec()
    yield execution(prepared.program, prepared.argv, prepared.env)


def _covering() -> Iterator[Call]:
    """What is to be covered in a new /proc; what there is of it is the same in the machine's."""
    for path in filter(os.path.exists, READ_ONLY):
        yield mounts.mounting(path, path, flags=mounts.MS_BIND)
        yield mounts.mounting("none", path, flags=mounts.READ_ONLY)
    for path in filter(os.path.exists, MASKED):
        yield mounts.mounting("/dev/null", path, flags=mounts.MS_BIND)


_COVERING = tuple(_covering())


def become_container(message: Message, steps: list[Call], report: socket.socket) -> None:
    """Take the steps, of which the last is an exec; never returns.

    What goes wrong is told to ``report``; a successful exec closes it.
    """
    try:
        for step in steps:
            perform(step)
    except BaseException as error:  # noqa: BLE001 - told to the shim, and this process ends
        report.send(sentence(message, error).encode()[:4096])
    finally:
        os._exit(128)
