"""Containers: started through the shim, recorded on disk, signalled by pidfd, adopted by the next kubelet.

Each run of a container has two files in its pod's directory: ``containers/NAME/N.json``, written before it starts,
says what was started; ``N.exit``, written by the shim, how it ended.  Whatever the moment at which a kubelet dies, the
next one can tell from these, and from what the shim says is running, where each container stands.
"""

import asyncio
import dataclasses
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from knet.images import Image
from knet.kernel import cgroup, privileges
from knet.kernel.namespaces import Namespaces
from knet.kernel.process import Process, Program, User, adopt, spawn, start_time
from knet.kubelet.runtime.logs import tail
from knet.kubelet.runtime.paths import PodPaths
from knet.kubelet.runtime.records import (
    LOG_BYTES,
    MESSAGE_BYTES,
    MESSAGE_LINES,
    START_ERROR,
    UNKNOWN,
    UNKNOWN_CODE,
    Exited,
    Record,
    attempt_of,
    exit_of,
    read_exit,
    write_exit,
    write_record,
)
from knet.kubelet.runtime.sandbox import KINDS, Sandbox
from knet.kubelet.runtime.shim_client import Ending, ShimClient, ShimLost, StartError
from knet.kubelet.state import Attempt, Exit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mount:
    """``source`` on the machine, seen at ``target`` in the container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ContainerConfig:
    """One run of a container, ready to start.

    ``user`` is a name or id of the container's /etc/passwd, ``group`` None for that user's own, ``groups`` are further
    ones.  ``messages`` is the path of the termination message inside; ``logs_as_message``: the end of the log stands in
    for it after a failure.  ``beside`` is a process whose PID namespace it shares, 0 for a new one.
    """

    name: str
    number: int
    image: Image
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    mounts: tuple[Mount, ...] = ()
    user: str = ""
    group: int | None = None
    groups: tuple[int, ...] = ()
    capabilities: frozenset[str] = privileges.CONTAINER_DEFAULT
    privileged: bool = False
    no_new_privileges: bool = False
    read_only: bool = False
    stdin: bool = False
    tty: bool = False
    limits: cgroup.Limits = field(default_factory=cgroup.Limits)
    messages: str = "/dev/termination-log"
    logs_as_message: bool = False
    beside: int = 0


class Running:
    """A container that runs; `exit` completes when it ended."""

    def __init__(self, record: Record, process: Process, paths: PodPaths) -> None:
        self.record = record
        self.process = process
        self.paths = paths
        self.exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    @property
    def id(self) -> str:
        return self.record.id


class Containers:
    """All containers of this machine. ``group`` is the name of the machine's cgroup."""

    def __init__(self, root_dir: Path, cgroups: cgroup.Hierarchies | None, group: str) -> None:
        self._base = root_dir / "rootfs"
        self._cgroups = cgroups
        self._group = group
        self._shim = ShimClient(root_dir / "shim.sock", self._ended, self._shim_lost)
        self._alive: dict[str, int] = {}
        self._running: dict[str, Running] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def connect(self) -> None:
        """Reach or start the shim; before anything else."""
        self._base.mkdir(parents=True, exist_ok=True)
        self._alive = await self._shim.connect()

    def close(self) -> None:
        """Leave everything running."""
        self._shim.close()
        for running in self._running.values():
            running.process.close()
        for task in self._tasks:
            task.cancel()

    # ---- starting --------------------------------------------------------------------------------------------

    async def start(self, config: ContainerConfig, paths: PodPaths, sandbox: Sandbox) -> Running:
        """Start a container; raises StartError (and has recorded that as its end), ShimLost, or OSError."""
        directory = paths.container(config.name)
        os.makedirs(directory, exist_ok=True)
        group = self._create_group(config, paths)
        record = Record(
            id=f"{paths.identity.uid.replace('-', '')[:16]}{time.time_ns():016x}".ljust(64, "0")[:64],
            container=config.name,
            number=config.number,
            image=config.image.name,
            image_id=config.image.id,
            created_at=time.time(),
            env=config.env,
            cwd=config.cwd,
            user=config.user,
            group=config.group,
            groups=config.groups,
            capabilities=tuple(sorted(config.capabilities)),
            stop_signal=config.image.stop_signal,
            cgroup=group,
            limited=config.limits != cgroup.Limits(),
            shares=config.beside != 0,
            logs_as_message=config.logs_as_message,
        )
        write_record(directory, record)
        message = self._message(config, paths, record)
        fds = [sandbox.namespaces.fds[kind] for kind in KINDS]
        processes = Namespaces.of(config.beside, ("pid",)) if config.beside else Namespaces({})
        try:
            started = await self._shim.start(record.id, message, [*fds, *processes.fds.values()])
        except ShimLost:
            (directory / f"{config.number}.json").unlink()  # it was no attempt of the container's
            raise
        except StartError as error:
            text = f"unable to start container process: {error}: unknown"
            ending = Exited(START_ERROR, time.time(), "StartError", text)
            (directory / f"{config.number}.exit").write_bytes(msgspec.json.encode(ending))
            raise StartError(text) from None
        finally:
            processes.close()
        pidfd, ticks = _hold(started.pid)
        record = msgspec.structs.replace(record, pid=started.pid, ticks=ticks, started_at=started.at)
        write_record(directory, record)
        return self._register(record, Process(started.pid, pidfd), paths)

    def _register(self, record: Record, process: Process, paths: PodPaths) -> Running:
        running = Running(record, process, paths)
        self._running[record.id] = running
        known = read_exit(paths.container(record.container) / f"{record.number}.exit")
        if known is not None:  # the news of its end came before we asked for it
            self._ended(record.id, Ending(known.code, known.at))
        return running

    def _create_group(self, config: ContainerConfig, paths: PodPaths) -> str:
        if self._cgroups is None:
            return ""
        group = f"{self._group}/pod{paths.identity.uid}/{config.name}-{config.number}"
        try:
            self._cgroups.create(group, config.limits)
        except OSError as error:
            log.warning("cgroup %s: %s; the container runs without limits", group, error)
            return ""
        return group

    def _message(self, config: ContainerConfig, paths: PodPaths, record: Record) -> dict[str, Any]:
        """The shim's order for a container: see `knet.kubelet.runtime.shim`."""
        messages = self.message_file(paths, config.name)
        messages.write_bytes(b"")
        mounts = [
            Mount(paths.resolv_conf, "/etc/resolv.conf"),
            Mount(paths.hostname, "/etc/hostname"),
            Mount(paths.hosts, "/etc/hosts"),
            *(Mount(Path(path), path, True) for path in config.image.binds),
            *sorted(config.mounts, key=lambda mount: mount.target.count("/")),
            *([Mount(messages, config.messages)] if config.messages else []),
        ]
        return {
            "record": f"{paths.container(config.name)}/{config.number}.exit",
            "log": str(paths.log(config.name, config.number)),
            "base": str(self._base),
            "layers": list(config.image.layers),
            "binds": [[str(mount.source), mount.target, mount.read_only] for mount in mounts],
            "argv": list(config.argv),
            "env": config.env,
            "cwd": config.cwd,
            "user": [config.user, config.group, list(config.groups)],
            "capabilities": sorted(privileges.NUMBERS[name] for name in config.capabilities),
            "privileged": config.privileged,
            "no_new_privileges": config.no_new_privileges,
            "read_only": config.read_only,
            "stdin": config.stdin,
            "tty": config.tty,
            "shares": record.shares,
            **self._membership(record.cgroup),
        }

    def _membership(self, group: str) -> dict[str, Any]:
        """The group a container is born into, and the files by which it joins groups: that one's first, if need be."""
        if self._cgroups is None or not group:
            return {"group": "", "cgroups": []}
        return {"group": f"{self._cgroups.account}/{group}", "cgroups": self._cgroups.process_files(group)}

    @staticmethod
    def message_file(paths: PodPaths, container: str) -> Path:
        return paths.container(container) / "termination-log"

    def forget(self, paths: PodPaths) -> None:
        """The pod is gone: so is its group."""
        if self._cgroups is not None:
            self._cgroups.remove_tree(f"{self._group}/pod{paths.identity.uid}")

    # ---- ends ------------------------------------------------------------------------------------------------

    def _ended(self, container: str, ending: Ending) -> None:
        running = self._running.pop(container, None)
        self._alive.pop(container, None)
        if running is None:
            return
        out_of_memory = bool(
            self._cgroups and running.record.cgroup and self._cgroups.out_of_memory(running.record.cgroup)
        )
        self._settle(running, exit_of(ending.code, ending.at, out_of_memory, self._said(running, ending.code)))

    def _settle(self, running: Running, exit_: Exit) -> None:
        running.process.close()
        if self._cgroups and running.record.cgroup:
            if running.record.shares:
                self._cgroups.kill(running.record.cgroup)
            self._cgroups.remove_tree(running.record.cgroup)
        if not running.exit.done():
            running.exit.set_result(exit_)

    def _said(self, running: Running, code: int) -> str:
        """Its termination message."""
        record = running.record
        try:
            data = self.message_file(running.paths, record.container).read_bytes()
            if not data and code and record.logs_as_message:
                return tail(running.paths.log(record.container, record.number), MESSAGE_LINES, LOG_BYTES)
        except OSError:
            return ""
        return data[:MESSAGE_BYTES].decode(errors="replace")

    def _shim_lost(self) -> None:
        """The shim was killed: its containers run on as orphans, whose ends pidfds will tell, but not their codes."""
        for running in self._running.values():
            self._task(self._outlive(running))
        self._task(self._reconnect())

    async def _reconnect(self) -> None:
        self._alive = await self._shim.connect()

    async def _outlive(self, running: Running) -> None:
        await running.process.wait()
        if self._running.pop(running.id, None) is not None:
            known = read_exit(running.paths.container(running.record.container) / f"{running.record.number}.exit")
            if known is not None:
                self._settle(running, exit_of(known.code, known.at, False, self._said(running, known.code)))
                return
            ending = Exited(UNKNOWN_CODE, time.time(), "ContainerStatusUnknown", UNKNOWN)
            write_exit(running.paths, running.record, ending)
            self._settle(running, Exit(UNKNOWN_CODE, ending.at, ending.reason, message=UNKNOWN))

    def _task(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- adoption --------------------------------------------------------------------------------------------

    def attempts(self, paths: PodPaths, name: str) -> tuple[list[Attempt], Running | None]:
        """The last two runs of a container that the disk knows, oldest first, and the latest one if it still runs.

        One that ended while no kubelet was there has its exit code: the shim wrote it.
        """
        directory = paths.container(name)
        numbers = sorted(int(file.stem) for file in directory.glob("[0-9]*.json"))[-2:]
        found: list[Attempt] = []
        alive: Running | None = None
        for number in numbers:
            record = msgspec.json.decode((directory / f"{number}.json").read_bytes(), type=Record)
            known = read_exit(directory / f"{number}.exit")
            exit_ = None
            if known is None:
                alive = self._revive(record, paths)
                if alive is None:
                    known = Exited(UNKNOWN_CODE, time.time(), "ContainerStatusUnknown", UNKNOWN)
                    write_exit(paths, record, known)
            if known is not None:
                plain = exit_of(known.code, known.at, False, known.message)
                exit_ = dataclasses.replace(plain, reason=known.reason or plain.reason)
            found.append(attempt_of(record, exit_))
        return found, alive

    def _revive(self, record: Record, paths: PodPaths) -> Running | None:
        pid = record.pid or self._alive.get(record.id, 0)
        try:
            ticks = record.ticks or (start_time(pid) if pid else 0)
        except ProcessLookupError:
            return None
        process = adopt(pid, ticks) if pid else None
        if process is None:
            return None
        running = self._register(record, process, paths)
        if record.id not in self._alive:  # its shim is dead
            self._task(self._outlive(running))
        return running

    # ---- what runs -------------------------------------------------------------------------------------------

    async def input(self, container: str) -> int:
        """A descriptor for writing to a container's standard input or terminal; LookupError if it has none."""
        return await self._shim.standard_input(container)

    def close_input(self, container: str) -> None:
        self._shim.close_input(container)

    def execute(
        self,
        running: Running,
        argv: tuple[str, ...],
        stdio: tuple[int | None, int | None, int | None] = (None, None, None),
        terminal: str = "",
        counted: bool = True,
    ) -> Process:
        """Start a further program inside a container; raises FileNotFoundError, PermissionError, OSError.

        Its environment is the one that the container was given.  What is not ``counted`` to the container's use of the
        CPU spares the kernel a move between groups, unless there are limits to keep.
        """
        pid, record = running.record.pid, running.record
        namespaces = Namespaces.of(pid)
        try:
            process = spawn(
                Program(
                    argv,
                    {"HOME": "/root", **({"TERM": "xterm"} if terminal else {}), **record.env},
                    cwd=record.cwd,
                    stdio=stdio,
                    user=_user(record),
                    capabilities=frozenset(record.capabilities),
                    terminal=terminal,
                ),
                namespaces,
            )
        finally:
            namespaces.close()
        if self._cgroups and record.cgroup and (counted or record.limited):
            self._task(asyncio.to_thread(self._cgroups.join, record.cgroup, process.pid))
        return process


def _hold(pid: int) -> tuple[int, int]:
    """A pidfd and the start time of a container's first process; (-1, 0) if it has ended and been reaped already."""
    try:
        return os.pidfd_open(pid), start_time(pid)
    except (ProcessLookupError, OSError):
        return -1, 0


def _user(record: Record) -> User:
    """Who runs programs inside: a number as it is, a name by what its first process was made."""
    if record.user in ("", "0", "root"):
        return User(0, record.group or 0, record.groups)
    if record.user.isdigit():
        return User(int(record.user), record.group or 0, record.groups)
    for line in Path(f"/proc/{record.pid}/status").read_text().splitlines():
        if line.startswith("Uid:"):
            uid = int(line.split()[1])
        elif line.startswith("Gid:"):
            return User(uid, int(line.split()[1]), record.groups)
    raise ProcessLookupError(f"no process {record.pid}")
