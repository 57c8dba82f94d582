"""The parent of all containers of a machine: it starts them, writes their logs, and records how they ended.

Why a process of its own: only a parent learns an exit code, and the kubelet must be free to die.  It is to the
kubelet what containerd's shim is to containerd.  It talks to one kubelet at a time over a SEQPACKET socket, one JSON
message a packet; when the kubelet goes away, everything else goes on.

A container is one fork of this small interpreter (no other module of knet is loaded than three of knet.kernel, to
keep that fork at a millisecond).  The child joins the pod's namespaces, builds its root in a mount namespace of its
own, where the kernel drops every mount together with the last process, sheds its privileges and executes the
program: it *is* process 1 of the container, as with runc, so signals behave as they do in a real cluster.

    kubelet                                shim                                  container
       | start + fds of net, ipc, uts  →    | unshare(pid), fork                →  setns, mounts, pivot_root, exec
       |                                    |   ← end of file on the error pipe: exec succeeded
       | ← {"started": id, "pid": …}        |
       |                                    |   ← output on two pipes (or a pseudo terminal)
       |                                    |     appended to the log in CRI format
       | ← {"exited": id, "code": …}        |   ← SIGCHLD; output drained; record written
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
import termios
import time

from knet.kernel import mounts, privileges
from knet.kernel.libc import CLONE_NEWNS, CLONE_NEWPID, call, close_on_exec, setns, unshare
from knet.kernel.programs import DEFAULT_PATH, find_program

TYPE_CHECKING = False  # typing itself would cost every fork a little
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

#: largest packet: arguments and environment of one container
PACKET = 1 << 20
#: as much output as one read takes, and for how many seconds a busy stream is left alone so that its lines add up
CHUNK, LULL = 65536, 0.005

_PR_SET_NAME = 15

#: /proc of an unprivileged container: what could change the kernel is read-only, what tells of the host is hidden
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts")


class Container:
    """One that this process started: its output streams, and what is to be written when it ends."""

    def __init__(self, message: Message, pid: int, errors: int) -> None:
        self.id: str = message["id"]
        self.record: str = message["record"]
        self.pid = pid
        self.errors = errors
        self.log = os.open(message["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self.streams: dict[int, bytes] = {}
        self.input = -1
        self.status: int | None = None
        self.failed = False  # to execute: the kubelet records that, with the reason


class Shim:
    """The event loop; ``listener`` is a listening SEQPACKET socket."""

    def __init__(self, listener: socket.socket) -> None:
        self._poll = select.epoll()
        self._listener = listener
        self._kubelet: socket.socket | None = None
        self._containers: dict[str, Container] = {}
        self._by_fd: dict[int, Container] = {}
        self._muted: dict[int, float] = {}
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for fd in (self._listener.fileno(), self._woken):
            self._poll.register(fd, select.EPOLLIN)

    def run(self) -> None:
        while True:
            for fd, _ in self._poll.poll(self._unmute()):
                if fd == self._listener.fileno():
                    self._accept()
                elif fd == self._woken:
                    os.read(fd, 4096)
                    self._reap()
                elif self._kubelet is not None and fd == self._kubelet.fileno():
                    self._receive(self._kubelet)
                elif fd in self._by_fd:
                    self._read(fd)

    # ---- the kubelet -----------------------------------------------------------------------------------------

    def _accept(self) -> None:
        """A new kubelet: it is told what runs, and takes the place of the old one."""
        connection, _ = self._listener.accept()
        if self._kubelet is not None:
            self._forget_kubelet()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PACKET)
        self._kubelet = connection
        self._poll.register(connection, select.EPOLLIN)
        self._send({"running": {row.id: row.pid for row in self._containers.values() if row.status is None}})

    def _forget_kubelet(self) -> None:
        if self._kubelet is not None:
            self._poll.unregister(self._kubelet)
            self._kubelet.close()
            self._kubelet = None

    def _send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        if self._kubelet is not None:
            try:
                socket.send_fds(self._kubelet, [json.dumps(message).encode()], fds)
            except OSError:
                self._forget_kubelet()

    def _receive(self, connection: socket.socket) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(connection, PACKET, 8)
        except OSError:
            data, fds = b"", []
        if not data:
            self._forget_kubelet()
            return
        message = json.loads(data)
        try:
            if "start" in message:
                self._start(message["start"], fds)
            elif "input" in message:
                self._input(message["input"])
            elif "close_input" in message:
                self._close_input(message["close_input"])
        finally:
            for fd in fds:
                os.close(fd)

    # ---- starting --------------------------------------------------------------------------------------------

    def _start(self, message: Message, namespaces: list[int]) -> None:
        errors, report = os.pipe2(os.O_CLOEXEC)
        keep: list[int] = []
        if message["tty"]:
            master, terminal = os.openpty()
            given = (terminal, terminal, terminal)
            keep, given_away = [master], [terminal]
        else:
            out, out_end = os.pipe2(os.O_CLOEXEC)
            err, err_end = os.pipe2(os.O_CLOEXEC)
            keep, given_away = [out, err], [out_end, err_end]
            if message["stdin"]:
                source, source_end = os.pipe2(os.O_CLOEXEC)
            else:
                source, source_end = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
            given_away.append(source)
            given = (source, out_end, err_end)
        unshare(CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            _become_container(message, namespaces, given, report)
        setns(self._own_pids, CLONE_NEWPID)
        for fd in (*given_away, report):
            os.close(fd)
        container = Container(message, pid, errors)
        container.input = keep[0] if message["tty"] else source_end
        self._containers[container.id] = container
        for fd, name in zip(keep, (b"stdout", b"stderr"), strict=False):
            os.set_blocking(fd, False)
            container.streams[fd] = name
            self._watch(fd, container)
        self._watch(errors, container)

    def _watch(self, fd: int, container: Container) -> None:
        self._by_fd[fd] = container
        self._poll.register(fd, select.EPOLLIN)

    def _drop(self, fd: int) -> None:
        if self._by_fd.pop(fd, None) is not None and self._muted.pop(fd, None) is None:
            self._poll.unregister(fd)
        os.close(fd)

    def _input(self, name: str) -> None:
        """Hand over the writing end of a container's standard input, or its terminal."""
        container = self._containers.get(name)
        there = container is not None and container.input >= 0
        self._send({"input": name, "there": there}, (container.input,) if container is not None and there else ())

    def _close_input(self, name: str) -> None:
        container = self._containers.get(name)
        if container is not None and container.input >= 0 and container.input not in container.streams:
            os.close(container.input)
            container.input = -1

    # ---- output ----------------------------------------------------------------------------------------------

    def _read(self, fd: int) -> None:
        container = self._by_fd[fd]
        if fd == container.errors:
            self._learn_of_exec(container)
            return
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process closed the terminal
            data = b""
        if not data:
            del container.streams[fd]
            if container.input == fd:
                container.input = -1
            self._drop(fd)
            return
        os.write(container.log, format_output(time.time_ns(), container.streams[fd], data))
        self._poll.unregister(fd)
        self._muted[fd] = time.monotonic() + LULL

    def _unmute(self) -> float | None:
        """Listen again to the streams whose lull is over; the seconds until the next one's."""
        if not self._muted:
            return None
        now = time.monotonic()
        for fd, until in list(self._muted.items()):
            if until <= now:
                del self._muted[fd]
                self._poll.register(fd, select.EPOLLIN)
        return max(0.0, min(self._muted.values()) - now) if self._muted else None

    def _learn_of_exec(self, container: Container) -> None:
        """The error pipe: closed by a successful exec, else a sentence that says why there was none."""
        sentence = os.read(container.errors, CHUNK).decode(errors="replace")
        self._drop(container.errors)
        container.errors = -1
        if sentence:
            container.failed = True
            self._send({"failed": container.id, "error": sentence})
        else:
            self._send({"started": container.id, "pid": container.pid, "at": time.time()})

    # ---- the end ---------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        ended: dict[int, int] = {}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            ended[pid] = status
        for container in [row for row in self._containers.values() if row.pid in ended]:
            container.status = ended[container.pid]
            self._finish(container)

    def _finish(self, container: Container) -> None:
        """All processes of its PID namespace are gone: what is in the pipes is the last of its output."""
        if container.errors >= 0:
            self._learn_of_exec(container)
        for fd, name in list(container.streams.items()):
            while True:
                try:
                    data = os.read(fd, CHUNK)
                except OSError:
                    break
                if not data:
                    break
                os.write(container.log, format_output(time.time_ns(), name, data))
            if container.input == fd:
                container.input = -1
            self._drop(fd)
        if container.input >= 0:
            os.close(container.input)
        os.close(container.log)
        del self._containers[container.id]
        if not container.failed:
            self._record(container)

    def _record(self, container: Container) -> None:
        """On disk first: the next kubelet reads it there if this one is gone."""
        code = os.waitstatus_to_exitcode(container.status or 0)
        ending = {"exited": container.id, "code": code, "at": time.time()}
        try:
            with open(container.record + ".new", "w") as file:
                json.dump(ending, file)
            os.rename(container.record + ".new", container.record)
        except OSError as error:  # its directory was removed under it: nobody will ask
            print(f"{container.id}: exit not recorded: {error}", file=sys.stderr, flush=True)
        self._send(ending)


