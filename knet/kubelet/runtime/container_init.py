"""What a container's first process does before it executes the program: join, build, shed.

It has been forked by the shim into a new PID namespace.  It joins the pod's namespaces, builds its root in a mount
namespace of its own, where the kernel drops every mount together with the last process, sheds its privileges and
executes the program: it *is* process 1 of the container, as with runc, so signals behave as they do in a real cluster.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import termios

from knet.kernel import mounts, privileges
from knet.kernel.libc import CLONE_NEWNS, close_on_exec, setns, unshare
from knet.kernel.programs import DEFAULT_PATH, DEFAULTED, find_program
from knet.kernel.terminals import open_terminal

TYPE_CHECKING = False  # typing itself would cost every fork a little
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

#: /proc of an unprivileged container: what could change the kernel is read-only, what tells of the host is hidden
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts")


def become_container(
    message: Message,
    namespaces: list[int],
    stdio: list[int],
    report: socket.socket,
) -> None:
    """Turn this forked process into the container's program; never returns.

    ``stdio`` is empty for one that has a terminal instead, whose other end is sent to ``report``.  What goes wrong is
    told there, too; a successful exec closes it.
    """
    try:
        signal.set_wakeup_fd(-1)
        for number in DEFAULTED:
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for target, fd in enumerate(stdio):
            os.dup2(fd, target)
        for file in message["cgroups"]:
            with open(file, "w") as group:
                group.write("0")
        for fd in namespaces:
            setns(fd)
        root = _make_root(message)
        mounts.change_root(root)
        if message["tty"]:
            _take_terminal(report)
        if message["read_only"]:
            mounts.mount("none", "/", flags=mounts.MS_REMOUNT | mounts.MS_BIND | mounts.MS_RDONLY)
        if not message["privileged"]:
            _cover_proc()
        uid, gid, groups, home = _user(message["user"])
        environment: dict[str, str] = message["env"]
        environment.setdefault("HOME", home)
        cwd = message["cwd"]
        if not message["read_only"]:
            os.makedirs(cwd, exist_ok=True)
        os.chdir(cwd)
        program = find_program(message["argv"][0], environment.get("PATH", DEFAULT_PATH), cwd)
        for fd in (1, 2) if uid else ():  # so that it may open /dev/stdout; not 0, which may be the host's /dev/null
            os.fchown(fd, uid, -1)
        privileges.limit_to(frozenset(message["capabilities"]))
        privileges.become(uid, gid, tuple(groups))
        if message["no_new_privileges"]:
            privileges.forbid_new_privileges()
        close_on_exec()
        os.execve(program, message["argv"], environment)
    except BaseException as error:  # noqa: BLE001 - told to the shim, and this process ends
        text = str(error) if isinstance(error, OSError) and error.errno is None else _sentence(message, error)
        report.send(text.encode()[:4096] or b"unknown error")
    finally:
        os._exit(128)


def _take_terminal(report: socket.socket) -> None:
    """Be controlled by a terminal of this root's own devpts, which is the console, too."""
    master, path = open_terminal("/dev/pts")
    socket.send_fds(report, [b"terminal"], [master])
    terminal = os.open(path, os.O_RDWR)
    for target in range(3):
        os.dup2(terminal, target)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.close(os.open("/dev/console", os.O_CREAT | os.O_WRONLY, 0o600))
    mounts.bind(path, "/dev/console")


def _sentence(message: Message, error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.filename == message["cwd"]:
        return f"chdir to cwd ({json.dumps(message['cwd'])}) failed: {os.strerror(error.errno).lower()}"
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error.filename, str):
        return f"exec {message['argv'][0]}: {error.strerror or error}"
    return str(error) or type(error).__name__


def _make_root(message: Message) -> str:
    """Build the container's root below an empty directory, seen by nobody else; its path."""
    unshare(CLONE_NEWNS)
    mounts.make_private()
    base = message["base"]
    mounts.tmpfs(base)
    upper, work, root = f"{base}/upper", f"{base}/work", f"{base}/root"
    for directory in (upper, work, root):
        os.mkdir(directory, 0o755)
    mounts.overlay(root, message["layers"], upper, work)
    mounts.proc(f"{root}/proc")
    mounts.sysfs(f"{root}/sys", read_only=not message["privileged"])
    mounts.mount("devpts", f"{root}/dev/pts", "devpts", mounts.MS_NOSUID | mounts.MS_NOEXEC, _DEVPTS)
    for source, target, read_only in message["binds"]:
        try:
            place = _inside(root, target)
            _make_mount_point(source, place)
            mounts.bind(source, place, read_only)
        except OSError as error:
            raise OSError(_mount_error(source, target, error)) from None
    return root


_DEVPTS = "newinstance,ptmxmode=0666,mode=0620,gid=5"


def _mount_error(source: str, target: str, error: OSError) -> str:
    """As runc puts it."""
    reason = os.strerror(error.errno or 0).lower()
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        reason = (
            "not a directory: Are you trying to mount a directory onto a file (or vice-versa)? "
            "Check if the specified host path exists and is the expected type"
        )
    return f'error during container init: error mounting "{source}" to rootfs at "{target}": {reason}'


def _inside(root: str, path: str) -> str:
    """Where ``path`` is below ``root``, following symbolic links as a process whose / is ``root`` does.

    A link of the image such as /var/run → /run would otherwise lead into the host's own directories.
    """
    done: list[str] = []
    todo = path.split("/")[::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        here = "/".join([root, *done, part])
        if os.path.islink(here) and links < 40:
            links += 1
            goal = os.readlink(here)
            if goal.startswith("/"):
                done = []
            todo += goal.split("/")[::-1]
        else:
            done.append(part)
    return "/".join([root, *done])


def _make_mount_point(source: str, place: str) -> None:
    if os.path.isdir(source):
        os.makedirs(place, exist_ok=True)
    elif not os.path.lexists(place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))


def _cover_proc() -> None:
    for path in READ_ONLY:
        if os.path.exists(path):
            mounts.bind(path, path, read_only=True)
    for path in MASKED:
        if os.path.exists(path):
            mounts.bind("/dev/null", path)


def _user(user: list[Any]) -> tuple[int, int, list[int], str]:
    """Ids and home of ["name or id", group or None, [more groups]], by the container's own /etc/passwd."""
    name, wanted_group, groups = user
    uid, gid, home, login = (int(name), 0, "/", "") if name.isdigit() else (-1, 0, "/", "")
    if name in ("", "0", "root"):
        uid, home = 0, "/root"
    else:
        with open("/etc/passwd") as table:
            for line in table:
                fields = line.rstrip("\n").split(":")
                if len(fields) >= 6 and (fields[0] == name or fields[2] == name):
                    login, uid, gid, home = fields[0], int(fields[2]), int(fields[3]), fields[5]
                    break
    if uid < 0:
        raise OSError(f"unable to find user {name}: no matching entries in passwd file")
    return uid, gid if wanted_group is None else wanted_group, [*groups, *_memberships(login)], home


def _memberships(login: str) -> list[int]:
    """The groups that the container's own /etc/group has the user in (supplementalGroupsPolicy Merge)."""
    try:
        with open("/etc/group") as table:
            rows = [line.rstrip("\n").split(":") for line in table]
    except FileNotFoundError:
        return []
    return [int(row[2]) for row in rows if len(row) >= 4 and login and login in row[3].split(",")]
