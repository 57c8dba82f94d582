"""Priority: a Pod's number and preemption policy follow from its PriorityClass, and nobody writes them by hand.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from knet.api.resources import PRIORITYCLASSES
from knet.apiserver.admission.request import Request
from knet.store import Object

#: of Pods without a class, where no class is the default
_NO_CLASS: Object = {"value": 0, "preemptionPolicy": "PreemptLowerPriority"}


def admit(request: Request) -> None:
    """Fill in what a new Pod's class says; StatusError 403 where there is no such class or the Pod says otherwise."""
    spec = request.new.get("spec")
    if spec is None:
        return
    if request.old is not None:
        for key in ("priority", "preemptionPolicy"):
            if spec.get(key) is None and (before := request.old["spec"].get(key)) is not None:
                spec[key] = before
        return
    name = spec.get("priorityClassName")
    if name:
        found = request.find(PRIORITYCLASSES, name)
        if found is None:
            raise request.forbidden(f"no PriorityClass with name {name} was found")
    else:
        found = request.derive(PRIORITYCLASSES, _default_of)
        if found is not _NO_CLASS:
            spec["priorityClassName"] = found["metadata"]["name"]
    priority, policy = found.get("value", 0), found.get("preemptionPolicy") or "PreemptLowerPriority"
    if spec.get("priority", priority) != priority:
        raise request.forbidden(
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority admission"
            f" controller computed {priority} from the given PriorityClass name"
        )
    if spec.get("preemptionPolicy", policy) != policy:
        raise request.forbidden(
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec;"
            f" priority admission controller computed {policy} from the given PriorityClass name"
        )
    spec["priority"], spec["preemptionPolicy"] = priority, policy


def _default_of(classes: list[Object]) -> Object:
    """The global default; of several, which only a race can make, the one of lowest value."""
    defaults = [row for row in classes if row.get("globalDefault")]
    return min(defaults, key=lambda row: int(row.get("value", 0)), default=_NO_CLASS)


def validate(request: Request) -> None:
    """A second global default is refused; StatusError 403."""
    if not request.new.get("globalDefault"):
        return
    found = request.derive(PRIORITYCLASSES, _default_of)
    if found is _NO_CLASS:
        return
    name = found["metadata"]["name"]
    if request.operation == "CREATE" or name != request.name:
        raise request.forbidden(f"PriorityClass {name} is already marked as default. Only one default can exist")
