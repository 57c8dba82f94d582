"""The control socket: what can be asked of a cluster that is up, in one table of requests."""

import functools
import inspect
import os
import selectors
import socket
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from knet.api.objects import JSON
from knet.cluster import channel
from knet.cluster.components import SUPERVISOR, WATCHING
from knet.cluster.descriptors import listening
from knet.cluster.emulation import Emulation
from knet.cluster.errors import KnetError
from knet.cluster.status import status
from knet.kernel.namespaces import Namespaces
from knet.underlay import impairment
from knet.underlay.machine import Machine
from knet.underlay.membership import Joining
from knet.underlay.plan import TopologyError
from knet.underlay.state import OFF, LinkError
from knet.underlay.view import LocalView

#: requests that may change what is shown of the network
CHANGES = ("change_link", "reset_link", "partition", "heal", "power", "join", "leave", "delay")
#: requests that wait until the cluster has come up
LATER = ("power", "configure", "join")


class Control:
    """Requests to ``emulation``, at ``listener`` and at each door, are answered by ``selector``'s loop."""

    def __init__(self, emulation: Emulation, selector: selectors.BaseSelector, listener: socket.socket) -> None:
        underlay = emulation.underlay
        self._emulation = emulation
        self._selector = selector
        self._doors: dict[str, socket.socket] = {}
        #: an eventfd(2), written to when the network may have changed
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._own = Namespaces.of("self", ("pid",))
        #: an answer, None for an empty one, or an answer and the descriptors that go with it
        self._operations: dict[str, Callable[..., JSON | tuple[JSON, list[int]] | None]] = {
            "status": functools.partial(status, emulation),
            "nodes": lambda: {"nodes": msgspec.to_builtins(LocalView(underlay).nodes())},
            "links": lambda: {"links": msgspec.to_builtins(underlay.links())},
            "enter": self._enter,
            "change_link": underlay.change_link,
            "reset_link": underlay.reset_link,
            "partition": lambda groups: {"partition": underlay.partition(groups)},
            "heal": underlay.heal,
            "power": self._power,
            "restart": lambda component: emulation.processes[component].terminate(),
            "delay": self._delay,
            "configure": lambda **changes: {"became": emulation.configure(**changes)},
            "join": self._join,
            "leave": emulation.leave,
        }
        self._serve(listener)

    def open_door(self, machine: Machine | None = None) -> None:
        """Answer requests that come from a machine, or from beside them, too: root's there is root's."""
        place = machine.name if machine else ""
        if place in self._doors:
            self._selector.unregister(self._doors[place])
            self._doors[place].close()
        self._doors[place] = listening(machine, SUPERVISOR, socket.SOCK_SEQPACKET)
        self._serve(self._doors[place])

    def _serve(self, listener: socket.socket) -> None:
        answer = functools.partial(channel.serve_one, listener, self._answer)
        self._selector.register(listener, selectors.EVENT_READ, answer)

    def _answer(self, request: JSON) -> tuple[JSON, list[int]]:
        if not isinstance(request, dict):
            return {"error": "a request is an object with an op"}, []
        arguments = dict(request)
        name = str(arguments.pop("op", ""))
        operation = self._operations.get(name)
        if operation is None:
            return {"error": f"unknown request {name!r}"}, []
        try:
            inspect.signature(operation).bind(**arguments)
        except TypeError as error:
            return {"error": f"{name}: {error}"}, []
        if name in LATER and not self._emulation.ready:
            return {"error": "the cluster is still coming up"}, []
        try:
            answer = operation(**arguments)
        except (KnetError, TopologyError, LinkError) as error:
            return {"error": str(error)}, []
        except Exception as error:  # noqa: BLE001 - of the kernel's, or arguments of other types: no cluster ends by it
            traceback.print_exc()
            return {"error": f"{name}: {error}; see: knet logs --name {self._emulation.config.name}"}, []
        if name in CHANGES:
            os.eventfd_write(self.wake, 1)
        return answer if isinstance(answer, tuple) else (answer or {}, [])

    def _enter(self, machine: str) -> tuple[JSON, list[int]]:
        """The namespaces of a machine or switch, as descriptors, and the cluster's PID namespace."""
        underlay = self._emulation.underlay
        if machine not in underlay.net:
            self._emulation.machine(machine)
        if underlay.power(machine) == OFF:
            raise KnetError(f"{machine} is off; give it its power back: knet machine boot {machine}")
        fds = underlay.net[machine].namespaces.fds | self._own.fds
        return {"kinds": list(fds)}, list(fds.values())

    def _power(self, machine: str, action: str) -> None:
        """Pause a machine, let it go on, cut its power, boot it."""
        underlay = self._emulation.underlay
        actions: dict[str, tuple[Callable[[str], None], ...]] = {
            "pause": (underlay.pause,),
            "resume": (underlay.resume,),
            "kill": (self._kill,),
            "boot": (self._boot,),
            "reboot": (self._kill, self._boot) if underlay.power(machine) != OFF else (self._boot,),
        }
        if action not in actions:
            raise KnetError(f"{action}: choose one of {', '.join(actions)}")
        for act in actions[action]:
            act(machine)

    def _kill(self, machine: str) -> None:
        self._emulation.underlay.kill(machine)
        self._emulation.processes.machine_lost(machine)

    def _boot(self, machine: str) -> None:
        self._emulation.underlay.boot(machine)
        if machine in self._doors:
            self.open_door(self._emulation.machine(machine))
        self._emulation.processes.machine_booted(machine)

    def _join(self, **wanted: Any) -> JSON:
        switch, address = self._emulation.join(Joining(**wanted))
        return {"switch": switch, "address": address}

    def _delay(self, component: str, delay: str) -> None:
        """From now on a component learns so much later what its watches tell; restarted, too.  0 ends it."""
        running = self._emulation.processes[component]
        try:
            seconds = impairment.seconds("delay", delay)
        except ValueError as error:
            raise KnetError(str(error)) from None
        if running.component.name not in WATCHING:
            raise KnetError(f"{component} follows no watches that could be delayed; {', '.join(WATCHING)} do")
        if running.pid:
            running.tell_late(seconds)
        running.late = seconds