def format_output(now: int, stream: bytes, data: bytes) -> bytes:
    """Output in the CRI log format: time, stream, F for a full line or P for a part of one, text.

    ``now`` is in nanoseconds; all lines of one read get the same time.
    """
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)).encode()
    head = b"%s.%09dZ %s " % (seconds, now % 10**9, stream)
    *lines, rest = data.split(b"\n")
    text = b"".join([head + b"F " + line + b"\n" for line in lines])
    return text + head + b"P " + rest + b"\n" if rest else text


# ---- in the child, between fork and exec ----------------------------------------------------------------------------


def _become_container(
    message: Message,
    namespaces: list[int],
    stdio: tuple[int, int, int],
    report: int,
) -> None:
    """Turn this forked process into the container's program; never returns.

    What goes wrong is written to ``report``, which a successful exec closes.
    """
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for target, fd in enumerate(stdio):
            os.dup2(fd, target)
        if message["tty"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for file in message["cgroups"]:
            with open(file, "w") as group:
                group.write("0")
        for fd in namespaces:
            setns(fd)
        root = _make_root(message)
        mounts.change_root(root)
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
        os.execve(program, message["argv"], environment)
    except BaseException as error:  # noqa: BLE001 - told to the shim, and this process ends
        text = str(error) if isinstance(error, OSError) and error.errno is None else _sentence(message, error)
        os.write(report, text.encode()[:4096] or b"unknown error")
    finally:
        os._exit(128)


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
        place = _inside(root, target)
        _make_mount_point(source, place)
        mounts.bind(source, place, read_only)
    return root


_DEVPTS = "newinstance,ptmxmode=0666,mode=0620,gid=5"


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
    uid, gid, home = (int(name), 0, "/") if name.isdigit() else (-1, 0, "/")
    if name in ("", "0", "root"):
        uid, home = 0, "/root"
    else:
        with open("/etc/passwd") as table:
            for line in table:
                fields = line.rstrip("\n").split(":")
                if len(fields) >= 6 and (fields[0] == name or fields[2] == name):
                    uid, gid, home = int(fields[2]), int(fields[3]), fields[5]
                    break
    if uid < 0:
        raise OSError(f"unable to find user {name}: no matching entries in passwd file")
    return uid, gid if wanted_group is None else wanted_group, groups, home


def main() -> None:
    """Serve the listening socket that is descriptor 0, for as long as the machine lives."""
    call("prctl", _PR_SET_NAME, b"knet-shim", 0, 0, 0)
    listener = socket.socket(fileno=os.dup(0))
    os.dup2(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), 0)
    close_on_exec()
    gc.freeze()
    Shim(listener).run()
