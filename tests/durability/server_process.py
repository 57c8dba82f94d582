"""A real API server process that can be killed and started again, on the same socket and store, in 30 ms.

As in a cluster it is forked from a zygote and inherits its listening socket: whoever connects while there is no server
waits in the backlog.
"""

import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knet.cluster.zygote import Spawn, Zygote
from knet.kernel.namespaces import Namespaces
from tests.unit.apiserver_harness import Server, make_pki


class ServerProcess:
    """The server over TLS at ``server.url``; `start` and `kill` alternate."""

    def __init__(self, directory: Path, store: str, zygote: Zygote) -> None:
        """``store``: an etcd's URL, "" for SQLite."""
        make_pki(directory / "pki")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.server = Server(directory, self._listener.getsockname()[1])
        self._zygote = zygote
        self._log = (directory / "log").open("ab")
        options = {
            "data_dir": str(directory / "data"),
            "pki_dir": str(self.server.pki),
            "advertise_address": "127.0.0.1",
            "store": store,
        }
        self._request = Spawn(
            module="knet.apiserver.main", title="knet-test-apiserver", options=options, extra={"listen_fds": 1}
        )
        self._pidfd = -1

    def start(self) -> None:
        """Fork it; it serves what waits in the backlog as soon as it can."""
        pid = self._zygote.spawn(self._request, self._log.fileno(), Namespaces({}), (self._listener.fileno(),))
        self._pidfd = os.pidfd_open(pid)

    def kill(self) -> None:
        """kill -9; returns when the process has ended."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        select.select([self._pidfd], [], [])
        os.close(self._pidfd)
        self._pidfd = -1

    def close(self) -> None:
        """Leave nothing running."""
        if self._pidfd >= 0:
            self.kill()
        self._listener.close()
        self._log.close()


@contextmanager
def zygote() -> Iterator[Zygote]:
    """The parent of the servers, with everything imported."""
    found = Zygote("knet-test-zygote")
    try:
        found.wait_ready()
        yield found
    finally:
        os.kill(found.pid, signal.SIGTERM)
        os.waitpid(found.pid, 0)
