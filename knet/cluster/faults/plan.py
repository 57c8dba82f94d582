"""A plan of faults as it is written: YAML in, frozen values out, each mistake one line with the number of its line.

    seed: 7                     # of everything random; --seed overrules it
    duration: 60s               # then all is healed
    faults:
    - {at: 2s, for: 10s, link: n1 s1, delay: 50ms, loss: 5, direction: n1}
    - {every: 5s, for: 1s, link: [n2 s1, n3 s1], pick: 1, up: false}       # a flap
    - {random: 8s, for: 1s..3s, machine: [n1, n2, n3], pick: 1, power: paused}
    - {at: [20s, 40s], for: 5s, partition: "n1,n2 | cp1"}
    - {at: 30s, machine: n2, power: reboot}
    - {at: 35s, component: kubelet@n1}                                     # restarted
    - {at: 40s, for: 5s, component: kube-proxy@n2, delay: 300ms}           # it learns later (`knet delay`)

Pure.  Whether there are such links and machines is for `knet.cluster.faults.effect` to say.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from knet.cluster.errors import KnetError
from knet.underlay import impairment

LINK, MACHINE, PARTITION, COMPONENT = KINDS = ("link", "machine", "partition", "component")
PAUSED, OFF, REBOOT = POWERS = ("paused", "off", "reboot")

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")


class PlanError(KnetError):
    """What is wrong with a plan, in one line: ``plan.yaml:7: …``"""


class Span(NamedTuple):
    """How long, in seconds: from the one to the other, as chance will have it."""

    least: float
    most: float


@dataclass(frozen=True)
class Fault:
    """One entry of a plan.  Of ``at``, ``every`` and ``random`` one is said."""

    where: str
    """``plan.yaml:7``"""
    kind: str
    targets: tuple[str, ...]
    """links ("n1 s1"), machines, partitions ("n1,n2 | cp1") or components"""
    at: tuple[float, ...] = ()
    every: float = 0
    random: float = 0
    """seconds between occurrences, on average"""
    start: float | None = None
    """[from] when the first may be; None: after one interval"""
    until: float | None = None
    """when the last may be"""
    lasts: Span | None = None
    """[for] None: until the end of the run"""
    pick: int = 0
    """so many of the targets each time; 0: all"""
    up: bool = True
    direction: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    """what becomes of packets (`knet.underlay.impairment.OPTIONS`), or a component's delay"""
    power: str = ""

    @property
    def instant(self) -> bool:
        """Over as soon as it has begun."""
        return (self.kind == COMPONENT and not self.options) or self.power == REBOOT


@dataclass(frozen=True)
class Plan:
    faults: tuple[Fault, ...]
    seed: int | None = None
    duration: float | None = None


