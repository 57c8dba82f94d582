"""PID 1 of a cluster: builds the machines, starts the components, restarts what dies, answers the control socket.

It is the parent, by birth or by inheritance, of every process in the cluster, so one waitpid(2) loop sees all
ends: a component's leads to its restart after a growing delay, anything else (a container whose kubelet died) is
merely reaped.  When it ends, for whatever reason, the kernel ends everything else: that is the whole clean-up.

One thread, one selector, no event loop: every call in here takes microseconds to milliseconds.
"""

import difflib
import functools
import inspect
import os
import selectors
import shutil
import signal
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import setproctitle

from knet.api.families import IPV4
from knet.api.objects import JSON
from knet.cluster import channel, components
from knet.cluster.channel import Message
from knet.cluster.components import API_PORT, SUPERVISOR, UNDERLAY, Component
from knet.cluster.config import OPTIONAL, ClusterConfig
from knet.cluster.errors import Breakdown, KnetError
from knet.cluster.pools import pool
from knet.cluster.state import StateDir
from knet.cluster.zygote import Spawn, Zygote
from knet.kernel import mounts
from knet.kernel.aside import Aside
from knet.kernel.inhabitants import end_all
from knet.kernel.namespaces import Namespaces, entered
from knet.underlay import impairment, validate
from knet.underlay.families import in_families
from knet.underlay.machine import Machine
from knet.underlay.membership import Joining, Membership, join, leave
from knet.underlay.plan import CONTROL_PLANE, ROUTER, WORKER, MachineSpec, Plan, TopologyError
from knet.underlay.state import OFF, LinkError
from knet.underlay.topology import describe, load
from knet.underlay.underlay import Underlay
from knet.underlay.view import LocalView

#: seconds before a component that died is started again: doubled from the first to the second, forgotten once it
#: has lived for so long as the third
RESTART = (0.05, 5.0, 10.0)
#: requests that may change what is shown of the network
CHANGES = ("change_link", "reset_link", "partition", "heal", "power", "join", "leave", "delay")
#: seconds for everything from the first process to Ready
UP_DEADLINE = 90


@dataclass
class Running:
    """A component's process and its history."""

    component: Component
    pid: int = 0
    since: float = 0.0
    restarts: int = 0
    delay: float = RESTART[0]
    due: float | None = None
    #: one-shot components are not started again
    once: bool = False
    #: switched off: nor is this one, unless it is switched on before it has ended
    off: bool = False
    #: descriptors for it, by the option that tells their numbers
    extra: dict[str, list[int]] = field(default_factory=dict)
    #: seconds by which it learns later what its watches tell
    late: float = 0.0
    #: where it hears of that
    told: socket.socket | None = None


