"""The zygote: a process that has imported everything and does nothing but fork.

A component started by a fresh interpreter costs 0.3 s and 29 MB; forked from here it costs 4 ms and what it
touches.  Each request carries the machine's namespaces as descriptors.  The zygote forks twice, so that the
component's parent is PID 1 of the cluster, the supervisor: it learns of every end by waitpid(2), without the
zygote's help.  (multiprocessing's forkserver keeps its children to itself, and their exit with them.)

Single-threaded on purpose: fork(2) copies only the calling thread, and setns(2) on a mount namespace refuses
others.
"""

import gc
import importlib
import os
import signal
import socket
import struct
import sys
from collections.abc import Sequence

import msgspec
import setproctitle

from knet.kernel.namespaces import Namespaces

#: what components import, so that they share it; order does not matter
PRELOAD = (
    "knet.client.component",
    "knet.api.schema",
    "knet.apiserver.main",
    "knet.controllers.main",
    "knet.scheduler.main",
    "knet.kubelet.main",
    "knet.proxy.main",
    "knet.cni.main",
    "knet.policy.main",
    "knet.speaker.main",
    "knet.cluster.agent",
    "knet.cluster.bootstrap",
    "knet.cluster.lab.main",
)

_PID = struct.Struct("!i")
MAX_MESSAGE = 1 << 16


class Spawn(msgspec.Struct, frozen=True, kw_only=True):
    """A request: run ``module``.main(Options) as ``title``.

    Descriptors travel beside it: the log, then the namespaces named in ``namespaces``, then the extra ones, whose
    numbers in the new process are put into the options that ``extra`` names, so many for each; ``told`` is for
    the frame around the component (`knet.client.component.told`).
    """

    module: str
    title: str
    options: dict[str, object]
    namespaces: tuple[str, ...] = ()
    extra: dict[str, int] = {}


class Zygote:
    """The supervisor's end: `spawn` returns the pid of a new component, a child of this process."""

    def __init__(self, title: str) -> None:
        self.title = title
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_inheritable(theirs.fileno(), True)
        argv = [sys.executable, "-m", "knet.cluster.zygote", str(theirs.fileno()), title]
        self.pid = os.posix_spawn(sys.executable, argv, os.environ)
        theirs.close()
        self._socket = ours

    def fileno(self) -> int:
        return self._socket.fileno()

    def wait_ready(self) -> None:
        """Block until the imports are done; ConnectionError if the zygote died of them."""
        if not self._socket.recv(1):
            raise ConnectionError("the zygote ended while importing")

    def spawn(self, request: Spawn, log: int, namespaces: Namespaces, extra: Sequence[int] = ()) -> int:
        """Fork a component; its pid. ConnectionError if the zygote is gone."""
        fds = [log, *(namespaces.fds[kind] for kind in request.namespaces), *extra]
        socket.send_fds(self._socket, [msgspec.json.encode(request)], fds)
        answer = self._socket.recv(_PID.size)
        if len(answer) != _PID.size:
            raise ConnectionError("the zygote is gone")
        return int(_PID.unpack(answer)[0])


def _serve(connection: socket.socket) -> None:
    connection.send(b"+")
    decoder = msgspec.json.Decoder(Spawn)
    while True:
        data, fds, _, _ = socket.recv_fds(connection, MAX_MESSAGE, 64)
        if not data:
            return
        request = decoder.decode(data)
        read, write = os.pipe()
        middle = os.fork()
        if middle == 0:
            connection.close()
            os.close(read)
            _fork_component(request, fds, write)
        os.close(write)
        os.waitpid(middle, 0)
        connection.send(os.read(read, _PID.size))
        os.close(read)
        for fd in fds:
            os.close(fd)


def _fork_component(request: Spawn, fds: list[int], write: int) -> None:
    """In the middle process: fork the component, report its pid and vanish."""
    pid = os.fork()
    if pid:
        os.write(write, _PID.pack(pid))
        os._exit(0)
    os.close(write)
    code = 70
    try:
        code = _become(request, fds)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - last frame of the process: say it in the log and leave
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(request: Spawn, fds: list[int]) -> int:
    log, *rest = fds
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.setsid()
    namespaces = Namespaces(dict(zip(request.namespaces, rest, strict=False)))
    extra = rest[len(request.namespaces) :]
    namespaces.enter()
    namespaces.close()
    os.close(log)
    os.chdir("/")
    setproctitle.setproctitle(request.title)
    given = {}
    for option, count in request.extra.items():
        given[option], extra = extra[:count], extra[count:]
    from knet.client import component  # loaded by now; the supervisor, who imports this module, has no need of it

    for told in given.pop("told", ()):
        os.set_inheritable(told, False)
        component.told = socket.socket(fileno=told)
    module = importlib.import_module(request.module)
    module.main(msgspec.convert({**request.options, **given}, module.Options))
    return 0


def main() -> None:
    """Entry of the zygote process; argv: its socket, its title."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is for the CLI
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    for name in PRELOAD:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    setproctitle.setproctitle(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _serve(connection)


if __name__ == "__main__":
    main()