def read(text: str, name: str = "plan") -> Plan:
    """The plan that ``text`` is; PlanError, with ``name`` and the line, for the first thing that is wrong with it."""
    try:
        data, root = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise PlanError(f"{name}{line}: no YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(data, dict) or not isinstance(root, yaml.MappingNode):
        raise PlanError(f"{name}: a plan is a mapping with faults: a list")
    lines = {key.value: (key.start_mark.line + 1, value) for key, value in root.value}
    values = _values(data, _PLAN, lambda key: f"{name}:{lines[key][0]}", f"{name}:1")
    entries, node = data.get("faults"), lines["faults"][1] if "faults" in lines else None
    if not isinstance(entries, list) or not entries or not isinstance(node, yaml.SequenceNode):
        raise PlanError(f"{name}: a plan needs faults: a list with at least one")
    plan = Plan(tuple(_fault(*pair, name) for pair in zip(entries, node.value, strict=True)), **values)
    for fault in plan.faults:
        late = [at for at in fault.at if plan.duration is not None and at >= plan.duration]
        if late:
            raise PlanError(f"{fault.where}: at: {late[0]:g} s is not before the end (duration: {plan.duration:g} s)")
        endless = fault.until is None and (fault.every or fault.random)
        if plan.duration is None and (endless or not (fault.lasts or fault.instant)):
            raise PlanError(f"{fault.where}: when is this over? Say {'until' if endless else 'for'}, or a duration")
    return plan


def seconds(value: Any) -> float:
    """``500ms``, ``2s``, ``1m``, or a number of seconds; ValueError."""
    match = _TIME.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(f"{value!r} is no time, such as 2s or 500ms")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _fault(entry: Any, node: Any, name: str) -> Fault:
    where = f"{name}:{node.start_mark.line + 1}"
    if not isinstance(entry, dict):
        raise PlanError(f"{where}: a fault is a mapping, such as {{at: 2s, for: 1s, link: n1 s1, up: false}}")
    lines = {key.value: key.start_mark.line + 1 for key, _value in node.value}
    values = _values(entry, _FAULT, lambda key: f"{name}:{lines.get(key, node.start_mark.line + 1)}", where)
    kinds = [kind for kind in KINDS if kind in values]
    if len(kinds) != 1:
        raise PlanError(f"{where}: say one of {', '.join(KINDS)}" + (f", not {' and '.join(kinds)}" if kinds else ""))
    [kind] = kinds
    whens = [when for when in ("at", "every", "random") if when in values]
    if len(whens) != 1:
        raise PlanError(f"{where}: say one of at, every, random" + (f", not {' and '.join(whens)}" if whens else ""))
    options = {option: values.pop(option) for option in impairment.OPTIONS if option in values}
    fault = Fault(where, kind, values.pop(kind), options=options, **values)
    for complaint in _complaints(fault, values):
        raise PlanError(f"{where}: {complaint}")
    return fault


def _complaints(fault: Fault, values: Mapping[str, Any]) -> list[str]:
    """What of a fault does not go together."""
    only = {LINK: ("up", "direction"), MACHINE: ("power",), PARTITION: (), COMPONENT: ()}
    foreign = [key for kind, keys in only.items() if kind != fault.kind for key in keys if key in values]
    meant = {LINK: impairment.OPTIONS, COMPONENT: ("delay",)}.get(fault.kind, ())
    foreign += [option for option in fault.options if option not in meant]
    found = [f"{key} is no matter of a {fault.kind}" for key in foreign]
    if fault.kind == LINK and fault.up and not fault.options:
        found.append(f"what happens to the link? Say up: false, or {', '.join(impairment.OPTIONS)}")
    if fault.kind == MACHINE and not fault.power:
        found.append(f"what happens to the machine? Say power: {', '.join(POWERS)}")
    if fault.direction and not fault.options:
        found.append("direction goes with what happens to packets; a cut cable has none")
    if fault.instant and fault.lasts:
        found.append("for has no meaning: this is over at once")
    if (fault.every or fault.random) and not (fault.lasts or fault.instant):
        found.append("for how long, each time? Say for")
    if fault.pick > len(fault.targets):
        found.append(f"pick: {fault.pick} of {len(fault.targets)}")
    try:
        impairment.changed(impairment.NONE, {"delay": "1s", "loss": 1, **fault.options})
    except ValueError as error:
        found.append(str(error))
    return found


# ---- the table of keys ------------------------------------------------------------------------------------------


def _values(
    entry: Mapping[Any, Any], rows: "Mapping[str, _Key]", line: Callable[[str], str], at: str
) -> dict[str, Any]:
    found = {}
    for key, value in entry.items():
        if key not in rows:
            raise PlanError(
                f"{line(str(key)) if isinstance(key, str) else at}: unknown key {key}; there are {', '.join(rows)}"
            )
        try:
            if rows[key].read is not None:
                found[rows[key].field or key] = rows[key].read(value)
        except (ValueError, TypeError) as error:
            raise PlanError(f"{line(key)}: {key}: {error}") from None
    return found


class _Key(NamedTuple):
    """How a key's value is read (None: by somebody else), and where it goes if not to a field of its name."""

    read: Any
    field: str = ""


def _positive(value: Any) -> float:
    found = seconds(value)
    if not found:
        raise ValueError("0 is no time to wait")
    return found


def _times(value: Any) -> tuple[float, ...]:
    return tuple(sorted(map(seconds, value if isinstance(value, list) else [value])))


def _span(value: Any) -> Span:
    least, _dots, most = str(value).partition("..")
    found = Span(seconds(least), seconds(most or least))
    if not found.most or found.least > found.most:
        raise ValueError(f"{value!r} is no time that anything lasts")
    return found


def _names(value: Any) -> tuple[str, ...]:
    names = tuple(" ".join(str(name).split()) for name in (value if isinstance(value, list) else [value]))
    if not names or not all(names):
        raise ValueError("name at least one")
    return names


def _links(value: Any) -> tuple[str, ...]:
    for name in (names := _names(value)):
        if len(name.split()) != 2:
            raise ValueError(f"{name!r} is no link: its two ends are meant, such as n1 s1")
    return names


def _groups(value: Any) -> tuple[str, ...]:
    """``"n1,n2 | cp1"``, or lists of names."""
    if isinstance(value, list):
        value = " | ".join(",".join(map(str, group)) if isinstance(group, list) else str(group) for group in value)
    groups = [",".join(group.replace(",", " ").split()) for group in str(value).split("|")]
    return (" | ".join(groups),)


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _power(value: Any) -> str:
    value = "off" if value is False else value  # as YAML 1.1 reads off
    if value not in POWERS:
        raise ValueError(f"{value!r}: choose one of {', '.join(POWERS)}")
    return str(value)


_PLAN = {"seed": _Key(_number), "duration": _Key(_positive), "faults": _Key(None)}
_FAULT = {
    "at": _Key(_times),
    "every": _Key(_positive),
    "random": _Key(_positive),
    "from": _Key(seconds, "start"),
    "until": _Key(seconds),
    "for": _Key(_span, "lasts"),
    LINK: _Key(_links),
    MACHINE: _Key(_names),
    PARTITION: _Key(_groups),
    COMPONENT: _Key(_names),
    "pick": _Key(_number),
    "up": _Key(_boolean),
    "direction": _Key(str),
    "power": _Key(_power),
    **{option: _Key(lambda value: value) for option in impairment.OPTIONS},
}
