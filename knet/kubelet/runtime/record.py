"""What is kept on disk of a sandbox, in its pod's directory: how the next kubelet finds it, or anybody who looks in."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from knet.kernel.process import start_time

RECORD = "sandbox.json"
#: on each machine, unless a kubelet is told otherwise; a directory for each pod, called after its uid
PODS = Path("/var/lib/kubelet/pods")


class Record(msgspec.Struct, frozen=True):
    """A sandbox: the pid and `start_time` of its pause process name its namespaces for good."""

    id: str
    pid: int
    started: int
    ips: tuple[str, ...]
    host_network: bool


def read(directory: Path) -> Record | None:
    """The record in a pod's directory; None where there is none, or none that is whole."""
    try:
        return msgspec.json.decode((directory / RECORD).read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None


class Held(NamedTuple):
    """A living sandbox from outside: descriptors of its pause process's directory in /proc, and of its network."""

    id: str
    process: int
    network: int

    @property
    def alive(self) -> bool:
        """Whether the pause process still runs.  The network itself lives as long as anybody holds it."""
        try:
            os.readlink("ns/net", dir_fd=self.process)
        except OSError:
            return False
        return True

    def close(self) -> None:
        os.close(self.process)
        os.close(self.network)


def networks(uids: Iterable[str], pods: Path = PODS) -> dict[str, Held]:
    """The networks of these pods, by uid, for the caller to close; without pods that have none of their own here.

    To be asked in the machine's mount namespace.
    """
    found = {}
    for uid in uids:
        record = read(pods / uid)
        if record is not None and not record.host_network and (held := _hold(record)):
            found[uid] = held
    return found


def _hold(record: Record) -> Held | None:
    """Descriptors stay with the process; its number may be another's once it has ended, which its start time tells."""
    try:
        process = os.open(f"/proc/{record.pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        network = os.open("ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
        if start_time(record.pid) == record.started:
            return Held(record.id, process, network)
        os.close(network)
    except OSError:  # it has ended meanwhile
        pass
    os.close(process)
    return None
