"""What one object is charged for: a meter per kind that means more than "one of these", and one for all others.

upstream: pkg/quota/v1/evaluator/core.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING
from functools import lru_cache
from typing import NamedTuple

from knet.api import resources
from knet.api.objects import JSON
from knet.api.pod_resources import pod_amounts, qos_class
from knet.api.quantity import Quantity, quantity
from knet.api.resources import Resource

Amounts = Mapping[str, Quantity]

#: kinds that no quota counts
UNCOUNTED = frozenset({resources.EVENTS, resources.EVENTS_V1})

_ONE, _NONE = quantity(1), quantity(0)


class Traits(NamedTuple):
    """What scopes ask about a Pod."""

    terminating: bool
    best_effort: bool
    priority_class: str
    cross_namespace: bool


class Charge(NamedTuple):
    """What an object costs; ``traits`` is None for kinds that no scope selects.

    ``until`` is when it becomes less without anybody's writing it (Unix time): a Pod whose time to end has run out.
    """

    amounts: Amounts
    traits: Traits | None = None
    until: float = math.inf


@dataclass(frozen=True)
class Meter:
    """How the objects of one kind are counted."""

    #: (object, Unix time) → its cost
    measure: Callable[[JSON, float], Charge]
    #: whether such an object can be charged to a resource that a quota names
    counts: Callable[[str], bool]
    #: (resources that a quota names, object) → why it cannot be counted, "" if it can
    missing: Callable[[Iterable[str], JSON], str] = lambda names, value: ""


def meter_of(resource: Resource) -> Meter:
    """The meter of a kind."""
    return _METERS.get(resource) or _count(resource)


# ---- any kind ----------------------------------------------------------------------------------------------------

#: kinds that were counted by their own name before there was ``count/``
_ALIASED = frozenset(
    {resources.CONFIGMAPS, resources.RESOURCEQUOTAS, resources.REPLICATIONCONTROLLERS, resources.SECRETS}
)


@lru_cache(maxsize=1024)
def _count(resource: Resource) -> Meter:
    names = {f"count/{resource.group_resource}"}
    if resource in _ALIASED:
        names.add(resource.plural)
    charge = Charge(dict.fromkeys(names, _ONE))
    return Meter(lambda value, now: charge, names.__contains__)


# ---- pods --------------------------------------------------------------------------------------------------------

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_POD_NAMES = frozenset(
    {"count/pods", "pods", *(prefix + name for prefix in ("", "requests.", "limits.") for name in _COMPUTE)}
)
#: what a quota on them demands of every container; for others to be added later this was found to be a mistake
_DEMANDED = frozenset(prefix + name for prefix in ("", "requests.", "limits.") for name in ("cpu", "memory"))
_HUGE_PAGES = ("hugepages-", "requests.hugepages-")


def _native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _counts_pod(name: str) -> bool:
    extended = name.startswith("requests.") and not _native(name)
    return name in _POD_NAMES or name.startswith(_HUGE_PAGES) or extended


def _compute(requests: Amounts, limits: Amounts) -> dict[str, Quantity]:
    """Under the names that quotas have for them."""
    found = {f"limits.{name}": limits[name] for name in _COMPUTE if name in limits}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            found[name] = found[f"requests.{name}"] = amount
        elif not _native(name):
            found[f"requests.{name}"] = amount
    return found


def _measure_pod(pod: JSON, now: float) -> Charge:
    """A Pod that has ended, or should have long ago, is still an object and nothing else."""
    amounts = {"count/pods": _ONE}
    until = _overdue(pod["metadata"])
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or until <= now:
        return Charge(amounts, _traits(pod))
    spec = pod.get("spec") or {}
    amounts["pods"] = _ONE
    amounts |= _compute(pod_amounts(spec, "requests"), pod_amounts(spec, "limits"))
    return Charge(amounts, _traits(pod), until)


def _overdue(metadata: JSON) -> float:
    """When nobody expects a deleted Pod any longer."""
    deletion, grace = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    if not deletion or grace is None:
        return math.inf
    return datetime.fromisoformat(deletion).timestamp() + float(grace)


def _traits(pod: JSON) -> Traits:
    spec = pod.get("spec") or {}
    return Traits(
        terminating=(spec.get("activeDeadlineSeconds") or -1) >= 0,
        best_effort=((pod.get("status") or {}).get("qosClass") or qos_class(spec)) == "BestEffort",
        priority_class=spec.get("priorityClassName") or "",
        cross_namespace=_crosses_namespaces(spec.get("affinity") or {}),
    )


def _crosses_namespaces(affinity: JSON) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        rows = affinity.get(kind) or {}
        terms = list(rows.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = rows.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [row.get("podAffinityTerm") or {} for row in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def _missing_of_pod(names: Iterable[str], pod: JSON) -> str:
    demanded = _DEMANDED.intersection(names)
    lacking: dict[str, set[str]] = {}
    if demanded:
        spec = pod.get("spec") or {}
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            have = container.get("resources") or {}
            given = {f"limits.{name}" for name in have.get("limits") or ()}
            given |= {prefix + name for name in have.get("requests") or () for prefix in ("", "requests.")}
            for name in demanded - given:
                lacking.setdefault(name, set()).add(container.get("name", ""))
    if not lacking:
        return ""
    return "must specify " + "; ".join(f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking))


# ---- services and claims -----------------------------------------------------------------------------------------

_SERVICE_NAMES = frozenset({"count/services", "services", "services.nodeports", "services.loadbalancers"})


def _measure_service(service: JSON, now: float) -> Charge:
    spec = service.get("spec") or {}
    kind, ports = spec.get("type"), spec.get("ports") or ()
    node_ports = 0
    if kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)):
        node_ports = len(ports)
    elif kind == "LoadBalancer":
        node_ports = sum(bool(row.get("nodePort")) for row in ports)
    balancers = _ONE if kind == "LoadBalancer" else _NONE
    amounts = {"count/services": _ONE, "services": _ONE, "services.loadbalancers": balancers}
    return Charge(amounts | {"services.nodeports": quantity(node_ports)})


_CLAIM_NAMES = ("persistentvolumeclaims", "requests.storage")
_BY_CLASS = ".storageclass.storage.k8s.io/"


def _counts_claim(name: str) -> bool:
    plain = name in _CLAIM_NAMES or name == "count/persistentvolumeclaims"
    return plain or name.endswith(tuple(_BY_CLASS + each for each in _CLAIM_NAMES))


def _measure_claim(claim: JSON, now: float) -> Charge:
    """Storage is charged in general and to the claim's class, in whole bytes."""
    spec, metadata = claim.get("spec") or {}, claim["metadata"]
    amounts = {"count/persistentvolumeclaims": _ONE, "persistentvolumeclaims": _ONE}
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is not None:
        allocated = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage", 0)
        most = max(quantity(asked), quantity(allocated), key=lambda each: each.amount)
        amounts["requests.storage"] = Quantity(most.amount.to_integral_value(ROUND_CEILING), most.binary)
    annotated = (metadata.get("annotations") or {}).get("volume.beta.kubernetes.io/storage-class")
    storage_class = annotated or spec.get("storageClassName")
    if storage_class:
        for name in _CLAIM_NAMES:
            if name in amounts:
                amounts[f"{storage_class}{_BY_CLASS}{name}"] = amounts[name]
    return Charge(amounts)


_METERS = {
    resources.PODS: Meter(_measure_pod, _counts_pod, _missing_of_pod),
    resources.SERVICES: Meter(_measure_service, _SERVICE_NAMES.__contains__),
    resources.PERSISTENTVOLUMECLAIMS: Meter(_measure_claim, _counts_claim),
}
