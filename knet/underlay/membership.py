"""Machines that join a network, and leave it: from one `Plan` to the next.  Pure, but for
the file that remembers it.

A worker that joins is plugged into a switch beside others and configured like its neighbours there: their subnet,
gateway, routes and labels (so, their rack).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface
from itertools import islice
from pathlib import Path

import msgspec

from knet.underlay.plan import WORKER, Interface, LinkSpec, MachineSpec, Plan, Port, TopologyError


@dataclass(frozen=True)
class Joining:
    """A worker that is to join; what is not said is found out by `join`."""

    name: str
    switch: str = ""
    """where its cable goes; "" is the one switch that has workers"""
    address: str = ""
    """with prefix length; "" is the first free one above all others of the subnet"""
    labels: Mapping[str, str] = field(default_factory=dict)
    """beside those of its neighbours"""
    cpu: str = MachineSpec.cpu
    memory: str = MachineSpec.memory


def join(plan: Plan, wanted: Joining) -> tuple[Plan, Joining]:
    """``plan`` with one more worker, and ``wanted`` with everything said, so that the same can be repeated.

    `TopologyError` if there is no such switch, no subnet or no address; what else may be wrong (the name) is for
    `knet.underlay.validate` to say.
    """
    where = f"machine {wanted.name}"
    if wanted.name in {machine.name for machine in plan.machines} | {switch.name for switch in plan.switches}:
        raise TopologyError(f"{where}: the name {wanted.name} is taken")
    switch = wanted.switch or _only_switch(plan, where)
    neighbours = _neighbours(plan, switch, where)
    model, uplink = next(((m, i) for m, i in neighbours if m.role == WORKER), neighbours[0])
    assert uplink.address is not None
    address = IPv4Interface(wanted.address) if wanted.address else _free(plan, uplink.address, where)
    number = 1 + max(_port_number(end.interface) for link in plan.links for end in link.ends if end.node == switch)
    own = Port(wanted.name, f"{wanted.name}-eth0")
    link = LinkSpec((own, Port(switch, f"{switch}-eth{number}")), mtu=_mtu(plan, uplink), where=where)
    machine = MachineSpec(
        name=wanted.name,
        role=WORKER,
        interfaces=(Interface(own.interface, address),),
        gateway=model.gateway,
        routes=model.routes,
        labels={**model.labels, **wanted.labels},
        cpu=wanted.cpu,
        memory=wanted.memory,
        where=where,
    )
    grown = replace(plan, machines=(*plan.machines, machine), links=(*plan.links, link))
    return grown, replace(wanted, switch=switch, address=str(address))


def leave(plan: Plan, name: str) -> Plan:
    """``plan`` without a worker and its cables; `TopologyError` if it is none, or the last one."""
    machine = next((machine for machine in plan.machines if machine.name == name), None)
    workers = plan.of_role(WORKER)
    if machine not in workers:
        what = f"{name} is no worker" if machine else f"there is no machine {name}"
        raise TopologyError(f"{what}; the workers are {', '.join(worker.name for worker in workers)}")
    if len(workers) == 1:
        raise TopologyError(f"{name} is the last worker: pods need at least one")
    cables = [link for link in plan.links if name in {end.node for end in link.ends}]
    switches = {switch.name for switch in plan.switches}
    if loose := [link for link in cables if not switches & {end.node for end in link.ends}]:
        raise TopologyError(f"{name} cannot leave: its cable {loose[0]} goes to no switch")
    rest = tuple(other for other in plan.machines if other is not machine)
    return replace(plan, machines=rest, links=tuple(link for link in plan.links if link not in cables))


def _only_switch(plan: Plan, where: str) -> str:
    workers = {worker.name for worker in plan.of_role(WORKER)}
    switches = {switch.name for switch in plan.switches}
    ends = [{end.node for end in link.ends} for link in plan.links]
    found = sorted({name for nodes in ends if nodes & workers for name in nodes & switches})
    if len(found) != 1:
        raise TopologyError(f"{where}: which switch? Choose one of {', '.join(found or sorted(switches))} (--switch)")
    return found[0]


def _neighbours(plan: Plan, switch: str, where: str) -> list[tuple[MachineSpec, Interface]]:
    """The machines on a switch, with their interfaces there."""
    if switch not in {known.name for known in plan.switches}:
        names = ", ".join(known.name for known in plan.switches)
        raise TopologyError(f"{where}: there is no switch {switch}; there are {names or 'none'}")
    cables = [link.ends for link in plan.links if switch in {end.node for end in link.ends}]
    plugged = {end.interface for ends in cables for end in ends}
    found = [(m, i) for m in plan.machines for i in m.interfaces if i.name in plugged and i.address]
    if not found:
        raise TopologyError(f"{where}: no machine on {switch} has an address, so its subnet is unknown")
    return found


def _free(plan: Plan, beside: IPv4Interface, where: str) -> IPv4Interface:
    """The first address above all that are in use in the subnet, or else the lowest free one."""
    network = beside.network
    used = {i.address.ip for m in plan.machines for i in m.interfaces if i.address and i.address.ip in network}
    hosts = list(islice(network.hosts(), 1, None))  # the first is a router's, one day
    highest = max(used)
    for address in [*(host for host in hosts if host > highest), *hosts]:
        if address not in used:
            return IPv4Interface(f"{address}/{network.prefixlen}")
    raise TopologyError(f"{where}: all addresses of {network} are in use")


def _port_number(interface: str) -> int:
    digits = interface.rpartition("-eth")[2]
    return int(digits) if digits.isdigit() else 0


def _mtu(plan: Plan, beside: Interface) -> int:
    return next(link.mtu for link in plan.links for end in link.ends if end.interface == beside.name)


class Membership(msgspec.Struct, frozen=True):
    """How a cluster's machines differ from its topology's: STATE/membership.json."""

    steps: tuple[Joining | str, ...] = ()
    """what happened, in this order: a machine that joined, or the name of one that left"""

    @classmethod
    def read(cls, path: Path) -> "Membership":
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()

    def write(self, path: Path) -> None:
        partial = path.with_suffix(".new")
        partial.write_bytes(msgspec.json.encode(self))
        partial.replace(path)

    def applied(self, plan: Plan) -> Plan:
        """The topology's plan as it has become; TopologyError where the topology was changed and does not fit."""
        for step in self.steps:
            plan = leave(plan, step) if isinstance(step, str) else join(plan, step)[0]
        return plan

    def then(self, step: Joining | str) -> "Membership":
        return Membership((*self.steps, step))
