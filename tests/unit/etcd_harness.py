"""A real etcd on the loopback for tests, started as the cluster starts it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from knet.cluster.etcd import PROGRAM, Options, command
from tests.unit.apiserver_harness import free_port

#: marks what needs it; loud, because without it the second store is untested
needs_etcd = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason="NO etcd ON THIS MACHINE: apt-get install etcd-server (scripts/install does)"
)
#: the two stores, for `pytest.mark.parametrize`
STORES = ("sqlite", pytest.param("etcd", marks=needs_etcd))


class EtcdProcess:
    """An etcd that can be killed and started again on the same data and port."""

    def __init__(self, directory: Path) -> None:
        self._options = Options(
            name="test", data_dir=str(directory / "etcd"), client_port=free_port(), peer_port=free_port()
        )
        self.url = f"http://127.0.0.1:{self._options.client_port}"
        self._log = directory / "etcd.log"
        self.start()

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(command(self._options), stdout=log, stderr=log)

    def kill(self) -> None:
        """kill -9."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def ctl(self, *arguments: str) -> str:
        """What etcdctl prints; CalledProcessError if it fails."""
        return subprocess.run(
            ["etcdctl", f"--endpoints={self.url}", *arguments],
            env=os.environ | {"ETCDCTL_API": "3"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout


@contextmanager
def etcd(directory: Path) -> Iterator[EtcdProcess]:
    """An etcd for a while."""
    process = EtcdProcess(directory)
    try:
        yield process
    finally:
        process.kill()
