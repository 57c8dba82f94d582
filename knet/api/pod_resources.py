"""What a Pod as a whole asks for and may use, from what its containers do.

https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, TypeVar

from knet.api.objects import JSON
from knet.api.quantity import Quantity, parse_quantity, quantity


class _Amount(Protocol):
    def __add__(self, other: Any, /) -> Any: ...
    def __lt__(self, other: Any, /) -> bool: ...


_QOS_RESOURCES = ("cpu", "memory")

A = TypeVar("A", bound=_Amount)


def effective(containers: Iterable[Mapping[str, A]], first: Iterable[tuple[Mapping[str, A], bool]]) -> dict[str, A]:
    """The amounts of a Pod, by resource, from those of its containers and its init containers (with: is a sidecar).

    Containers and sidecars run together, so they add up; init containers run one after the other before them
    (beside the sidecars that were started by then), so only the greediest counts, where it exceeds that sum.
    """
    total: dict[str, A] = {}
    for amounts in containers:
        add(total, amounts)
    sidecars: dict[str, A] = {}
    peak: dict[str, A] = {}
    for amounts, is_sidecar in first:
        if is_sidecar:
            add(sidecars, amounts)
            _raise(peak, sidecars)
        else:
            beside = dict(sidecars)
            add(beside, amounts)
            _raise(peak, beside)
    add(total, sidecars)
    _raise(total, peak)
    return total


def add(total: dict[str, A], more: Mapping[str, A]) -> None:
    """Add up by name, in place."""
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def _raise(total: dict[str, A], floor: Mapping[str, A]) -> None:
    for name, value in floor.items():
        if name not in total or total[name] < value:
            total[name] = value


def amounts_of(resources: JSON | None) -> dict[str, Quantity]:
    """A resource list of the API as quantities."""
    return {name: quantity(text) for name, text in (resources or {}).items()}


def pod_amounts(spec: JSON, part: Literal["requests", "limits"], overhead: bool = True) -> dict[str, Quantity]:
    """The effective requests or limits of a Pod's spec, with the overhead of its runtime class."""

    def of(container: JSON) -> dict[str, Quantity]:
        return amounts_of((container.get("resources") or {}).get(part))

    first = ((of(row), row.get("restartPolicy") == "Always") for row in spec.get("initContainers") or ())
    total = effective(map(of, spec.get("containers") or ()), first)
    if overhead and spec.get("overhead"):
        more = amounts_of(spec["overhead"])
        # a limit that nobody has set stays unset
        add(total, more if part == "requests" else {name: more[name] for name in more if name in total})
    return total


def qos_class(spec: JSON) -> str:
    """Guaranteed, Burstable or BestEffort.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
    """
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    some = False
    guaranteed = bool(containers)
    for container in containers:
        resources = container.get("resources", {})
        limits, requests = resources.get("limits", {}), resources.get("requests", {})
        for name in _QOS_RESOURCES:
            limit, request = limits.get(name), requests.get(name, limits.get(name))
            some = some or bool(parse_quantity(request or 0)) or bool(parse_quantity(limit or 0))
            if not limit or parse_quantity(limit) != parse_quantity(request or 0):
                guaranteed = False
    if guaranteed:
        return "Guaranteed"
    return "Burstable" if some else "BestEffort"
