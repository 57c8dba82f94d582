"""The parent of all containers of a machine: it starts them, writes their logs, and records how they ended.

Why a process of its own: only a parent learns an exit code, and the kubelet must be free to die.  It is to the
kubelet what containerd's shim is to containerd.  It talks to one kubelet at a time over a SEQPACKET socket, one JSON
message a packet; when the kubelet goes away, everything else goes on.

A container is one fork of this small interpreter, which loads next to nothing to keep that at a millisecond.  What can
be done before the fork is in `container_root`, what the child does between fork and exec in `container_init`.

    kubelet                                shim                                  container
       | start + fds of net, ipc, uts  →    | setns, mounts, pivot_root
       |                                    | unshare(pid), fork, setns back    →  /proc, privileges, exec
       |                                    |   ← end of file on the socket for reports: exec succeeded
       | ← {"started": id, "pid": …}        |
       |                                    |   ← output on two pipes (or the terminal)
       |                                    |     appended to the log in CRI format
       | ← {"exited": id, "code": …}        |   ← SIGCHLD; output drained; record written
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import time

from knet.kernel.libc import CLONE_NEWPID, call, close_on_exec, fork_into, setns, unshare
from knet.kubelet.runtime.container_init import become_container, first_steps
from knet.kubelet.runtime.container_root import Home, Prepared, sentence

TYPE_CHECKING = False  # typing itself would cost every fork a little
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

#: largest packet: arguments and environment of one container
PACKET = 1 << 20
#: as much output as one read takes, and for how many seconds a busy stream is left alone so that its lines add up
CHUNK, LULL = 65536, 0.005

_PR_SET_NAME = 15


class Container:
    """One that this process started: its output streams, and what is to be written when it ends."""

    def __init__(self, message: Message, pid: int, reports: socket.socket, source: int) -> None:
        self.id: str = message["id"]
        self.record: str = message["record"]
        self.pid = pid
        self.reports: socket.socket | None = reports
        self.streams: dict[int, bytes] = {}
        self.input = source
        self.status: int | None = None
        self.failed = False  # to execute: the kubelet records that, with the reason
        self._log_file: str = message["log"]
        self._log = -1

    def write(self, stream: bytes, data: bytes) -> None:
        """Append output to the log, which is there from the first on; a full disk costs the output, nothing else."""
        try:
            if self._log < 0:
                os.makedirs(os.path.dirname(self._log_file), exist_ok=True)
                self._log = os.open(self._log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            os.write(self._log, format_output(time.time_ns(), stream, data))
        except OSError as error:
            print(f"{self.id}: {len(data)} bytes of output lost: {error}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """No more input, no more output."""
        for fd in {self.input, self._log} - {-1}:
            os.close(fd)


class Shim:
    """The event loop; ``listener`` is a listening SEQPACKET socket."""

    def __init__(self, listener: socket.socket) -> None:
        self._poll = select.epoll()
        self._listener = listener
        self._kubelet: socket.socket | None = None
        self._containers: dict[str, Container] = {}
        self._by_fd: dict[int, Container] = {}
        self._muted: dict[int, float] = {}
        self._home = Home()
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
        """Start a container in its pod's namespaces; a fourth one is of processes, for it to share."""
        outputs, given, source = _stdio(message)
        reports, report = socket.socketpair()
        group, joins = -1, []
        try:
            if message["group"]:
                group = os.open(message["group"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for file in message["cgroups"]:
                joins.append(os.open(file, os.O_WRONLY | os.O_CLOEXEC))
            try:
                prepared = Prepared(message, namespaces[:3], given[1:])
                if prepared.master >= 0:
                    source, outputs, given = prepared.master, {prepared.master: b"stdout"}, [prepared.terminal] * 3
                steps = list(first_steps(prepared, given, joins))
                pid, born = self._fork(group, namespaces[3:])
                if pid == 0:
                    become_container(message, steps[born:], report)
            finally:
                self._home.come_back()
        except (OSError, LookupError) as error:
            for fd in {*outputs, source} - {-1}:
                os.close(fd)
            reports.close()
            self._send({"failed": message["id"], "error": sentence(message, error)})
            return
        finally:
            report.close()
            for fd in {*given, *joins, group} - {-1}:
                os.close(fd)
        container = self._containers[message["id"]] = Container(message, pid, reports, source)
        for fd, name in outputs.items():
            self._collect(fd, name, container)
        self._watch(reports.fileno(), container)

    def _collect(self, fd: int, name: bytes, container: Container) -> None:
        """Take what comes from a descriptor as output of a container."""
        os.set_blocking(fd, False)
        container.streams[fd] = name
        self._watch(fd, container)

    def _fork(self, group: int, processes: list[int]) -> tuple[int, bool]:
        """Fork process 1 of a new PID namespace, or one more of that which is given; OSError if that one has ended.

        Its pid, and whether it was born into the control group whose directory ``group`` refers to.
        """
        try:
            if processes:
                setns(processes[0], CLONE_NEWPID)
            else:
                unshare(CLONE_NEWPID)
            pid = -1
            try:
                try:
                    pid, born = (fork_into(group), True) if group >= 0 else (os.fork(), False)
                except OSError:
                    pid, born = os.fork(), False
            finally:
                if pid:
                    setns(self._own_pids, CLONE_NEWPID)
        except OSError as error:
            raise OSError(f"fork: {error.strerror}") from None
        return pid, born

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
        if container.reports is not None and fd == container.reports.fileno():
            self._learn(container, container.reports)
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
        container.write(container.streams[fd], data)
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

    def _learn(self, container: Container, reports: socket.socket) -> None:
        """Nothing, if exec has closed the socket, or a sentence that says why there was none."""
        data = reports.recv(CHUNK)
        self._drop(reports.detach())
        container.reports = None
        if sentence := data.decode(errors="replace"):
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
        while container.reports is not None:
            self._learn(container, container.reports)
        for fd, name in list(container.streams.items()):
            while True:
                try:
                    data = os.read(fd, CHUNK)
                except OSError:
                    break
                if not data:
                    break
                container.write(name, data)
            if container.input == fd:
                container.input = -1
            self._drop(fd)
        container.close()
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


def _stdio(message: Message) -> tuple[dict[int, bytes], list[int], int]:
    """Our ends of a container's outputs with their names, its own three, our end of its input: none for a terminal."""
    if message["tty"]:
        return {}, [], -1
    out, out_end = os.pipe2(os.O_CLOEXEC)
    err, err_end = os.pipe2(os.O_CLOEXEC)
    source_end = -1
    if message["stdin"]:
        source, source_end = os.pipe2(os.O_CLOEXEC)
    else:
        source = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    return {out: b"stdout", err: b"stderr"}, [source, out_end, err_end], source_end


def format_output(now: int, stream: bytes, data: bytes) -> bytes:
    """Output in the CRI log format: time, stream, F for a full line or P for a part of one, text.

    ``now`` is in nanoseconds; all lines of one read get the same time.
    """
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)).encode()
    head = b"%s.%09dZ %s " % (seconds, now % 10**9, stream)
    *lines, rest = data.split(b"\n")
    text = b"".join([head + b"F " + line + b"\n" for line in lines])
    return text + head + b"P " + rest + b"\n" if rest else text


def main() -> None:
    """Serve the listening socket that is descriptor 0, for as long as the machine lives."""
    call("prctl", _PR_SET_NAME, b"knet-shim", 0, 0, 0)
    listener = socket.socket(fileno=os.dup(0))
    os.dup2(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), 0)
    close_on_exec()
    gc.freeze()
    Shim(listener).run()
