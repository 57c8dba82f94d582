"""What the shim does for a container before it forks: enter the pod's namespaces, build the root, find the program.

The shim has one thread, so it can go there itself and come back.  The root lies in a mount namespace that nobody else
sees: once the shim is back, the container's processes are its only users, and the kernel drops every mount together
with the last of them.
"""

from __future__ import annotations

import errno
import json
import os

from knet.kernel import mounts
from knet.kernel.libc import CLONE_NEWNS, setns, unshare
from knet.kernel.privileges import limiting_to
from knet.kernel.programs import DEFAULT_PATH, find_program
from knet.kernel.terminals import open_terminal

TYPE_CHECKING = False  # typing itself would cost each container shim 1.2 MB
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

#: the namespaces that the shim leaves for a container's: the mount namespace last, because entering it changes /proc
_KINDS = ("net", "ipc", "uts", "mnt")


class Home:
    """The shim's own namespaces, to come back to."""

    def __init__(self) -> None:
        self._fds = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in _KINDS]

    def come_back(self) -> None:
        """To the machine's namespaces and its root directory; without them there is no going on: OSError."""
        for fd in self._fds:
            setns(fd)


class Prepared:
    """All that the container's first process has to know, found out in its root."""

    def __init__(self, message: Message, namespaces: list[int], outputs: list[int]) -> None:
        """Leaves the calling process in the container's namespaces and root.

        ``outputs`` are the descriptors that will be its standard output and error; none for one that has a terminal.
        Raises OSError for what cannot be done; `sentence` puts it as runc does.
        """
        self.argv: list[str] = message["argv"]
        self.env: dict[str, str] = message["env"]
        self.no_new_privileges: bool = message["no_new_privileges"]
        self.unprivileged = not message["privileged"]
        self.limits = limiting_to(frozenset(message["capabilities"]))
        #: our end of its terminal, and its own
        self.master, self.terminal = -1, -1
        for fd in namespaces:
            setns(fd)
        mounts.change_root(_make_root(message))
        try:
            if message["tty"]:
                self._make_terminal()
            self.uid, self.gid, groups, home = _user(message["user"])
            self.groups = tuple(groups)
            self.env.setdefault("HOME", home)
            self.program = self._find_program(message["cwd"], message["read_only"])
            if self.uid:  # so that it may open /dev/stdout; not its input, which may be the host's /dev/null
                for output in outputs if self.terminal < 0 else [self.terminal]:
                    os.fchown(output, self.uid, -1)
        except BaseException:
            for fd in {self.master, self.terminal} - {-1}:
                os.close(fd)
            raise

    def _find_program(self, cwd: str, read_only: bool) -> str:
        """The file to execute; the working directory, in which this leaves us, is made where it is not there."""
        if read_only:
            mounts.mount("none", "/", flags=mounts.READ_ONLY)
        else:
            os.makedirs(cwd, exist_ok=True)
        os.chdir(cwd)
        return find_program(self.argv[0], self.env.get("PATH", DEFAULT_PATH), cwd)

    def _make_terminal(self) -> None:
        """A terminal of this root's own devpts, which is the console, too."""
        self.master, path = open_terminal("/dev/pts")
        self.terminal = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        os.close(os.open("/dev/console", os.O_CREAT | os.O_WRONLY, 0o600))
        mounts.bind(path, "/dev/console")


def sentence(message: Message, error: BaseException) -> str:
    """Why a container could not be started, in runc's words."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error) or type(error).__name__
    if error.filename == message["cwd"]:
        return f"chdir to cwd ({json.dumps(message['cwd'])}) failed: {os.strerror(error.errno).lower()}"
    if not isinstance(error.filename, str):
        return f"exec {message['argv'][0]}: {error.strerror or error}"
    return str(error)


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
    mounts.sysfs(f"{root}/sys", read_only=not message["privileged"])
    mounts.mount("devpts", f"{root}/dev/pts", "devpts", mounts.MS_NOSUID | mounts.MS_NOEXEC, _DEVPTS)
    for source, target, read_only in message["binds"]:
        try:
            place = _inside(root, target)
            if f"{place}/".startswith(f"{root}/proc/"):  # which will be mounted last
                raise OSError(f'error mounting "{source}" to rootfs at "{target}": {target} is inside /proc')
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
