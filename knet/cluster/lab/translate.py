"""Between the network as the supervisor tells it and the specs and statuses of Links and Machines.  Pure.

A wish is compared in one form, whoever utters it: a link's as whether it is up and each end's impairment, a machine's
as its power and by how much its components are late.  What has to be done to fulfil it is a list of requests to the
supervisor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from knet.api.objects import JSON
from knet.cluster.lab.definitions import OFF, PAUSED, RUNNING, field_of
from knet.kernel.qdiscs import Impairment
from knet.underlay import impairment
from knet.underlay.impairment import OPTIONS
from knet.underlay.isolation import apart
from knet.underlay.state import DOWN, LinkState

#: what is wished of a link: up, and by the name of each end what becomes of the packets that it sends
LinkWish = tuple[bool, tuple[tuple[str, Impairment], ...]]


class MachineWish(NamedTuple):
    """What is wished of a machine: its power, and by component the seconds that it is late (`knet delay`)."""

    power: str
    delays: tuple[tuple[str, float], ...] = ()


#: from → to: what the supervisor is asked to do with a machine
_STEPS: Mapping[tuple[str, str], tuple[str, ...]] = {
    (RUNNING, PAUSED): ("pause",),
    (RUNNING, OFF): ("kill",),
    (PAUSED, RUNNING): ("resume",),
    (PAUSED, OFF): ("kill",),
    (OFF, RUNNING): ("boot",),
    (OFF, PAUSED): ("boot", "pause"),
}


@dataclass(frozen=True)
class Seen:
    """A link or a machine as it is."""

    wish: Any
    """the wish that this fulfils"""
    spec: JSON
    """the same as a spec"""
    status: JSON


def links(states: Iterable[LinkState]) -> dict[str, Seen]:
    """Links by the names of their objects.  Parallel cables are one: they are changed together."""
    return {name_of(state): _link(state) for state in states}


def name_of(link: LinkState) -> str:
    return "-".join(end.node for end in link.ends).lower()


def machines(
    rows: Sequence[JSON], components: Sequence[JSON], partitions: Iterable[Sequence[Sequence[str]]]
) -> dict[str, Seen]:
    """Machines by name; ``rows`` and ``components`` are those of the supervisor's status."""
    kept_apart = apart(tuple(tuple(map(tuple, split)) for split in partitions))
    found = {}
    for row in rows:
        power = row["state"].capitalize()
        others = ",".join(other["name"] for other in rows if other["name"] in kept_apart.get(row["name"], ()))
        late = {each["name"]: each["delay"] for each in components if each["machine"] == row["name"] and each["delay"]}
        told = ", ".join(f"{name} {delay}" for name, delay in late.items())
        status = {"power": power, "role": row["role"], "address": row["address"], "apart": others, "delays": told}
        spec = {"power": power, **({"delays": late} if late else {})}
        found[row["name"]] = Seen(machine_wish(spec), spec, status)
    return found


def machine_wish(spec: JSON) -> MachineWish:
    """What a Machine's spec wishes; ValueError in one line."""
    delays = {name: impairment.seconds(name, delay) for name, delay in (spec.get("delays") or {}).items()}
    return MachineWish(spec.get("power", RUNNING), tuple(sorted(item for item in delays.items() if item[1])))


def link_wish(spec: JSON, ends: Sequence[str]) -> LinkWish:
    """What a Link's spec wishes; ValueError in one line for an end or a value that makes no sense."""
    senders = spec.get("from") or {}
    for name in senders:
        if name not in ends:
            raise ValueError(f"from: {name} is at neither end; there are {' and '.join(ends)}")
    fields = {field_of(option): option for option in OPTIONS}
    common = {fields[name]: value for name, value in spec.items() if name in fields}
    wished = []
    for end in ends:
        own = {fields[name]: value for name, value in (senders.get(end) or {}).items() if name in fields}
        wished.append((end, impairment.changed(impairment.NONE, {**common, **own})))
    return bool(spec.get("up", True)), tuple(wished)


def link_requests(wish: LinkWish, now: LinkWish) -> list[JSON]:
    """What is to be asked of the supervisor so that a link becomes as wished."""
    (up, wished), (is_up, there) = wish, now
    a, b = (end for end, _impairment in wished)
    link: JSON = {"op": "change_link", "a": a, "b": b}
    # every option is said, so that those that are not wished end
    said = [{option: impairment.options(wanted).get(option, 0) for option in OPTIONS} for _end, wanted in wished]
    if wished == there:
        changes = []
    elif said[0] == said[1]:
        changes = [{**link, **said[0]}]
    else:
        changes = [{**link, **options, "direction": end} for options, end in zip(said, (a, b), strict=True)]
    return changes + ([{**link, "up": up}] if up != is_up else [])


def machine_requests(name: str, wish: MachineWish, now: MachineWish) -> list[JSON]:
    """What is to be asked of the supervisor so that a machine becomes as wished."""
    power = [{"op": "power", "machine": name, "action": action} for action in _STEPS.get((now.power, wish.power), ())]
    wanted, there = dict(wish.delays), dict(now.delays)
    return power + [
        {"op": "delay", "component": f"{component}@{name}", "delay": impairment.in_time(wanted.get(component, 0))}
        for component in sorted(wanted.keys() | there.keys())
        if wanted.get(component) != there.get(component)
    ]


def _link(state: LinkState) -> Seen:
    nodes = [end.node for end in state.ends]
    options = [{field_of(option): value for option, value in end.options.items()} for end in state.ends]
    common = {name: value for name, value in options[0].items() if options[1].get(name) == value}
    own = [{name: value for name, value in one.items() if name not in common} for one in options]
    senders = {node: one for node, one in zip(nodes, own, strict=True) if one}
    up = state.state != DOWN
    spec = {"up": up, **common, **({"from": senders} if senders else {})}
    status = {
        "state": state.state,
        "impairment": state.impairment,
        "mtu": state.mtu,
        "interfaces": " – ".join(end.interface for end in state.ends),
    }
    return Seen(link_wish(spec, nodes), spec, status)
