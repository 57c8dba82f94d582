"""The host's side of a cluster: bring a supervisor up, watch it come up, end it, clean up after it.

A supervisor lives as long as the socket to whoever brought it up, unless that one lets go of it (``detach``).  So
Ctrl-C, kill -9 or a crash at any moment of ``up`` leaves nothing behind, and a script's cluster ends with the
script.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from knet.cluster import channel, kubeconfig, preflight
from knet.cluster.channel import Message
from knet.cluster.config import CHANGEABLE, FILES, LIVE, ClusterConfig
from knet.cluster.errors import Breakdown, KnetError
from knet.cluster.state import Record, StateDir
from knet.kernel import cgroup

#: seconds until a supervisor that was asked to stop is killed
STOP_DEADLINE = 5

Progress = Callable[[Message], None]


class Running:
    """A cluster that this process brought up and still holds: it ends when this does, unless `detach`-ed."""

    def __init__(self, state: StateDir, record: Record, owner: socket.socket, pid: int) -> None:
        self.state = state
        self.record = record
        self._owner = owner
        self.pid = pid

    def detach(self) -> None:
        """Let it live on by itself."""
        self._owner.send(b"detach")
        self._owner.close()


def configure(name: str, given: Mapping[str, Any]) -> tuple[ClusterConfig, Record | None]:
    """The config of an ``up``: what was given, or, for a cluster that exists, what it was made with.

    KnetError where the two contradict each other: a cluster's state would not fit another shape.
    """
    given = {
        option: str(Path(value).resolve()) if option in FILES and value else value for option, value in given.items()
    }
    asked = ClusterConfig(name=name, **given).check()
    record = StateDir(name).read()
    if record is None:
        return asked, None
    changed = {option: value for option, value in given.items() if option in CHANGEABLE}
    for option, value in given.items():
        if option in changed:
            continue
        if (known := getattr(record.config, option)) != value:
            raise KnetError(
                f"cluster {name} was made with {option}={known or 'default'}, not {value}. Bring it up as it is: "
                f"knet up --name {name} · or make it anew: knet down --delete --name {name}"
            )
    return msgspec.structs.replace(record.config, **changed), record


def reconfigure(name: str, changes: Mapping[str, Any]) -> dict[str, str]:
    """Change options (of `knet.cluster.config.LIVE`) of a cluster that is up, and keep them for the next ``up``.

    What became of components for it, by NAME@MACHINE: started, stopped or restarted.  KnetError or FeatureMissing where
    it cannot be.
    """
    state = StateDir(name)
    record = state.read()
    if record is None or not state.up:
        raise KnetError(f"cluster {name} is not up; bring it up with: knet up --name {name}")
    if fixed := sorted(set(changes) - set(LIVE)):
        raise KnetError(f"{', '.join(fixed)} cannot be changed while the cluster is up")
    config = msgspec.structs.replace(record.config, **changes).check()
    preflight.check(config)
    answer, _ = channel.request(state.control, {"op": "configure", **changes})
    state.write(msgspec.structs.replace(record, config=config))
    return dict(answer["became"])


def up(name: str, given: Mapping[str, Any], progress: Progress) -> Running:
    """Bring a cluster up and return when it answers; ``progress`` is told each step.

    ``given`` are the fields of ClusterConfig that the user set.  Raises KnetError; then nothing is left that was
    not there before.
    """
    config, record = configure(name, given)
    preflight.check(config)
    state = StateDir(name)
    lock = state.lock()
    try:
        return _up(state, config, record, lock, progress)
    except BaseException as error:
        os.close(lock)
        state.remove_run()
        remove_cgroups(name)
        if record is None:
            state.remove(keep_logs=isinstance(error, Breakdown))
        raise


def _up(state: StateDir, config: ClusterConfig, record: Record | None, lock: int, progress: Progress) -> Running:
    remove_cgroups(state.name)
    with _host_socket(config, record) as listen:
        port = listen.getsockname()[1]
        previous = record.previous_context if record else ""
        record = Record(config=config, port=port, previous_context=previous)
        state.write(record)
        state.logs.mkdir(parents=True, exist_ok=True)
        owner, theirs = channel.pair()
        with channel.listen(state.control) as control, theirs:
            _exec(state, (theirs.fileno(), lock, listen.fileno(), control.fileno()))
            owner.send(msgspec.json.encode(config))
    first = channel.hear(owner)
    if first is None or not first.pid:
        raise Breakdown(f"the supervisor did not start; see {state.logs}/supervisor.log")
    running = Running(state, record, owner, first.pid)
    try:
        (state.run / "supervisor.pid").write_text(f"{first.pid}\n")
        while True:
            message = channel.hear(owner)
            if message is None:
                raise Breakdown(f"the supervisor ended; see {state.logs}/supervisor.log")
            if message.breakdown:
                raise Breakdown(f"{message.error}; to see why: knet logs --name {state.name}")
            if message.error:
                raise KnetError(message.error)
            if message.ready:
                user = kubeconfig.UserFile.of_invoking_user()
                entries = kubeconfig.read(state.admin_kubeconfig)
                running.record = msgspec.structs.replace(record, previous_context=user.merge(entries) or previous)
                state.write(running.record)
                os.close(lock)  # the supervisor holds it from here on
                progress(message)
                return running
            progress(message)
    except BaseException:
        owner.close()
        _await_end(first.pid)
        raise


def _exec(state: StateDir, fds: tuple[int, ...]) -> None:
    """Start knet.cluster.boot with these descriptors; it leaves a supervisor behind and ends at once."""
    log = os.open(state.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        # components trust the cluster's CA and no other; reading the system's costs aiohttp's import 0.1 s
        "SSL_CERT_FILE": "/dev/null",
        "SSL_CERT_DIR": "/dev/null",
    }
    try:
        boot = subprocess.Popen(
            [sys.executable, "-m", "knet.cluster.boot", state.name, *map(str, fds)],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment | _python_environment(),
            start_new_session=True,
        )
    finally:
        os.close(log)
    boot.wait()
    if boot.returncode:
        raise Breakdown(f"the supervisor did not start; see {state.logs}/supervisor.log")


def _python_environment() -> dict[str, str]:
    """Where the package is, when it runs from a directory that the interpreter does not know by itself."""
    package_root = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": package_root}


def _host_socket(config: ClusterConfig, record: Record | None) -> socket.socket:
    """The API server's listening socket on the host: the port asked for, else the one from last time, else any."""
    wanted = config.port or (record.port if record else 0)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", wanted))
    except OSError as error:
        if config.port:
            sock.close()
            raise KnetError(
                f"--port {config.port}: 127.0.0.1:{config.port} cannot be used ({error.strerror}); "
                "choose another, or leave --port out for a free one."
            ) from None
        sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    return sock


