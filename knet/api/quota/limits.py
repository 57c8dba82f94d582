"""What a quota allows: its limits, the objects it is about, and the words in which it refuses one."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from knet.api.objects import JSON
from knet.api.pod_resources import amounts_of
from knet.api.quantity import Quantity, quantity
from knet.api.quota.meters import Amounts, Charge, Meter, Traits
from knet.api.selectors import Requirement

_NONE = quantity(0)

#: a scope that is there or not → whether a Pod falls under it
_SCOPES: Mapping[str, Callable[[Traits], bool]] = {
    "Terminating": lambda traits: traits.terminating,
    "NotTerminating": lambda traits: not traits.terminating,
    "BestEffort": lambda traits: traits.best_effort,
    "NotBestEffort": lambda traits: not traits.best_effort,
    "CrossNamespacePodAffinity": lambda traits: traits.cross_namespace,
}


class Limits(NamedTuple):
    """One ResourceQuota; ``hard`` is what is enforced, ``known`` for which of these the use is known."""

    name: str
    hard: Amounts
    known: frozenset[str] = frozenset()
    scopes: tuple[Requirement, ...] = ()

    def covers(self, traits: Traits | None) -> bool:
        """Whether an object falls under all its scopes."""
        return all(_within(traits, scope) for scope in self.scopes)

    def counted(self, meter: Meter) -> list[str]:
        """The resources of the quota that objects of a kind are charged to."""
        return [name for name in self.hard if meter.counts(name)]


def limits_of(quota: JSON) -> Limits:
    """A ResourceQuota as it is enforced: by its status, which the quota controller has written."""
    spec, status = quota.get("spec") or {}, quota.get("status") or {}
    scopes = [Requirement(name, "Exists") for name in spec.get("scopes") or ()]
    for row in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        scopes.append(Requirement(row.get("scopeName", ""), row.get("operator", ""), tuple(row.get("values") or ())))
    known = frozenset(status.get("used") or ())
    return Limits(quota["metadata"]["name"], amounts_of(status.get("hard")), known, tuple(scopes))


def _within(traits: Traits | None, scope: Requirement) -> bool:
    if traits is None:
        return False
    if scope.key == "PriorityClass":
        return scope.matches({scope.key: traits.priority_class} if traits.priority_class else {})
    return _SCOPES[scope.key](traits) if scope.key in _SCOPES else False


def refusal(
    quotas: Iterable[Limits], meter: Meter, value: JSON, more: Charge, used: Callable[[Limits], Amounts]
) -> str:
    """Why an object must not be stored, "" if it may.

    ``more`` is by how much the use grows; ``used`` tells what objects of the kind cost a quota now.
    """
    for quota in quotas:
        names = quota.counted(meter)
        if not names or not quota.covers(more.traits):
            continue
        if lacking := meter.missing(names, value):
            return f"failed quota: {quota.name}: {lacking}"
        if not quota.known.issuperset(names):
            return f"status unknown for quota: {quota.name}, resources: {','.join(sorted(names))}"
    for quota in quotas:
        wanted = {name: more.amounts[name] for name in quota.counted(meter) if more.amounts.get(name)}
        if not wanted or not quota.covers(more.traits):
            continue
        present = used(quota)
        over = [name for name in sorted(wanted) if quota.hard[name] < present.get(name, _NONE) + wanted[name]]
        if over:
            shown = (_shown(amounts, over) for amounts in (wanted, present, quota.hard))
            return "exceeded quota: {}, requested: {}, used: {}, limited: {}".format(quota.name, *shown)
    return ""


def _shown(amounts: Mapping[str, Quantity], names: list[str]) -> str:
    return ",".join(f"{name}={amounts.get(name, _NONE)}" for name in names)
