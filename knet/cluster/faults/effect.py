"""What the network is to be while some faults last.  Pure.

The network as it was found is the ground; each fault that lasts is a layer on it, in the order in which they began.  So
a fault that ends takes away what it did and nothing else, whatever began meanwhile, and with the last one all is as it
was.  What has to be asked of the supervisor is the difference between two such pictures.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from knet.api.objects import JSON
from knet.cluster.components import WATCHING
from knet.cluster.faults.plan import COMPONENT, LINK, MACHINE, OFF, PARTITION, PAUSED, REBOOT, Fault, PlanError
from knet.cluster.faults.schedule import Occurrence
from knet.cluster.lab import translate
from knet.cluster.lab.translate import LinkWish, MachineWish, link_requests, machine_requests
from knet.kernel.qdiscs import Impairment
from knet.underlay import impairment, isolation
from knet.underlay.state import LinkState

#: groups of names, as a plan tells them: "n1,n2 | cp1"
Split = str

_POWERS = {PAUSED: "Paused", OFF: "Off"}


@dataclass(frozen=True)
class Picture:
    """The network: links by their ends, machines' power, partitions, components' delays in seconds."""

    links: Mapping[frozenset[str], LinkWish]
    machines: Mapping[str, str]
    partitions: frozenset[Split] = frozenset()
    delays: Mapping[str, float] = field(default_factory=dict)
    """by the titles of all components"""


def picture(status: JSON, links: Iterable[LinkState]) -> Picture:
    """The network as the supervisor tells it."""
    found = {frozenset(end for end, _impairment in seen.wish[1]): seen.wish for seen in translate.links(links).values()}
    machines = {name: seen.wish.power for name, seen in translate.machines(status["machines"], (), ()).items()}
    rows = status["components"]
    delays = {f"{row['name']}@{row['machine']}": impairment.seconds("delay", row["delay"]) for row in rows}
    partitions = frozenset(isolation.text(split) for split in status["partitions"])
    return Picture(found, machines, partitions, delays)


def check(faults: Iterable[Fault], ground: Picture) -> list[tuple[Fault, Impairment]]:
    """PlanError where a fault names what there is not; else what the kernel would have to carry out, and for which."""
    wanted = []
    for fault in faults:
        for target in fault.targets:
            for complaint in _unknown(fault, target, ground):
                raise PlanError(f"{fault.where}: {complaint}")
            if fault.kind == LINK:
                try:
                    _up, ends = _impaired(ground.links[frozenset(target.split())], fault)
                except ValueError as error:
                    raise PlanError(f"{fault.where}: link {target}: {error}") from None
                wanted += [(fault, impaired) for _end, impaired in ends]
    return wanted


def effect(ground: Picture, lasting: Iterable[Occurrence]) -> Picture:
    """What the network is to be while these last."""
    links, machines, partitions = dict(ground.links), dict(ground.machines), set(ground.partitions)
    delays = dict(ground.delays)
    for occurrence in lasting:
        fault = occurrence.fault
        for target in occurrence.targets:
            if fault.kind == LINK:
                ends = frozenset(target.split())
                links[ends] = _impaired(links[ends], fault)
            elif fault.kind == MACHINE and machines[target] != "Off":
                machines[target] = _POWERS[fault.power]
            elif fault.kind == PARTITION:
                partitions.add(target)
            elif fault.kind == COMPONENT:
                delays[target] = impairment.seconds("delay", fault.options["delay"])
    return Picture(links, machines, frozenset(partitions), delays)


def requests(now: Picture, wanted: Picture) -> Iterator[JSON]:
    """What is to be asked so that the one becomes the other."""
    for ends, wish in wanted.links.items():
        yield from link_requests(wish, now.links[ends])
    for name, power in wanted.machines.items():
        yield from machine_requests(name, MachineWish(power), MachineWish(now.machines[name]))
    for component, delay in wanted.delays.items():
        if delay != now.delays[component]:
            yield {"op": "delay", "component": component, "delay": impairment.in_time(delay)}
    for split in sorted(wanted.partitions - now.partitions):
        yield {"op": "partition", "groups": groups(split)}
    for split in sorted(now.partitions - wanted.partitions):
        yield {"op": "heal", "groups": groups(split)}


def instant(occurrence: Occurrence, now: Picture) -> Iterator[JSON]:
    """What is to be asked for a fault that does not last.  A machine that another fault keeps down stays so."""
    for target in occurrence.targets:
        if occurrence.fault.kind == COMPONENT:
            yield {"op": "restart", "component": target}
        elif now.machines[target] == "Running":
            yield {"op": "power", "machine": target, "action": REBOOT}


def groups(split: Split) -> list[list[str]]:
    return [group.strip().split(",") for group in split.split("|")]


def text(occurrence: Occurrence) -> str:
    """``link n1–s1: 50 ms, loss 5 % (from n1)``"""
    fault = occurrence.fault
    if fault.kind == LINK:
        names = ", ".join("–".join(target.split()) for target in occurrence.targets)
        words = [] if fault.up else ["down"]
        if fault.options:
            words.append(", ".join(f"{option} {value}" for option, value in fault.options.items()))
        sender = f" (from {fault.direction})" if fault.direction else ""
        return f"link {names}: {', '.join(words)}{sender}"
    what = _late(fault) if fault.kind == COMPONENT else fault.power
    return f"{fault.kind} {', '.join(occurrence.targets)}" + (f": {what}" if what else "")


def _late(fault: Fault) -> str:
    return f"{fault.options['delay']} late" if fault.options else "restarted"


def _impaired(wish: LinkWish, fault: Fault) -> LinkWish:
    up, ends = wish
    changed: list[tuple[str, Any]] = []
    for end, impaired in ends:
        meant = fault.direction in ("", end)
        changed.append((end, impairment.changed(impaired, fault.options) if meant else impaired))
    return up and fault.up, tuple(changed)


def _unknown(fault: Fault, target: str, ground: Picture) -> Iterator[str]:
    if fault.kind == LINK:
        ends = target.split()
        if frozenset(ends) not in ground.links:
            there = ", ".join(" ".join(sorted(known)) for known in ground.links)
            yield f"there is no link {target}; there are {there}"
        if fault.direction and fault.direction not in ends:
            yield f"direction: {fault.direction} is at neither end of {target}"
    if fault.kind == MACHINE and target not in ground.machines:
        yield f"there is no machine {target}; there are {', '.join(ground.machines)}"
    if fault.kind == COMPONENT and target not in ground.delays:
        yield f"there is no component {target}; there are {', '.join(sorted(ground.delays))}"
    if fault.kind == COMPONENT and fault.options and target.partition("@")[0] not in WATCHING:
        yield f"{target} follows no watches that could be delayed; {', '.join(WATCHING)} do"
    if fault.kind == PARTITION:
        switches = frozenset().union(*ground.links) - ground.machines.keys()
        for name in (name for group in groups(target) for name in group):
            if name not in ground.machines and name not in switches:
                there = ", ".join([*ground.machines, *sorted(switches)])
                yield f"there is no machine or switch {name!r}; there are {there}"
