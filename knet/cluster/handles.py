"""Machines and links of a running cluster, held by name over the control socket."""

import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from knet.cluster import channel
from knet.cluster.state import StateDir
from knet.kernel.namespaces import Namespaces, entered, run_in


class Machine:
    """An emulated machine. Commands run in its network, mount, UTS and PID namespaces."""

    def __init__(self, state: StateDir, name: str) -> None:
        self._state = state
        self.name = name

    def namespaces(self) -> Namespaces:
        """Descriptors of the machine's namespaces; the caller closes them."""
        answer, fds = channel.request(self._state.control, {"op": "enter", "machine": self.name})
        return Namespaces(dict(zip(answer["kinds"], fds, strict=True)))

    def run(self, command: str | list[str], check: bool = True) -> str:
        """Run a command to its end; what it printed. With ``check``, CalledProcessError if it fails."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        spaces = self.namespaces()
        try:
            done = run_in(spaces, lambda: subprocess.run(argv, capture_output=True, text=True, check=check, cwd="/"))
        finally:
            spaces.close()
        return done.stdout

    def popen(self, command: str | list[str], **options: Any) -> "subprocess.Popen[str]":
        """Start a command on the machine; it ends with the cluster at the latest."""
        argv = shlex.split(command) if isinstance(command, str) else command
        spaces = self.namespaces()
        try:
            process = run_in(spaces, lambda: subprocess.Popen(argv, text=True, cwd="/", **options))
        finally:
            spaces.close()
        # the cluster is not gone before each of its processes has been waited for, and nobody else can
        threading.Thread(target=process.wait, daemon=True).start()
        return process

    @property
    def state(self) -> str:
        """ "running", "paused" or "off"."""
        rows = channel.request(self._state.control, {"op": "status"})[0]["machines"]
        return str(next(row["state"] for row in rows if row["name"] == self.name))

    def pause(self) -> None:
        """Stop all its processes, its pods' too, where they are; it answers nobody until `resume`."""
        self._power("pause")

    def resume(self) -> None:
        self._power("resume")

    def kill(self) -> None:
        """Cut its power: all processes end, its cables lose their carrier.  Its disk stays for `boot`."""
        self._power("kill")

    def boot(self) -> None:
        """Give it its power back: its components start, with nothing but its disk."""
        self._power("boot")

    def reboot(self) -> None:
        """`kill` and `boot`."""
        self._power("reboot")

    def _power(self, action: str) -> None:
        channel.request(self._state.control, {"op": "power", "machine": self.name, "action": action})

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread in the machine's network: sockets and sniffers made in the with block belong to it."""
        spaces = self.namespaces()
        try:
            with entered(spaces.only("net")):
                yield
        finally:
            spaces.close()


class Link:
    """A link of the underlay between two machines or switches."""

    def __init__(self, state: StateDir, a: str, b: str) -> None:
        self._state = state
        self.ends = (a, b)

    def _ask(self, operation: str, **arguments: Any) -> None:
        a, b = self.ends
        channel.request(self._state.control, {"op": operation, "a": a, "b": b, **arguments})

    def down(self) -> None:
        """Cut the cable: both ends lose their carrier."""
        self._ask("change_link", up=False)

    def up(self) -> None:
        self._ask("change_link", up=True)

    def change(self, **options: Any) -> None:
        """Link options: bw (Mbit/s), delay ("20ms"), jitter, loss, loss_correlation, duplicate, reorder, corrupt (per
        cent), max_queue_size (packets); 0 ends one.  ``direction="n1"``: only what n1 sends."""
        self._ask("change_link", **options)

    def reset(self) -> None:
        """As the topology declares it."""
        self._ask("reset_link")
