"""LimitRanger: what containers, Pods and claims of a namespace may ask for, and what they get that do not ask.

https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from collections.abc import Iterator, Mapping

from knet.api.pod_resources import amounts_of, pod_amounts
from knet.api.quantity import Quantity, quantity
from knet.api.resources import LIMITRANGES
from knet.apiserver.admission.request import Request
from knet.store import Object

ANNOTATION = "kubernetes.io/limit-ranger"

Amounts = Mapping[str, Quantity]

_NONE = quantity(0)


def _ranges(rows: list[Object]) -> list[list[Object]]:
    """The limits of each LimitRange."""
    return [(row.get("spec") or {}).get("limits") or [] for row in rows]


def _items(request: Request, kind: str) -> Iterator[Object]:
    for limits in request.derive(LIMITRANGES, _ranges, request.target.namespace):
        yield from (item for item in limits if item.get("type") == kind)


def admit(request: Request) -> None:
    """Give the containers of a new Pod their defaults, and write down what has been given."""
    spec = request.new.get("spec")
    if spec is None:
        return
    for limits in request.derive(LIMITRANGES, _ranges, request.target.namespace):
        notes = _fill_in(spec, limits)
        if notes:
            annotations = request.new["metadata"].setdefault("annotations", {})
            annotations[ANNOTATION] = f"LimitRanger plugin set: {'; '.join(notes)}"


def _fill_in(spec: Object, items: list[Object]) -> list[str]:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for item in items:
        if item.get("type") == "Container":
            requests |= item.get("defaultRequest") or {}
            limits |= item.get("default") or {}
    notes = []
    for key, word in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(key) or ():
            for part, defaults in (("requests", requests), ("limits", limits)):
                have = (container.get("resources") or {}).get(part) or {}
                added = sorted(defaults.keys() - have.keys())
                if added:
                    container.setdefault("resources", {})[part] = defaults | have
                    notes.append(f"{', '.join(added)} {part[:-1]} for {word} {container.get('name', '')}")
    return notes


def validate_pod(request: Request) -> None:
    """StatusError 403 with everything that is out of bounds."""
    spec = request.new["spec"]
    errors: list[str] = []
    for item in _items(request, "Container"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            have = container.get("resources") or {}
            errors += violations(item, amounts_of(have.get("requests")), amounts_of(have.get("limits")))
    for item in _items(request, "Pod"):
        errors += violations(item, pod_amounts(spec, "requests", False), pod_amounts(spec, "limits", False))
    _refuse(request, errors)


def validate_claim(request: Request) -> None:
    """A claim's requests are measured, never its limits; StatusError 403."""
    spec = request.new.get("spec") or {}
    requests = amounts_of((spec.get("resources") or {}).get("requests"))
    errors: list[str] = []
    for item in _items(request, "PersistentVolumeClaim"):
        errors += _minimum(item, requests, {})
        for name, bound in amounts_of(item.get("max")).items():
            text = f"maximum {name} usage per {item['type']} is {bound}"
            if name not in requests:
                errors.append(f"{text}.  No request is specified")
            elif bound < requests[name]:
                errors.append(f"{text}, but request is {requests[name]}")
    _refuse(request, errors)


def _refuse(request: Request, errors: list[str]) -> None:
    unique = list(dict.fromkeys(errors))
    if unique:
        raise request.forbidden(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")


def violations(item: Object, requests: Amounts, limits: Amounts) -> list[str]:
    """What one row of a LimitRange finds wrong with requests and limits."""
    return [*_minimum(item, requests, limits), *_maximum(item, requests, limits), *_ratio(item, requests, limits)]


def _minimum(item: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in amounts_of(item.get("min")).items():
        text = f"minimum {name} usage per {item['type']} is {bound}"
        if name not in requests:
            yield f"{text}.  No request is specified"
        elif requests[name] < bound:
            yield f"{text}, but request is {requests[name]}"
        elif name in limits and limits[name] < bound:
            yield f"{text}, but limit is {limits[name]}"


def _maximum(item: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in amounts_of(item.get("max")).items():
        text = f"maximum {name} usage per {item['type']} is {bound}"
        if name not in limits:
            yield f"{text}.  No limit is specified"
        elif bound < limits[name]:
            yield f"{text}, but limit is {limits[name]}"
        elif name in requests and bound < requests[name]:
            yield f"{text}, but request is {requests[name]}"


def _ratio(item: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in amounts_of(item.get("maxLimitRequestRatio")).items():
        text = f"{name} max limit to request ratio per {item['type']} is {bound}, but"
        request, limit = requests.get(name, _NONE), limits.get(name, _NONE)
        if not request:
            yield f"{text} no request is specified or request is 0"
        elif not limit:
            yield f"{text} no limit is specified or limit is 0"
        elif bound.amount < limit.amount / request.amount:
            yield f"{text} provided ratio is {float(limit.amount / request.amount):f}"
