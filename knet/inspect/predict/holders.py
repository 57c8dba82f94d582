"""Who holds a load balancer's address in layer-2 mode, as the speakers' election has it.  Pure.

Every machine that may hold it stands in one order (`knet.speaker.ranking`), and holds it if it hears no better one that
does (`knet.speaker.election`): one holds it on a link that is whole, one on each side of a partition.  Who is off, or
paused, is not heard.  For some moments after a change it is another; who has answered is told by who was seen to.
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_interface
from typing import NamedTuple

from knet.api.load_balancers import held, is_ours
from knet.api.objects import Service
from knet.inspect.predict.cables import cables
from knet.inspect.world import World
from knet.speaker import ranking
from knet.underlay.state import RUNNING
from knet.underlay.view import NodeState

#: a machine, and its interface on the link
Place = tuple[str, str]


class Holders(NamedTuple):
    """Of one address."""

    standing: tuple[Place, ...]
    """who may hold it, best first"""
    holding: tuple[Place, ...]
    """who does; all who may, where none of them runs"""


NOBODY = Holders((), ())


def holders(world: World, address: str) -> Holders:
    """Of a load balancer's address; `NOBODY` for another one."""
    return world.once("holders", lambda: _holders(world)).get(address, NOBODY)


def _holders(world: World) -> Mapping[str, Holders]:
    if world.settings.lb_mode != "layer2":
        return {}
    homes = ranking.homes(world.slices.values())
    found = {}
    for service in filter(is_ours, world.services.values()):
        local = homes.get((service.namespace, service.name), set())
        for address in held(service):
            standing = _standing(world, service, local, address)
            found[address] = Holders(standing, _holding(world, standing) or standing)
    return found


def _standing(world: World, service: Service, local: set[str], address: str) -> tuple[Place, ...]:
    """The machines on the address' link that may hold it."""
    machines = world.topology.machines
    near = [node for node in world.nodes.values() if node.name in machines and _has_link(machines[node.name], address)]
    names = ranking.ranking(address, ranking.candidates(service, local, near))
    return tuple((name, machines[name].interfaces[0].name) for name in names)


def _has_link(machine: NodeState, address: str) -> bool:
    networks = (ip_interface(row).network for row in machine.interfaces[0].addresses)
    return any(ip_address(address) in network for network in networks)


def _holding(world: World, standing: tuple[Place, ...]) -> tuple[Place, ...]:
    net, found = cables(world), list[Place]()
    for name, interface in standing:
        heard = net.across(interface)
        better = any(port in heard and not net.deaf(name, other) for other, port in found)
        if world.topology.machines[name].state == RUNNING and not better:
            found.append((name, interface))
    return tuple(found)
