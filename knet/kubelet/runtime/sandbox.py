"""A pod's sandbox: network, IPC and UTS namespaces, held by a pause process, connected by CNI.

The pause process (``sleep`` under the name /pause) keeps the namespaces alive whatever becomes of the kubelet or the
containers; its pid and start time on disk are how the next kubelet finds the sandbox again.
"""

import asyncio
import functools
import logging
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from knet import cni
from knet.api.objects import Pod
from knet.kernel import sysctl
from knet.kernel.libc import CLONE_NEWPID, unshare
from knet.kernel.namespaces import Namespaces, create
from knet.kernel.process import Process, Program, adopt, spawn_here, start_time
from knet.kernel.programs import DEFAULT_PATH
from knet.kubelet.runtime.record import RECORD, Record, read

log = logging.getLogger(__name__)

KINDS = ("net", "ipc", "uts")
#: the command line of a pause process
_PAUSE = [b"/pause", b"infinity"]
#: as process 1 it inherits orphans: the kernel reaps them for one that ignores SIGCHLD
_REAPING_PAUSE = "trap '' CHLD; exec -a /pause $0 infinity"


class SandboxError(RuntimeError):
    """FailedCreatePodSandBox: the message is the Event's."""


@dataclass
class Sandbox:
    """A living sandbox. ``lost`` completes when its pause process dies."""

    id: str
    ips: tuple[str, ...]
    """one of each address family"""
    host_network: bool
    process: Process
    namespaces: Namespaces
    lost: "asyncio.Task[int | None]"

    @property
    def ip(self) -> str:
        """The first, which probes ask."""
        return self.ips[0]


@dataclass(frozen=True)
class SandboxConfig:
    """What a pod wants of its sandbox.

    ``host_ipc``: the machine's IPC namespace; ``share_processes``: the pause process is process 1 of them all;
    ``sysctls``: settings of its namespaces, by name.
    """

    host_name: str
    host_ipc: bool = False
    share_processes: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)


async def create_sandbox(
    directory: Path, pod: Pod, config: SandboxConfig, plugins: cni.PodNetwork, network: cni.NetworkConfig
) -> Sandbox:
    """A new sandbox, recorded in ``directory`` (which exists); raises SandboxError, OSError."""
    name = secrets.token_hex(32)
    started: list[Process] = []

    def inside() -> None:
        socket.sethostname(config.host_name)
        for setting, value in config.sysctls.items():
            sysctl.write(setting, value)
        started.append(_pause(config.share_processes))

    namespaces = _create(("ipc",) if config.host_ipc else (), inside)
    try:
        addresses = await plugins.add(cni.Attachment.of(pod, name, namespaces.fds["net"]), network)
    except cni.CniError as error:
        started[0].kill()
        started[0].reap()
        namespaces.close()
        raise SandboxError(
            f"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "
            f'"{name}": {error}'
        ) from error
    return _recorded(directory, name, tuple(addresses), False, started[0], namespaces)


def create_host_sandbox(directory: Path, node_ips: tuple[str, ...], config: SandboxConfig) -> Sandbox:
    """The sandbox of a pod in the machine's network: it shares network and UTS namespaces, and addresses."""
    started: list[Process] = []
    shared = ("net", "uts", "ipc") if config.host_ipc else ("net", "uts")
    namespaces = _create(shared, lambda: started.append(_pause(config.share_processes)))
    return _recorded(directory, secrets.token_hex(32), node_ips, True, started[0], namespaces)


def _create(shared: tuple[str, ...], inside: Callable[[], None]) -> Namespaces:
    """Namespaces for a sandbox: new ones, in which ``inside`` has been called, but for the machine's that it shares."""
    own = create(*(kind for kind in KINDS if kind not in shared), setup=inside)
    return Namespaces({**own.fds, **Namespaces.of("thread-self", shared).fds})


def _pause(of_processes: bool) -> Process:
    """Start the pause process in the calling thread's namespaces, in a PID namespace of its own where it has to be."""
    if not of_processes:
        return spawn_here(Program([word.decode() for word in _PAUSE], executable=_sleep(), cwd="/"))
    unshare(CLONE_NEWPID)
    return spawn_here(Program(["bash", "-c", _REAPING_PAUSE, _sleep()], {"PATH": DEFAULT_PATH}, cwd="/"))


@functools.cache
def _sleep() -> str:
    return shutil.which("sleep", path=DEFAULT_PATH) or "/bin/sleep"


def _recorded(
    directory: Path, name: str, addresses: tuple[str, ...], host_network: bool, process: Process, namespaces: Namespaces
) -> Sandbox:
    record = Record(name, process.pid, start_time(process.pid), addresses, host_network)
    (directory / RECORD).write_bytes(msgspec.json.encode(record))
    return _sandbox(record, process, namespaces)


def find_sandbox(directory: Path) -> Sandbox | Record | None:
    """The sandbox recorded there: alive, or just its record if it died meanwhile, or None if there was none."""
    record = read(directory)
    if record is None:
        return None
    process = adopt(record.pid, record.started)
    if process is None:
        return record
    try:
        return _sandbox(record, process, Namespaces.of(record.pid, KINDS))
    except OSError:  # it died this moment
        process.close()
        return record


async def clean_up_forgotten(pods_dir: Path, plugins: cni.PodNetwork) -> None:
    """For the start of a kubelet: one that was killed between a sandbox's beginning and its record leaves a pause
    process and an address behind; a reboot leaves addresses. What is not recorded goes.
    """
    records = [msgspec.json.decode(file.read_bytes(), type=Record) for file in pods_dir.glob(f"*/{RECORD}")]
    known, pids = {record.id for record in records}, {record.pid for record in records}
    machine = os.stat("/proc/self/ns/mnt").st_ino
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            ours = words[:2] == _PAUSE and (process / "ns/mnt").stat().st_ino == machine
        except OSError:  # it ended meanwhile
            continue
        if ours and int(process.name) not in pids:
            log.info("pause process %s belongs to no recorded sandbox: killed", process.name)
            os.kill(int(process.name), signal.SIGKILL)
    for name in await plugins.gc(known):
        log.info("sandbox %s: its address is free again", name[:13])


async def remove_sandbox(sandbox: Sandbox | Record, directory: Path, plugins: cni.PodNetwork) -> None:
    """Give the address back and let the namespaces vanish."""
    if not sandbox.host_network:
        await plugins.remove(sandbox.id, sandbox.namespaces.fds["net"] if isinstance(sandbox, Sandbox) else -1)
    if isinstance(sandbox, Sandbox):
        sandbox.process.kill()
        await sandbox.lost
        sandbox.namespaces.close()
    (directory / RECORD).unlink(missing_ok=True)


def release(sandbox: Sandbox) -> None:
    """Stop looking after a sandbox that goes on living, when the kubelet stops."""
    sandbox.lost.cancel()
    sandbox.namespaces.close()


def _sandbox(record: Record, process: Process, namespaces: Namespaces) -> Sandbox:
    lost = asyncio.ensure_future(process.wait())
    return Sandbox(record.id, record.ips, record.host_network, process, namespaces, lost)