def down(name: str, delete: bool = False) -> bool:
    """End a cluster and, with ``delete``, forget its state. False if it was neither up nor known."""
    state = StateDir(name)
    was_up, known = state.up, state.exists or state.lib.exists()
    if was_up:
        _stop(state)
    if was_up or state.run.exists():
        _forget_context(state)
        state.remove_run()
    remove_cgroups(name)
    if delete:
        _forget_context(state)
        state.remove()
    return was_up or (delete and known)


def _forget_context(state: StateDir) -> None:
    try:
        record = state.read()
    except KnetError:  # unreadable: the context goes all the same
        record = None
    kubeconfig.UserFile.of_invoking_user().remove(state.name, record.previous_context if record else "")


def _stop(state: StateDir) -> None:
    try:
        pid = int((state.run / "supervisor.pid").read_text())
    except (FileNotFoundError, ValueError):
        raise KnetError(f"cluster {state.name} is being brought up by another process; end that one first.") from None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    _await_end(pid)


def _await_end(pid: int) -> None:
    """Wait until the supervisor, and so by the kernel's hand every process of the cluster, is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], STOP_DEADLINE)[0]:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            select.select([fd], [], [])
    finally:
        os.close(fd)


def remove_cgroups(name: str) -> None:
    """Remove a dead cluster's control groups: the one thing of it that the kernel does not remove by itself."""
    hierarchies = cgroup.find()
    if hierarchies is not None:
        hierarchies.remove_tree(f"knet/{name}")
        for root in hierarchies.distinct:
            with contextlib.suppress(OSError):  # other clusters' are there, or none ever was
                (root / "knet").rmdir()
