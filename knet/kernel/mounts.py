"""mount(2), wrapped: bind, tmpfs, overlay, proc, sysfs, and leaving the old root behind.

All of it acts on the mount namespace of the calling thread.  Errors are OSErrors that name both ends, because
"mount: Invalid argument" has cost everybody an hour once.
"""

from __future__ import annotations

import os

from knet.kernel.libc import call, perform, prepare

TYPE_CHECKING = False  # typing itself would cost each container shim 1.2 MB
if TYPE_CHECKING:
    from knet.kernel.libc import Call

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MNT_DETACH = 0x2

#: makes a bind mount that is there one that nobody writes to
READ_ONLY = MS_REMOUNT | MS_BIND | MS_RDONLY
#: of filesystems that hold no programs
QUIET = MS_NOSUID | MS_NODEV | MS_NOEXEC


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); raises OSError naming source, target and kind."""
    try:
        perform(mounting(source, target, kind, flags, options))
    except OSError as error:
        what = kind or ("bind" if flags & MS_BIND else "flags")
        raise OSError(error.errno, f"mount {what} {source} on {target}: {os.strerror(error.errno or 0)}") from None


def mounting(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> Call:
    """`mount`, prepared; its error will be bare."""
    return prepare("mount", source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None)


def bind(source: str, target: str, read_only: bool = False) -> None:
    """Show ``source`` (with what is mounted below it) at ``target``, which must exist as the same kind of file."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        # the flags of a bind mount can only be set by a second call (mount(2), "Remounting")
        mount("none", target, flags=READ_ONLY)


def tmpfs(target: str, size: int = 0, mode: int = 0o755) -> None:
    """A new empty tmpfs; ``size`` in bytes, 0 for half of memory."""
    mount("tmpfs", target, "tmpfs", options=f"mode={mode:o}" + (f",size={size}" if size else ""))


def overlay(target: str, lower: list[str], upper: str, work: str) -> None:
    """Merge directories, the first of ``lower`` on top, with writes going to ``upper``.

    A layer may not lie below another layer of the same filesystem (ELOOP): with / among ``lower``, the rest must be
    on a tmpfs.  ``work`` is an empty directory on the same filesystem as ``upper``.
    """
    mount("overlay", target, "overlay", options=f"lowerdir={':'.join(lower)},upperdir={upper},workdir={work}")


def proc(target: str) -> None:
    """The processes of the calling process' PID namespace."""
    mount("proc", target, "proc", QUIET)


def sysfs(target: str, read_only: bool = True) -> None:
    """/sys as seen from the calling thread's network namespace."""
    mount("sysfs", target, "sysfs", QUIET | (MS_RDONLY if read_only else 0))


def make_private(target: str = "/") -> None:
    """No mount or unmount below ``target`` travels between this namespace and others any more."""
    mount("none", target, flags=MS_REC | MS_PRIVATE)


def unmount(target: str) -> None:
    """Unmount, at once for the eye and for good when the last user is gone (MNT_DETACH)."""
    call("umount2", target.encode(), MNT_DETACH)


def is_mount_point(path: str) -> bool:
    """Whether something is mounted exactly there in this mount namespace."""
    with open("/proc/thread-self/mountinfo") as table:
        return any(line.split(" ", 5)[4] == path for line in table)


def change_root(new_root: str) -> None:
    """Make ``new_root`` (a mount point) this namespace's / and drop everything that was mounted outside of it.

    pivot_root(".", ".") stacks the old root on the new one, from where it can be unmounted without a directory
    to put it in (pivot_root(2), "pivot_root . .").
    """
    os.chdir(new_root)
    call("syscall", _PIVOT_ROOT[os.uname().machine], b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")


#: libc has no wrapper for pivot_root(2)
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "armv7l": 218}
