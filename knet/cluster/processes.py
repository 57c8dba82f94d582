"""The components' processes: forked from the zygote, reaped, started again after a growing delay.

The supervisor is the parent, by birth or by inheritance, of every process in the cluster, so one waitpid(2) loop sees
all ends: a component's leads to its restart, anything else (a container whose kubelet died) is merely reaped.
"""

import difflib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from knet.cluster import channel
from knet.cluster.components import Component
from knet.cluster.config import OPTIONAL
from knet.cluster.descriptors import opened
from knet.cluster.errors import Breakdown, KnetError
from knet.cluster.state import StateDir
from knet.cluster.zygote import Spawn, Zygote
from knet.kernel.namespaces import Namespaces
from knet.underlay.state import OFF
from knet.underlay.underlay import Underlay

#: seconds before a component that died is started again: doubled from the first to the second, forgotten once it
#: has lived for so long as the third
RESTART = (0.05, 5.0, 10.0)
#: what becomes of components when others are wanted
STARTED, STOPPED, RESTARTED = "started", "stopped", "restarted"

#: descriptors for a component, by the option that tells it their numbers
Descriptors = Mapping[str, list[int]]


@dataclass
class Backoff:
    """See `RESTART`."""

    delay: float = RESTART[0]

    def after(self, lived: float) -> float:
        """Seconds until the next start of what has ended after so many."""
        first, longest, forgotten = RESTART
        delay = first if lived > forgotten else self.delay
        self.delay = min(2 * delay, longest)
        return delay


@dataclass
class Running:
    """A component's process and its history."""

    component: Component
    #: what others have opened for it, and close
    given: Descriptors = field(default_factory=dict)
    #: one-shot components are not started again
    once: bool = False
    #: switched off: nor is this one, unless it is switched on before it has ended
    off: bool = False
    #: what was opened for it on its machine
    opened: Descriptors = field(default_factory=dict)
    pid: int = 0
    since: float = 0.0
    restarts: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    due: float | None = None
    #: seconds by which it learns later what its watches tell
    late: float = 0.0
    #: where it hears of that
    told: socket.socket | None = None

    def terminate(self) -> None:
        """Ask it to end, if it runs."""
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)

    def tell_late(self, seconds: float) -> None:
        """Tell it by how much it is to be late; on a machine that is paused it reads it when that goes on."""
        assert self.told is not None
        try:
            self.told.send(msgspec.json.encode({"delay": seconds}))
        except BlockingIOError:
            title = self.component.title
            raise KnetError(f"{title} has not heard yet what it was told before; is its machine paused?") from None
        except (BrokenPipeError, ConnectionResetError):
            return  # it has ended just now; its successor is told at its start

    def close(self) -> None:
        """Let go of what was opened for it."""
        for fd in {fd for fds in self.opened.values() for fd in fds}:
            os.close(fd)
        self.opened = {}


def changes(wanted: Mapping[str, Component], known: Mapping[str, Running]) -> dict[str, str]:
    """What has to become of components, by title, so that the wanted ones run, and no optional one beside them."""
    became = {
        title: STOPPED
        for title, row in known.items()
        if row.component.name in OPTIONAL and not row.off and title not in wanted
    }
    for title, component in wanted.items():
        row = known.get(title)
        if row is None or row.off:
            became[title] = STARTED
        elif row.component.options != component.options:
            became[title] = RESTARTED
    return became


