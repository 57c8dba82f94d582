"""Machines that do not hear each other although every cable is whole: partitions, and machines that have stopped.

A partition is told by names: ``n1,n2 | cp1`` keeps n1 and n2 apart from cp1 and leaves all else as it is; with one
group, it is kept apart from all others.  A switch's name stands for the machines that are plugged into it.  Cutting
cables could not do that: n1 and n2 still hear each other, on the same switch as cp1.

Every cable has an end in the cluster's own namespace that is a port of a bridge (`knet.underlay.cabling`), so one table
of nftables there decides: a frame whose sender is kept apart from the machine behind the port that it would leave by is
dropped, without a word to anybody, as by a network that lost it.  The sender is known by its MAC address, or, where a
router has forwarded the packet, by its IP address.  Pure; who applies the text is `knet.underlay.network`.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import combinations

from knet.underlay.cabling import Cabling
from knet.underlay.plan import Plan
from knet.underlay.state import LinkError

#: groups of machines that do not hear each other
Partition = tuple[tuple[str, ...], ...]

TABLE = "table bridge knet-isolation"


def partition(plan: Plan, groups: Sequence[Sequence[str]]) -> Partition:
    """The groups with switches' names resolved, and with the others for a second one where only one is given.

    LinkError, in one line, where a name is unknown or in two groups, or a group is empty.
    """
    machines = [machine.name for machine in plan.machines]
    plugged = {switch.name: _plugged(plan, switch.name) for switch in plan.switches}
    found = []
    for group in groups:
        names: list[str] = []
        for name in group:
            if name not in machines and name not in plugged:
                raise LinkError(f"there is no machine or switch {name}; there are {', '.join([*machines, *plugged])}")
            names += plugged.get(name, [name])
        if not names:
            raise LinkError(f"partition: {','.join(group) or 'an empty group'} stands for no machine")
        found.append(tuple(sorted(set(names), key=machines.index)))
    if len(found) == 1:
        found.append(tuple(name for name in machines if name not in found[0]))
    if len(found) < 2 or not all(found):
        raise LinkError("partition: name machines, and leave some: knet partition n1,n2 cp1")
    for one, other in combinations(found, 2):
        if both := set(one) & set(other):
            raise LinkError(f"partition: {min(both)} cannot be on both sides")
    return tuple(found)


def text(split: Partition) -> str:
    """``n1,n2 | cp1``"""
    return " | ".join(",".join(group) for group in split)


def apart(partitions: Iterable[Partition]) -> dict[str, set[str]]:
    """Machine → those that it does not hear."""
    found: dict[str, set[str]] = {}
    for split in partitions:
        for one, other in combinations(split, 2):
            for a in one:
                for b in other:
                    found.setdefault(a, set()).add(b)
                    found.setdefault(b, set()).add(a)
    return found


def ruleset(plan: Plan, cabling: Cabling, partitions: Iterable[Partition], stopped: Set[str]) -> str:
    """The table as a transaction of nftables; ``stopped`` are machines that neither hear nor say anything."""
    ports = _ports(cabling)
    interfaces = {machine.name: machine.interfaces for machine in plan.machines}
    there = interfaces.keys()
    deaf = {name: others for name, others in apart(partitions).items() if name in there}
    pairs = [
        (port, i) for a, others in deaf.items() for port in ports[a] for b in others & there for i in interfaces[b]
    ]
    rules = {
        "iifname": {f'"{port}"' for name in stopped & there for port in ports[name]},
        "oifname": {f'"{port}"' for name in stopped & there for port in ports[name]},
        "oifname . ether saddr": {f'"{port}" . {i.mac}' for port, i in pairs if i.mac},
        "oifname . ip saddr": {f'"{port}" . {i.address.ip}' for port, i in pairs if i.address},
        "oifname . ip6 saddr": {f'"{port}" . {i.address6.ip}' for port, i in pairs if i.address6},
    }
    lines = [
        f"    {what} {{ {', '.join(sorted(elements))} }} counter drop" for what, elements in rules.items() if elements
    ]
    removal = [TABLE, f"delete {TABLE}"]
    if not lines:
        return "\n".join([*removal, ""])
    chain = ["  chain forward {", "    type filter hook forward priority 0; policy accept;", *lines, "  }"]
    return "\n".join([*removal, f"{TABLE} {{", *chain, "}", ""])


def _plugged(plan: Plan, switch: str) -> list[str]:
    cables = [{end.node for end in link.ends} for link in plan.links]
    return [machine.name for machine in plan.machines if {machine.name, switch} in cables]


def _ports(cabling: Cabling) -> Mapping[str, list[str]]:
    """Machine → the bridge ports behind which it is."""
    found: dict[str, list[str]] = {}
    for cable in cabling.cables:
        for end in cable.ends:
            if end.in_machine:
                found.setdefault(end.node, []).append(end.port)
    return found
