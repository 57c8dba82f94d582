"""Where a cluster leaves traces on the host, all of them: one directory that lasts, one that does not.

/var/lib/knet/NAME   the store, certificates, logs, the machines' disks: outlives ``knet down``
/run/knet/NAME       control socket and lock, while the cluster is up

Whether a cluster is up is answered by the lock alone: its supervisor holds it for life and the kernel lets go of
it however that life ends, so there is no pid file to go stale.
"""

import contextlib
import fcntl
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from knet.cluster.config import ClusterConfig
from knet.cluster.errors import KnetError

#: struct flock: type, whence, start, length, pid. An open-file-description lock (fcntl(2)) belongs to whoever has
#: inherited the descriptor, as flock(2)'s do, but can be asked about without being taken.
_FLOCK = struct.Struct("hhqqi4x")
_WRITE_LOCK = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)

LIB = Path("/var/lib/knet")
RUN = Path("/run/knet")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """cluster.json: what ``up`` needs to know of a cluster that was up before."""

    config: ClusterConfig
    port: int
    previous_context: str = ""


@dataclass(frozen=True)
class StateDir:
    """The paths of one cluster, and what can be said from them alone."""

    name: str

    @property
    def lib(self) -> Path:
        return LIB / self.name

    @property
    def run(self) -> Path:
        return RUN / self.name

    @property
    def pki(self) -> Path:
        return self.lib / "pki"

    @property
    def logs(self) -> Path:
        return self.lib / "logs"

    @property
    def images(self) -> Path:
        """Where rows for the image catalogue may be put at any time; not there until somebody does."""
        return self.lib / "images.yaml"

    @property
    def control(self) -> Path:
        return self.run / "control.sock"

    @property
    def admin_kubeconfig(self) -> Path:
        """For the host: the server is the socket on 127.0.0.1."""
        return self.lib / "admin.kubeconfig"

    @property
    def membership(self) -> Path:
        """Which machines joined and left since the topology was made."""
        return self.lib / "membership.json"

    def machine(self, name: str) -> Path:
        return self.lib / "machines" / name

    def kubeconfig(self, machine: str, component: str) -> Path:
        """A component's own identity, for use on its machine."""
        return self.machine(machine) / "kubernetes" / f"{component}.kubeconfig"

    def log(self, component: str, machine: str) -> Path:
        return self.logs / (f"{component}@{machine}.log" if machine else f"{component}.log")

    @property
    def exists(self) -> bool:
        return (self.lib / "cluster.json").exists()

    def read(self) -> Record | None:
        """The record of an earlier ``up``; None where there is none; KnetError where it cannot be understood."""
        try:
            return msgspec.json.decode((self.lib / "cluster.json").read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise KnetError(
                f"{self.lib}/cluster.json cannot be read ({error}); start afresh with: "
                f"knet down --delete --name {self.name}"
            ) from None

    def write(self, record: Record) -> None:
        self.lib.mkdir(parents=True, exist_ok=True)
        self.lib.chmod(0o755)
        partial = self.lib / "cluster.json.new"
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        partial.replace(self.lib / "cluster.json")

    def lock(self) -> int:
        """The descriptor of the lock that makes us the cluster's owner; KnetError if it is up already."""
        self.run.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WRITE_LOCK)
        except BlockingIOError:
            os.close(fd)
            raise KnetError(
                f"cluster {self.name} is up already. Look at it with: knet status --name {self.name} · end it with: "
                f"knet down --name {self.name} · or start another beside it with: knet up --name OTHER"
            ) from None
        return fd

    @property
    def up(self) -> bool:
        """Whether a supervisor lives. Anybody may ask, and asking takes no lock that an ``up`` could meet."""
        try:
            fd = os.open(self.run / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            kind, *_ = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _WRITE_LOCK))
        finally:
            os.close(fd)
        return bool(kind != fcntl.F_UNLCK)

    def remove_run(self) -> None:
        """Remove what only a living cluster needs."""
        shutil.rmtree(self.run, ignore_errors=True)
        with contextlib.suppress(OSError):  # other clusters are up
            RUN.rmdir()

    def remove(self, keep_logs: bool = False) -> None:
        """Remove everything, or everything but the logs."""
        self.remove_run()
        for path in self.lib.iterdir() if keep_logs and self.lib.is_dir() else [self.lib]:
            if path != self.logs:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            LIB.rmdir()


def all_clusters() -> Iterator[StateDir]:
    """Every cluster that left a trace, up or not, by name."""
    names = {path.name for root in (LIB, RUN) if root.is_dir() for path in root.iterdir() if path.is_dir()}
    for name in sorted(names):
        yield StateDir(name)


def write_private(path: Path, content: bytes) -> None:
    """A file that nobody but its owner can read, from the first byte on, and that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_bytes(content)
    partial.replace(path)
