"""PID 1 of a cluster: brings it up, restarts what dies, answers the control socket.

When it ends, for whatever reason, the kernel ends everything else: that is the whole clean-up.

One thread, one selector, no event loop: every call in here takes microseconds to milliseconds.
"""

import os
import selectors
import signal
import socket
import sys
import time
import traceback

import msgspec
import setproctitle

from knet.cluster import channel, startup
from knet.cluster.channel import Message
from knet.cluster.config import ClusterConfig
from knet.cluster.control import Control
from knet.cluster.emulation import Emulation
from knet.cluster.errors import Breakdown, KnetError
from knet.cluster.processes import Processes
from knet.cluster.zygote import Zygote
from knet.kernel import mounts
from knet.underlay.plan import TopologyError


class Supervisor:
    """See the module.  ``progress`` leads to whoever brings the cluster up."""

    def __init__(self, progress: socket.socket) -> None:
        self._progress: socket.socket | None = progress
        self._started = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._stopping = False

    def run(self, config: ClusterConfig, zygote: Zygote, listen: socket.socket, control: socket.socket) -> None:
        """Serve until told to stop, or until whoever brought us up is gone without having let go of us.

        ``listen`` is the API server's socket on the host, ``control`` the listening control socket.
        """
        self._heed_signals()
        assert self._progress is not None
        self._selector.register(self._progress, selectors.EVENT_READ, self._hear_owner)
        try:
            emulation = Emulation(config, zygote, listen)
            startup.build(emulation, self._tell)
            self._bootstrap(emulation, Control(emulation, self._selector, control))
        except (KnetError, TopologyError) as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - told to whoever waits; the traceback is in the log
            traceback.print_exc()
            self._fail(Breakdown(f"{type(error).__name__}: {error}"))
        else:
            self._serve(emulation.processes)

    def _serve(self, processes: Processes) -> None:
        while not self._stopping:
            processes.reap()
            timeout = processes.restart_due()
            for key, _ in self._selector.select(timeout):
                key.data()

    def _heed_signals(self) -> None:
        wake, wake_write = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 4096))

    def _stop(self) -> None:
        self._stopping = True

    def _bootstrap(self, emulation: Emulation, control: Control) -> None:
        report = startup.bootstrap(emulation)

        def hear() -> None:
            message = channel.hear(report)
            if message is None:
                self._selector.unregister(report)
                report.close()
                if not emulation.ready:
                    self._fail(Breakdown("the cluster did not come up"))
            elif message.error:
                self._fail(Breakdown(message.error))
            elif message.ready:
                startup.complete(emulation, control)
                self._say(Message(ready=True, seconds=self._elapsed()))
            else:
                self._tell(message.step, message.text)

        self._selector.register(report, selectors.EVENT_READ, hear)

    # ---- whoever brings the cluster up -----------------------------------------------------------------------

    def _hear_owner(self) -> None:
        """Our owner's end of the channel: it lets us go on alone, or it is gone and we go too."""
        assert self._progress is not None
        try:
            said = self._progress.recv(64)
        except ConnectionResetError:
            said = b""
        self._selector.unregister(self._progress)
        self._progress.close()
        self._progress = None
        if said != b"detach":
            self._stop()

    def _fail(self, why: Exception) -> None:
        print(why, file=sys.stderr)
        self._say(Message(error=str(why), breakdown=isinstance(why, Breakdown)))
        self._stop()

    def _tell(self, step: str, text: str) -> None:
        self._say(Message(step=step, text=text, seconds=self._elapsed()))

    def _say(self, message: Message) -> None:
        if self._progress is not None:
            try:
                channel.tell(self._progress, message)
            except OSError:
                self._stop()

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 3)


def _own_mounts() -> None:
    """A view of the file system in which nothing we mount is seen by the host: own /proc and /run."""
    mounts.make_private("/")
    mounts.proc("/proc")
    mounts.tmpfs("/run")


def main(zygote: Zygote, progress_fd: int, listen_fd: int, control_fd: int) -> None:
    """Called by `knet.cluster.boot` as PID 1 of new namespaces, the lock held; failures are told on the channel."""
    progress = socket.socket(fileno=progress_fd)
    listen = socket.socket(fileno=listen_fd)
    control = socket.socket(fileno=control_fd)
    config = msgspec.json.decode(progress.recv(channel.MAX_MESSAGE), type=ClusterConfig)
    setproctitle.setproctitle(f"knet {config.name}: supervisor")
    _own_mounts()
    Supervisor(progress).run(config, zygote, listen, control)
