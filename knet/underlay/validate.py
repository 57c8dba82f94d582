"""Everything that can be wrong with a plan as a whole, each said in one line before anything is built.

Each check yields its complaints; `check` raises the first.  A complaint begins with the line of the topology file that
is to be changed and ends, where that is not plain, with what to do.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from knet.api.quantity import parse_quantity
from knet.kernel import features
from knet.kernel.features import Feature
from knet.kernel.links import NAME_LENGTH
from knet.kernel.qdiscs import Impairment
from knet.underlay.impairment import netem_options
from knet.underlay.plan import CONTROL_PLANE, ROUTER, WORKER, MachineSpec, Plan, TopologyError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]+")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")

#: net/bridge/br_private.h: BR_MAX_PORTS is 1024, and port 0 is never given out
BRIDGE_PORTS = 1023

#: what else has addresses in a cluster, by the name under which it is known
DEFAULT_RANGES = {"pods": "10.244.0.0/16", "Services": "10.96.0.0/12"}

#: names of features → those of them that the kernel lacks
Missing = Callable[[Iterable[str]], Sequence[Feature]]


def check(plan: Plan, ranges: Mapping[str, str] = DEFAULT_RANGES, missing: Missing = features.missing) -> None:
    """Raise `TopologyError` for the first thing that is wrong with ``plan``.

    ``ranges`` are the address ranges used beside the machines' own.  ``missing`` is asked only for what the plan's
    links need; as it is, it tries that on the running kernel, for which it needs root.  Everything else is pure.
    """
    for complaints in (
        _roles(plan),
        _names(plan),
        _wiring(plan),
        _addresses(plan, ranges),
        _next_hops(plan),
        _node_fields(plan),
        _kernel(plan, missing),
    ):
        for complaint in complaints:
            raise TopologyError(complaint)


def _roles(plan: Plan) -> Iterator[str]:
    control_planes = plan.of_role(CONTROL_PLANE)
    if not control_planes:
        yield f"{plan.source}: no control plane: give one host role='{CONTROL_PLANE}'"
    if len(control_planes) > 1:
        second, first = control_planes[1], control_planes[0]
        yield f"{second.where}: host {second.name} is a second control plane beside {first.name}: one is supported"
    if not plan.of_role(WORKER):
        yield f"{plan.source}: no worker: pods need at least one host with role='{WORKER}' (--workers 1)"


def _names(plan: Plan) -> Iterator[str]:
    for machine in plan.machines:
        if not _LABEL.fullmatch(machine.name) or len(machine.name) > 63:
            yield (
                f"{machine.where}: host {machine.name}: a machine's name consists of lower case letters, digits "
                "and '-', and starts and ends with a letter or a digit"
            )
        for interface in machine.interfaces:
            yield from _interface_name(interface.name, f"{machine.where}: host {machine.name}")
    for switch in plan.switches:
        yield from _interface_name(switch.name, f"{switch.where}: switch {switch.name}")
    here: dict[str, str] = {}
    for link in plan.links:
        for end in link.ends:
            yield from _interface_name(end.interface, f"{link.where}: link {link}")
            if end.interface in here:
                first = here[end.interface]
                yield f"{link.where}: link {link}: there is a second interface {end.interface}, the first is at {first}"
            here[end.interface] = link.where
    for switch in plan.switches:
        if switch.name in here or switch.name == "lo":
            yield f"{switch.where}: switch {switch.name}: that is the name of an interface"


def _interface_name(name: str, subject: str) -> Iterator[str]:
    if len(name) > NAME_LENGTH:
        yield f"{subject}: interface {name} has {len(name)} characters, the kernel allows {NAME_LENGTH}: shorten it"
    if not _INTERFACE.fullmatch(name) or name in (".", ".."):
        yield f"{subject}: {name!r} cannot name an interface: letters, digits, '-', '_' and '.' can"


def _wiring(plan: Plan) -> Iterator[str]:
    for machine in plan.machines:
        if not machine.interfaces:
            yield f"{machine.where}: host {machine.name} has no link: add addLink('{machine.name}', …)"
    for switch in plan.switches:
        ports = sum(end.node == switch.name for link in plan.links for end in link.ends)
        if ports > BRIDGE_PORTS:
            yield (
                f"{switch.where}: switch {switch.name} has {ports} links, a Linux bridge takes {BRIDGE_PORTS}: "
                "divide them among several switches"
            )
    through = {switch.name for switch in plan.switches} | {router.name for router in plan.of_role(ROUTER)}
    for control_plane in plan.of_role(CONTROL_PLANE):
        reached = _reachable(plan, control_plane.name, through)
        for machine in plan.machines:
            if machine.name not in reached:
                yield f"{machine.where}: host {machine.name}: no links lead from it to {control_plane.name}"


def _reachable(plan: Plan, start: str, through: set[str]) -> set[str]:
    """The nodes to which links that are up lead from ``start``, passing only nodes of ``through``."""
    around: dict[str, list[str]] = {}
    for link in (link for link in plan.links if link.up):
        a, b = (end.node for end in link.ends)
        around.setdefault(a, []).append(b)
        around.setdefault(b, []).append(a)
    reached, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        if node == start or node in through:
            found = [neighbour for neighbour in around.get(node, ()) if neighbour not in reached]
            reached.update(found)
            waiting += found
    return reached


def _addresses(plan: Plan, ranges: Mapping[str, str]) -> Iterator[str]:
    owners: dict[IPv4Address, str] = {}
    networks: dict[tuple[IPv4Network, str], MachineSpec] = {}
    segments = _segments(plan)
    for machine in plan.machines:
        for interface in machine.interfaces:
            if interface.address is None:
                continue
            address = interface.address
            if address.ip in owners:
                yield f"{machine.where}: host {machine.name}: {owners[address.ip]} has the address {address.ip} already"
            owners[address.ip] = machine.name
            networks.setdefault((address.network, segments[interface.name]), machine)
            for use, cidr in ranges.items():
                if address.network.overlaps(IPv4Network(cidr)):
                    yield (
                        f"{machine.where}: host {machine.name}: {address.network} overlaps with {cidr}, "
                        f"the addresses of {use}"
                    )
    for ((a, _), first), ((b, _), second) in combinations(networks.items(), 2):
        if a.overlaps(b):
            yield f"{second.where}: host {second.name}: its subnet {b} overlaps with {a} of {first.name}"
    for one, other in combinations(ranges.items(), 2):
        if IPv4Network(one[1]).overlaps(IPv4Network(other[1])):
            yield f"{plan.source}: the addresses of {one[0]} ({one[1]}) and of {other[0]} ({other[1]}) overlap"


def _segments(plan: Plan) -> dict[str, str]:
    """Interface → a name for the layer 2 segment it is on: switches and the cables between them form one."""
    parent: dict[str, str] = {}
    switches = {switch.name for switch in plan.switches}

    def top(node: str) -> str:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for link in plan.links:
        a, b = (end.node if end.node in switches else end.interface for end in link.ends)
        parent[top(a)] = top(b)
    return {interface: top(interface) for link in plan.links for interface in (end.interface for end in link.ends)}


def _next_hops(plan: Plan) -> Iterator[str]:
    owners = {str(i.address.ip) for machine in plan.machines for i in machine.interfaces if i.address}
    for machine in plan.machines:
        networks = [interface.address.network for interface in machine.interfaces if interface.address]
        hops = [machine.gateway] if machine.gateway else []
        for hop in [*hops, *(hop for _network, hop in machine.routes)]:
            if not any(IPv4Address(hop) in network for network in networks):
                own = " or ".join(map(str, networks))
                yield f"{machine.where}: host {machine.name}: next hop {hop} is not in {own}"
            if hop not in owners:
                yield f"{machine.where}: host {machine.name}: no machine has the address {hop} of its next hop"


def _node_fields(plan: Plan) -> Iterator[str]:
    for machine in plan.machines:
        subject = f"{machine.where}: host {machine.name}"
        for what, quantity in (("cpu", machine.cpu), ("memory", machine.memory)):
            try:
                parse_quantity(quantity)
            except ValueError:
                yield f"{subject}: {what}={quantity!r} is no quantity, such as cpu='2' or memory='4Gi'"
        for key, value in machine.labels.items():
            if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
                yield f"{subject}: {key}={value} is no label that Kubernetes allows"


def _kernel(plan: Plan, missing: Missing) -> Iterator[str]:
    for link in plan.links:
        for impairment in link.impairments:
            complaint = unsupported(impairment, missing)
            if complaint:
                yield f"{link.where}: link {link}: {complaint}"


#: what of a link can be had without a feature
_WITHOUT = {
    "netem": "bw, max_queue_size, cut cables and partitions work without",
    "tbf": "delay, loss, cut cables and partitions work without",
}


def unsupported(impairment: Impairment, missing: Missing = features.missing) -> str:
    """What of an impairment this kernel cannot carry out, by the name of the module, and what to do; "" if all."""
    needs = {"netem": netem_options(impairment), "tbf": ("bw",) if impairment.rate else ()}
    for feature in missing([name for name, options in needs.items() if options]):
        options = needs[feature.name]
        return (
            f"{' and '.join(options)} {'needs' if len(options) == 1 else 'need'} the kernel module {feature.module}, "
            f"which this kernel does not have. Remove {', '.join(f'{option}=' for option in options)}, "
            f"or run a kernel with it (docs/kernels.md); {_WITHOUT[feature.name]}."
        )
    return ""