class Processes:
    """The components of a cluster, by title.  Processes are started once `wait_ready` has returned."""

    def __init__(self, state: StateDir, underlay: Underlay, zygote: Zygote) -> None:
        self._state = state
        self._underlay = underlay
        self._zygote = zygote
        self._rows: dict[str, Running] = {}

    def __iter__(self) -> Iterator[Running]:
        """Those that are to run."""
        return (row for row in self._rows.values() if not row.off)

    def __getitem__(self, title: str) -> Running:
        """KnetError where there is none of that title."""
        running = self._rows.get(title)
        if running is None:
            near = difflib.get_close_matches(title, self._rows, 1)
            raise KnetError(
                f"there is no component {title!r}{f' (is {near[0]} meant?)' if near else ''}; "
                f"there are: {', '.join(self._rows)}"
            )
        return running

    # ---- beginnings ------------------------------------------------------------------------------------------

    def wait_ready(self) -> None:
        """Block until components can be forked."""
        try:
            self._zygote.wait_ready()
        except ConnectionError as error:
            raise Breakdown(str(error)) from None

    def begin(self, component: Component, given: Descriptors | None = None, once: bool = False) -> None:
        """Start a component: now, or when its machine boots.  ``given`` stays open for as long as it is started."""
        running = Running(component, given or {}, once)
        if self._underlay.power(component.machine) == OFF:
            self._rows[component.title] = running
        else:
            self._begin(running)

    def become(self, wanted: Iterable[Component]) -> dict[str, str]:
        """See that these run as their options say, and no other optional ones; what became of components by it."""
        components = {component.title: component for component in wanted}
        became = changes(components, self._rows)
        for title, what in became.items():
            running = self._rows.get(title)
            if running is None:
                self.begin(components[title])
                continue
            running.off, running.component = what == STOPPED, components.get(title, running.component)
            if what == STARTED:
                continue  # it has not ended yet
            running.terminate()
            if running.off and not running.pid:
                self._ended(running, 0)
        return became

    def _begin(self, running: Running) -> None:
        """On a machine on which nothing is open for it yet."""
        running.opened = opened(running.component, self._underlay.machines.get(running.component.machine))
        self._start(running)

    def _start(self, running: Running) -> None:
        component = running.component
        there = self._underlay.machines[component.machine].namespaces if component.machine else Namespaces({})
        log = os.open(self._state.log(component.name, component.machine), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        running.told, theirs = channel.pair()
        running.told.setblocking(False)
        if running.late:
            running.tell_late(running.late)
        extra = {"told": [theirs.fileno()]}
        for descriptors in (running.given, running.opened):
            for option, fds in descriptors.items():
                extra[option] = [*extra.get(option, ()), *fds]
        request = Spawn(
            module=component.module,
            title=f"knet {self._state.name}: {component.title}",
            options=component.options,
            namespaces=tuple(there.fds),
            extra={option: len(fds) for option, fds in extra.items()},
        )
        try:
            running.pid = self._zygote.spawn(request, log, there, [fd for fds in extra.values() for fd in fds])
        finally:
            os.close(log)
            theirs.close()
        running.since = time.monotonic()
        running.due = None
        self._rows[component.title] = running

    # ---- ends ------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Take note of every process that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._zygote.pid:
                self._replace_zygote()
            for running in self._rows.values():
                if running.pid == pid:
                    self._ended(running, os.waitstatus_to_exitcode(status))
                    break

    def restart_due(self) -> float | None:
        """Start what is due; seconds until the next one is."""
        now = time.monotonic()
        waiting = [row for row in self._rows.values() if row.due is not None]
        for running in waiting:
            if running.due is not None and running.due <= now:
                try:
                    self._start(running)
                    running.restarts += 1
                except ConnectionError:  # the zygote has just died, too; its end comes to us next
                    running.due = now + RESTART[0]
        left = [row.due - now for row in self._rows.values() if row.due is not None]
        return max(min(left), 0) if left else None

    def _replace_zygote(self) -> None:
        """What it has forked lives on; what is to be started waits for its successor's imports."""
        print("the zygote ended; a new one takes its place", file=sys.stderr)
        self._zygote = Zygote(self._zygote.title)
        self._zygote.wait_ready()

    def _ended(self, running: Running, code: int) -> None:
        running.pid = 0
        if running.once or running.off:
            del self._rows[running.component.title]
            running.close()
        elif self._underlay.power(running.component.machine) != OFF:
            now = time.monotonic()
            delay = running.backoff.after(now - running.since)
            print(f"{running.component.title} ended with {code}; again in {delay:.2f} s", file=sys.stderr)
            running.due = now + delay

    # ---- machines --------------------------------------------------------------------------------------------

    def machine_lost(self, machine: str) -> None:
        """Its power was cut: wait for the ends of what ran there."""
        for running in self._on(machine):
            running.due = None
            if running.pid:
                _, status = os.waitpid(running.pid, 0)
                self._ended(running, os.waitstatus_to_exitcode(status))

    def machine_booted(self, machine: str) -> None:
        """It is as new, and so is what runs there."""
        for running in self._on(machine):
            running.close()
            running.backoff = Backoff()
            self._begin(running)

    def machine_leaves(self, machine: str) -> None:
        """What runs there is ended by others, and is none of ours any more."""
        for running in self._on(machine):
            running.close()
            del self._rows[running.component.title]

    def _on(self, machine: str) -> list[Running]:
        return [row for row in self._rows.values() if row.component.machine == machine]