class Supervisor:
    """See the module. ``listen`` is the API server's socket on the host, ``control`` the listening control socket."""

    def __init__(
        self,
        config: ClusterConfig,
        zygote: Zygote,
        progress: socket.socket,
        listen: socket.socket,
        control: socket.socket,
    ) -> None:
        self.config = config
        self.state = StateDir(config.name)
        self.started = time.monotonic()
        self.stopping = False
        self._progress: socket.socket | None = progress
        self._listen = listen
        self._control = control
        self._running: dict[str, Running] = {}
        self._selector = selectors.DefaultSelector()
        self._zygote = zygote
        self._underlay: Underlay | None = None
        self._pool = ""
        #: as the topology has it, in IPv4
        self._plan = Plan("", (), (), ())
        self._report: socket.socket | None = None
        self._doors: dict[str, socket.socket] = {}
        self._wake = -1
        self._life = uuid.uuid4().hex
        self._own = Namespaces.of("self", ("pid",))
        self._ready = False

    # ---- up --------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Machines, identities, components; KnetError or TopologyError where the request cannot be met."""
        topo = load(self.config.topo, self.config.workers)
        plan = Membership.read(self.state.membership).applied(describe(topo))
        self._check(plan)
        self._plan = plan
        self._pool = str(pool(self.config, plan))
        addressed = in_families(plan, self.config.families)
        certificates = self._issue(addressed, addressed.of_role(WORKER))
        upstream = self.config.dns_upstream
        nameservers = [upstream] if upstream else []
        self._underlay = Underlay(addressed, self.state.lib, nameservers)
        self._underlay.start()
        self._tell("machines", " ".join(self._underlay.machines))
        workers = [row for row in self._underlay.machines.values() if row.role == WORKER]
        certificates.wait()
        try:
            self._zygote.wait_ready()
        except ConnectionError as error:
            raise Breakdown(str(error)) from None
        if self.config.faults:
            from knet.cluster.faults.run import load as load_plan  # an ordinary cluster has none
            from knet.cluster.faults.run import survey

            wanted = [{"name": row.name, "machine": row.machine, "delay": ""} for row in self._wanted()]
            survey(load_plan(self.config.faults), {**self._status()[0], "components": wanted})
        for component in self._wanted():
            self._begin(Running(component))
        self._bootstrap(workers)

    def _issue(self, plan: Plan, workers: Iterable[MachineSpec]) -> Aside:
        """Have certificates and kubeconfigs written that are not there yet."""
        [control_plane] = plan.of_role(CONTROL_PLANE)
        port = self._listen.getsockname()[1]

        def issue() -> None:
            from knet.cluster import certificates  # cryptography: not for as long as a cluster lives

            certificates.issue(self.config, self.state, port, control_plane, workers)

        return Aside(issue)

    def _begin(self, running: Running) -> None:
        running.extra = self._descriptors(running.component)
        self._start(running)

    def _descriptors(self, component: Component) -> dict[str, list[int]]:
        """What is opened for a component on its machine, by the option that tells it the numbers.

        Sockets exist before whoever serves them does: connections wait in the backlog, across restarts too, and nobody
        has to try again.
        """
        machine = self._machine(component.machine)
        extra = {option: [_appending(path)] for option, path in component.appends.items()}
        for option, address in component.listens.items():
            extra[option] = [_listening_unix(machine, address).detach()]
        if component.name == UNDERLAY:
            self._serve_on(machine)
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            extra["wake_fds"] = [self._wake]
        if component.name == "kube-apiserver":
            sockets = (_listening(machine, address, API_PORT) for address in machine.addresses)
            extra["listen_fds"] = [self._listen.fileno(), *(sock.detach() for sock in sockets)]
        return extra

    def _serve_on(self, machine: Machine | None) -> None:
        """Answer requests that come from a machine, or from beside them, too: root's there is root's."""
        place = machine.name if machine else ""
        if place in self._doors:
            self._selector.unregister(self._doors[place])
            self._doors[place].close()
        door = self._doors[place] = _listening_unix(machine, SUPERVISOR, socket.SOCK_SEQPACKET)
        self._selector.register(door, selectors.EVENT_READ, functools.partial(channel.serve_one, door, self._answer))

    @property
    def _control_plane(self) -> Machine:
        assert self._underlay is not None
        [machine] = [row for row in self._underlay.machines.values() if row.role == CONTROL_PLANE]
        return machine

    def _check(self, plan: Plan) -> None:
        """Complain about a plan of IPv4, of which that of IPv6 is an image."""
        used = {"pods": self.config.pod_ranges, "Services": self.config.service_ranges}
        here = {use: str(by_family[IPV4]) for use, by_family in used.items() if IPV4 in by_family}
        validate.check(plan, here)

    def _wanted(self) -> Iterator[Component]:
        """What has to run by the config as it is now, in the order in which it starts."""
        assert self._underlay is not None
        for role in (CONTROL_PLANE, ROUTER, WORKER):
            for machine in self._underlay.machines.values():
                if machine.role == role:
                    yield from self._wanted_on(machine)

    def _wanted_on(self, machine: Machine) -> Iterable[Component]:
        config = msgspec.structs.replace(self.config, lb_pool=self._pool)
        return components.wanted(config, self.state, machine, self._plan)

    def _bootstrap(self, workers: list[Machine]) -> None:
        """Start the one-shot component that applies the add-ons and waits until the cluster answers."""
        ours, theirs = channel.pair()
        self._report = ours
        component = Component(
            "bootstrap",
            workers[0].name,
            "knet.cluster.bootstrap",
            {
                "kubeconfig": str(self.state.kubeconfig(workers[0].name, "admin")),
                "nodes": [machine.name for machine in workers],
                "dns_ip": self.config.dns_ip,
                "ingress": self.config.ingress,
                "store": self.config.store,
                "deadline": UP_DEADLINE,
                "off": self.config.switched_off(),
            },
        )
        self._start(Running(component, once=True, extra={"listen_fds": [theirs.fileno()]}))
        theirs.close()
        self._selector.register(ours, selectors.EVENT_READ, self._hear_bootstrap)

    def _hear_bootstrap(self) -> None:
        assert self._report is not None
        message = channel.hear(self._report)
        if message is None:
            self._selector.unregister(self._report)
            self._report.close()
            if not self._ready:
                self._fail(Breakdown("the cluster did not come up"))
        elif message.error:
            self._fail(Breakdown(message.error))
        elif message.ready:
            self._ready = True
            component = components.lab(self.state, self._control_plane)
            self._begin(Running(component))
            if self.config.faults:
                self._serve_on(None)
                self._start(Running(components.faults(self.config.faults), once=True))
            self._say(Message(ready=True, seconds=self._elapsed()))
        else:
            self._tell(message.step, message.text)

    # ---- components ------------------------------------------------------------------------------------------

    def _start(self, running: Running) -> None:
        assert self._underlay is not None
        component = running.component
        there = self._underlay.machines[component.machine].namespaces if component.machine else Namespaces({})
        log = os.open(self.state.log(component.name, component.machine), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        running.told, theirs = channel.pair()
        running.told.setblocking(False)
        if running.late:
            _tell_late(running, running.late)
        extra = {**running.extra, "told": [theirs.fileno()]}
        request = Spawn(
            module=component.module,
            title=f"knet {self.config.name}: {component.title}",
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
        self._running[component.title] = running

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._zygote.pid and not self.stopping:
                self._replace_zygote()
            for running in self._running.values():
                if running.pid == pid:
                    self._ended(running, os.waitstatus_to_exitcode(status))
                    break

    def _replace_zygote(self) -> None:
        """What it has forked lives on; what is to be started waits for its successor's imports."""
        print("the zygote ended; a new one takes its place", file=sys.stderr)
        self._zygote = Zygote(self._zygote.title)
        self._zygote.wait_ready()

    def _ended(self, running: Running, code: int) -> None:
        running.pid = 0
        if running.once or running.off:
            del self._running[running.component.title]
            if running.off:
                self._close(running)
            return
        assert self._underlay is not None
        if self._underlay.power(running.component.machine) == OFF:
            return
        now = time.monotonic()
        if now - running.since > RESTART[2]:
            running.delay = RESTART[0]
        print(f"{running.component.title} ended with {code}; again in {running.delay:.2f} s", file=sys.stderr)
        running.due = now + running.delay
        running.delay = min(2 * running.delay, RESTART[1])

    def _restart_due(self) -> float | None:
        """Start what is due; seconds until the next one is."""
        now = time.monotonic()
        waiting = [row for row in self._running.values() if row.due is not None]
        for running in waiting:
            if running.due is not None and running.due <= now:
                try:
                    self._start(running)
                    running.restarts += 1
                except ConnectionError:  # the zygote has just died, too; its end comes to us next
                    running.due = now + RESTART[0]
        left = [row.due - now for row in self._running.values() if row.due is not None]
        return max(min(left), 0) if left else None

    # ---- the loop --------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until told to stop, or until whoever brought us up is gone without having let go of us."""
        wake, wake_write = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 4096))
        answer = functools.partial(channel.serve_one, self._control, self._answer)
        self._selector.register(self._control, selectors.EVENT_READ, answer)
        assert self._progress is not None
        self._selector.register(self._progress, selectors.EVENT_READ, self._hear_owner)
        try:
            self.build()
        except (KnetError, TopologyError) as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - told to whoever waits; the traceback is in the log
            traceback.print_exc()
            self._fail(Breakdown(f"{type(error).__name__}: {error}"))
        while not self.stopping:
            self._reap()
            timeout = self._restart_due()
            for key, _ in self._selector.select(timeout):
                key.data()

    def _stop(self) -> None:
        self.stopping = True

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
        return round(time.monotonic() - self.started, 3)

    # ---- control socket --------------------------------------------------------------------------------------

    def _answer(self, request: JSON) -> tuple[JSON, list[int]]:
        operations: dict[str, Callable[..., tuple[JSON, list[int]]]] = {
            "status": self._status,
            "nodes": self._nodes,
            "links": self._links,
            "enter": self._enter,
            "change_link": self._change_link,
            "reset_link": self._reset_link,
            "partition": self._partition,
            "heal": self._heal,
            "power": self._power,
            "restart": self._restart,
            "delay": self._delay,
            "configure": self._configure,
            "join": self._join,
            "leave": self._leave,
        }
        if not isinstance(request, dict):
            return {"error": "a request is an object with an op"}, []
        arguments = dict(request)
        name = str(arguments.pop("op", ""))
        operation = operations.get(name)
        if operation is None or self._underlay is None:
            return {"error": f"unknown request {name!r}" if operation is None else "the cluster is still coming up"}, []
        try:
            inspect.signature(operation).bind(**arguments)
        except TypeError as error:
            return {"error": f"{name}: {error}"}, []
        try:
            answer = operation(**arguments)
            if self._wake >= 0 and name in CHANGES:
                os.eventfd_write(self._wake, 1)
            return answer
        except (KnetError, TopologyError, LinkError) as error:
            return {"error": str(error)}, []
        except Exception as error:  # noqa: BLE001 - of the kernel's, or arguments of other types: no cluster ends by it
            traceback.print_exc()
            return {"error": f"{name}: {error}; see: knet logs --name {self.config.name}"}, []

    def _status(self) -> tuple[JSON, list[int]]:
        assert self._underlay is not None
        now = time.monotonic()
        return {
            "config": msgspec.to_builtins(self.config),
            "load_balancers": self._pool,
            "ready": self._ready,
            "uptime": now - self.started,
            "life": self._life,
            "machines": [
                {
                    "name": row.name,
                    "role": row.role,
                    "state": self._underlay.power(row.name),
                    "address": row.address,
                    "addresses": list(row.addresses),
                    "interface": row.interface,
                    "pid": row.pid,
                    "cpu": row.cpu,
                    "memory": row.memory,
                    "labels": dict(row.labels),
                }
                for row in self._underlay.machines.values()
            ],
            "components": [
                {
                    "name": row.component.name,
                    "machine": row.component.machine,
                    "pid": row.pid,
                    "restarts": row.restarts,
                    "delay": impairment.in_time(row.late) if row.late else "",
                    "uptime": now - row.since if row.pid else 0,
                    "log": str(self.state.log(row.component.name, row.component.machine)),
                }
                for row in self._running.values()
                if not row.off
            ],
            "links": msgspec.to_builtins(self._underlay.links()),
            "partitions": self._underlay.partitions,
        }, []

    def _machine(self, name: str) -> Machine:
        assert self._underlay is not None
        machine = self._underlay.machines.get(name)
        if machine is None:
            raise KnetError(f"there is no machine {name!r}; there are: {', '.join(self._underlay.machines)}")
        return machine

    def _nodes(self) -> tuple[JSON, list[int]]:
        """Machines and switches with their interfaces, for the shell."""
        assert self._underlay is not None
        return {"nodes": msgspec.to_builtins(LocalView(self._underlay).nodes())}, []

    def _links(self) -> tuple[JSON, list[int]]:
        assert self._underlay is not None
        return {"links": msgspec.to_builtins(self._underlay.links())}, []

    def _enter(self, machine: str) -> tuple[JSON, list[int]]:
        """The namespaces of a machine or switch, as descriptors, and the cluster's PID namespace."""
        assert self._underlay is not None
        if machine not in self._underlay.net:
            self._machine(machine)
        if self._underlay.power(machine) == OFF:
            raise KnetError(f"{machine} is off; give it its power back: knet machine boot {machine}")
        fds = self._underlay.net[machine].namespaces.fds | self._own.fds
        return {"kinds": list(fds)}, list(fds.values())

    def _change_link(self, a: str, b: str, **changes: Any) -> tuple[JSON, list[int]]:
        assert self._underlay is not None
        self._underlay.change_link(a, b, **changes)
        return {}, []

    def _reset_link(self, a: str, b: str) -> tuple[JSON, list[int]]:
        assert self._underlay is not None
        self._underlay.reset_link(a, b)
        return {}, []

    def _partition(self, groups: list[list[str]]) -> tuple[JSON, list[int]]:
        """Keep groups of machines apart; the partition as it is understood."""
        assert self._underlay is not None
        return {"partition": self._underlay.partition(groups)}, []

    def _heal(self, groups: list[list[str]] | None = None) -> tuple[JSON, list[int]]:
        """End one partition, or all."""
        assert self._underlay is not None
        self._underlay.heal(groups)
        return {}, []

    def _power(self, machine: str, action: str) -> tuple[JSON, list[int]]:
        """Pause a machine, let it go on, cut its power, boot it."""
        assert self._underlay is not None
        if not self._ready:
            raise KnetError("the cluster is still coming up")
        actions: dict[str, tuple[Callable[[str], None], ...]] = {
            "pause": (self._underlay.pause,),
            "resume": (self._underlay.resume,),
            "kill": (self._kill,),
            "boot": (self._boot,),
            "reboot": (self._kill, self._boot) if self._underlay.power(machine) != OFF else (self._boot,),
        }
        if action not in actions:
            raise KnetError(f"{action}: choose one of {', '.join(actions)}")
        for act in actions[action]:
            act(machine)
        return {}, []

    def _kill(self, machine: str) -> None:
        assert self._underlay is not None
        self._underlay.kill(machine)
        for running in self._components_of(machine):
            if running.pid:
                os.waitpid(running.pid, 0)
            running.pid, running.due = 0, None

    def _boot(self, machine: str) -> None:
        assert self._underlay is not None
        self._underlay.boot(machine)
        for running in self._components_of(machine):
            self._close(running)
            running.delay = RESTART[0]
            self._begin(running)

    def _close(self, running: Running) -> None:
        """Let go of what was opened for a component."""
        for fd in {fd for fds in running.extra.values() for fd in fds} - {self._listen.fileno()}:
            os.close(fd)

    def _components_of(self, machine: str) -> list[Running]:
        return [row for row in self._running.values() if row.component.machine == machine]

    def _configure(self, **changes: Any) -> tuple[JSON, list[int]]:
        """Go on with other options: what becomes of components by it, by name: started, stopped or restarted."""
        if not self._ready:
            raise KnetError("the cluster is still coming up")
        self.config = msgspec.structs.replace(self.config, **changes).check()
        wanted = {component.title: component for component in self._wanted()}
        became = {}
        optional = [row for row in self._running.values() if row.component.name in OPTIONAL and not row.off]
        for running in [row for row in optional if row.component.title not in wanted]:
            running.off, became[running.component.title] = True, "stopped"
            if running.pid:
                os.kill(running.pid, signal.SIGTERM)
            else:
                self._ended(running, 0)
        for title, component in wanted.items():
            running = self._running.get(title) or Running(component, off=True)
            if running.off:
                running.off, running.component, became[title] = False, component, "started"
                if self._underlay is not None and self._underlay.power(component.machine) == OFF:
                    self._running[title] = running  # begins when the machine boots
                elif title not in self._running:
                    self._begin(running)
            elif running.component.options != component.options:
                running.component = component
                self._restart(title)
                became[title] = "restarted"
        return {"became": became}, []

    def _join(self, **wanted: Any) -> tuple[JSON, list[int]]:
        """A new worker: plugged in, given its certificates, its components started; where it has been plugged in."""
        assert self._underlay is not None
        if not self._ready:
            raise KnetError("the cluster is still coming up")
        plan, joining = join(self._plan, Joining(**wanted))
        self._check(plan)
        self._become(plan)
        machine = self._underlay.machines[joining.name]
        self._issue(self._underlay.plan, [machine.spec]).wait()
        for component in self._wanted_on(machine):
            self._begin(Running(component))
        Membership.read(self.state.membership).then(joining).write(self.state.membership)
        return {"switch": joining.switch, "address": machine.address}, []

    def _become(self, plan: Plan) -> None:
        assert self._underlay is not None
        self._underlay.become(in_families(plan, self.config.families))
        self._plan = plan

    def _leave(self, machine: str, dry_run: bool = False) -> tuple[JSON, list[int]]:
        """A worker's end: its processes as by a power cut, its links, its disk; or just whether that can be."""
        assert self._underlay is not None
        plan = leave(self._plan, machine)
        if not dry_run:
            for running in self._components_of(machine):
                self._close(running)
                del self._running[running.component.title]
            end_all(self._underlay.machines[machine].namespaces.fds["mnt"])
            self._become(plan)
            shutil.rmtree(self.state.machine(machine))
            Membership.read(self.state.membership).then(machine).write(self.state.membership)
        return {}, []

    def _restart(self, component: str) -> tuple[JSON, list[int]]:
        running = self._component(component)
        if running.pid:
            os.kill(running.pid, signal.SIGTERM)
        return {}, []

    def _delay(self, component: str, delay: str) -> tuple[JSON, list[int]]:
        """From now on a component learns so much later what its watches tell; restarted, too.  0 ends it."""
        running = self._component(component)
        try:
            seconds = impairment.seconds("delay", delay)
        except ValueError as error:
            raise KnetError(str(error)) from None
        if running.component.name not in components.WATCHING:
            names = ", ".join(components.WATCHING)
            raise KnetError(f"{component} follows no watches that could be delayed; {names} do")
        if running.pid:
            _tell_late(running, seconds)
        running.late = seconds
        return {}, []

    def _component(self, title: str) -> Running:
        running = self._running.get(title)
        if running is None:
            near = difflib.get_close_matches(title, self._running, 1)
            raise KnetError(
                f"there is no component {title!r}{f' (is {near[0]} meant?)' if near else ''}; "
                f"there are: {', '.join(self._running)}"
            )
        return running


def _tell_late(running: Running, seconds: float) -> None:
    """Tell a component by how much it is to be late; one on a machine that is paused reads it when that goes on."""
    assert running.told is not None
    try:
        running.told.send(msgspec.json.encode({"delay": seconds}))
    except BlockingIOError:
        title = running.component.title
        raise KnetError(f"{title} has not heard yet what it was told before; is its machine paused?") from None
    except (BrokenPipeError, ConnectionResetError):
        return  # it has ended just now; its successor is told at its start


def _listening(machine: Machine, address: str, port: int) -> socket.socket:
    with entered(machine.namespaces.only("net")):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(4096)
    return sock


def _listening_unix(machine: Machine | None, address: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """On a machine's network, or on that beside the machines."""
    with entered(machine.namespaces.only("net") if machine else Namespaces({})):
        sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(address)
    sock.listen(4096)
    return sock


def _appending(path: str) -> int:
    """A file of the host, open for a component that appends to it; KnetError."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise KnetError(f"{path} cannot be written: {error.strerror}.") from None


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
    Supervisor(config, zygote, progress, listen, control).run()
