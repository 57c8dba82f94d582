"""Between whom it is tried: pods and machines, which send and are sent to, and Services, which are sent to.  Pure.

Pods in their machine's network are their machine, and so is what it is called.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from knet.api.families import of_family
from knet.api.objects import Pod, Service
from knet.client.controller import Key
from knet.errors import KnetError
from knet.inspect.inventory import MACHINE, POD, Inventory, Spot
from knet.inspect.predict.verdicts import addresses
from knet.inspect.reach.probes import PROTOCOLS
from knet.inspect.world import Owner, World
from knet.underlay.state import RUNNING


@dataclass(frozen=True)
class Wish:
    """What is to be tried.  ``where``: the words of `knet.inspect.inventory`; none: everything."""

    where: Sequence[str] = ()
    namespace: str = ""
    """of pods and Services; "" all"""
    port: int = 80
    """of pods and machines, and of Services that have it; others are asked at their first one"""
    protocol: str = "tcp"
    family: str = ""
    """"" the cluster's primary one"""
    services: bool = True
    nodes_only: bool = False
    """no machines that are no Nodes"""

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise KnetError(f"--proto {self.protocol}: choose one of {', '.join(PROTOCOLS)}")
        if not 0 < self.port < 65536:
            raise KnetError(f"--port {self.port} is no port: a number from 1 to 65535 is meant")

    @property
    def what(self) -> str:
        """``tcp/80``, ``icmp``"""
        return f"{self.protocol}/{self.port}" if PROTOCOLS[self.protocol].has_ports else self.protocol


class End(NamedTuple):
    """One end, with what it is asked at."""

    owner: Owner
    address: str
    port: int = 0
    machine: str = ""
    """that it is on, or is; "" for a Service"""
    group: str = ""
    """a pod: the name of its controller"""

    @property
    def spot(self) -> Spot | None:
        """Where it sends from and hears; None for a Service."""
        kind = {"pod": POD, "service": ""}.get(self.owner.kind, MACHINE)
        return Spot(kind, self.owner.name, self.owner.namespace) if kind else None

    def __str__(self) -> str:
        """``default/web-0``, ``svc/default/web:80``, ``n1``"""
        return self.owner.short if self.spot else f"{self.owner.short}:{self.port}"

    @property
    def word(self) -> str:
        """As one says it to other commands: ``pod/web-0``, ``other/pod/web-0``, ``svc/web:80``, ``n1``."""
        _, name, namespace = self.owner
        if not namespace:
            return name
        word = f"svc/{name}:{self.port}" if self.spot is None else f"pod/{name}"
        return word if namespace == "default" else f"{namespace}/{word}"


class Ends(NamedTuple):
    """Who sends, and to whom."""

    sources: tuple[End, ...]
    destinations: tuple[End, ...]
    behind: tuple[Spot, ...] = ()
    """pods behind Services that are none of these"""

    @property
    def spots(self) -> tuple[Spot, ...]:
        """Where it may be heard of: senders, and all that answer."""
        return (*(end.spot for end in self.sources if end.spot), *self.behind)


def choose(world: World, inventory: Inventory, wish: Wish) -> Ends:
    """The ends that are meant; KnetError as of `Inventory.choose`, and for a namespace that does not exist."""
    if wish.namespace and wish.namespace not in world.namespaces:
        near = difflib.get_close_matches(wish.namespace, world.namespaces, 3, 0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise KnetError(f"there is no namespace called {wish.namespace!r}{hint}")
    found = [*_pods(world, wish), *_machines(world, wish)]
    services = list(_services(world, wish)) if wish.services and PROTOCOLS[wish.protocol].has_ports else []
    if wish.where:
        chosen = {choice.spot for choice in inventory.choose(wish.where, wish.namespace or "default")}
        found = [end for end in found if end.spot in chosen]
        services = [end for end in services if chosen.intersection(_behind(world, end))]
    if not found:
        raise KnetError(f"{' '.join(wish.where) or 'the cluster'}: nothing of that has a network that is up")
    spots = {end.spot for end in found}
    behind = dict.fromkeys(spot for end in services for spot in _behind(world, end) if spot not in spots)
    return Ends(tuple(found), (*found, *services), tuple(behind))


def _family(world: World, wish: Wish) -> str:
    family = wish.family or world.settings.families[0]
    if family not in world.settings.families:
        raise KnetError(f"the cluster has no {family}: bring it up with --ip-family dual")
    return family


def _pods(world: World, wish: Wish) -> Iterable[End]:
    for key, row in sorted(world.endpoints.items()):
        pod, address = world.pods[key], of_family(row.addresses, _family(world, wish))
        if address and not pod.deleting and wish.namespace in ("", key.namespace):
            owner = Owner("pod", key.name, key.namespace)
            yield End(owner, address, _port(wish), pod.spec.nodeName, _controller(pod))


def _machines(world: World, wish: Wish) -> Iterable[End]:
    for name, machine in world.topology.machines.items():
        owner = Owner("node" if name in world.nodes else "machine", name)
        address = of_family(addresses(world, owner), _family(world, wish)) if machine.interfaces else ""
        if machine.state == RUNNING and address and (name in world.nodes or not wish.nodes_only):
            yield End(owner, address, _port(wish), name)


def _services(world: World, wish: Wish) -> Iterable[End]:
    for key, service in sorted(world.services.items()):
        own = [row for row in (*service.spec.clusterIPs, service.spec.clusterIP) if row not in ("", "None")]
        address, port = of_family(own, _family(world, wish)), _service_port(service, wish)
        if address and port and wish.namespace in ("", key.namespace):
            yield End(Owner("service", key.name, key.namespace), address, port)


def _service_port(service: Service, wish: Wish) -> int:
    """The one that is asked for, or the first of the protocol; 0 where there is none."""
    ports = [row.port for row in service.spec.ports if row.protocol.lower() == wish.protocol]
    return wish.port if wish.port in ports else next(iter(ports), 0)


def _behind(world: World, service: End) -> Iterable[Spot]:
    for row in world.slices_of.get(Key(service.owner.namespace, service.owner.name), ()):
        for endpoint in row.endpoints:
            for address in endpoint.addresses:
                if pod := world.pod_at.get(address):
                    yield Spot(POD, pod.name, pod.namespace)


def _port(wish: Wish) -> int:
    return wish.port if PROTOCOLS[wish.protocol].has_ports else 0


def _controller(pod: Pod) -> str:
    owner = pod.controller()
    return owner.name if owner else ""
