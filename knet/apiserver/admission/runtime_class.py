"""RuntimeClass: the overhead and the scheduling rules of a Pod's runtime class become the Pod's."""

from knet.api.pod_resources import amounts_of
from knet.api.resources import RUNTIMECLASSES
from knet.apiserver.admission.request import Request
from knet.store import Object


def _class_of(request: Request) -> Object | None:
    """The class a Pod names; StatusError 403 where there is none of that name."""
    name = (request.new.get("spec") or {}).get("runtimeClassName")
    if not name:
        return None
    found = request.find(RUNTIMECLASSES, name)
    if found is None:
        raise request.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
    return found


def admit(request: Request) -> None:
    """Set overhead, nodeSelector and tolerations; StatusError 403 where the Pod contradicts its class."""
    found = _class_of(request)
    if found is None:
        return
    spec = request.new["spec"]
    if overhead := (found.get("overhead") or {}).get("podFixed"):
        if spec.get("overhead") and amounts_of(spec["overhead"]) != amounts_of(overhead):
            raise request.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        spec["overhead"] = dict(overhead)
    scheduling = found.get("scheduling") or {}
    selector, wanted = spec.get("nodeSelector") or {}, scheduling.get("nodeSelector") or {}
    for key, value in wanted.items():
        if selector.get(key, value) != value:
            raise request.forbidden(
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value};"
                f" pod.spec.nodeSelector[{key}] = {selector[key]}"
            )
    if wanted:
        spec["nodeSelector"] = {**selector, **wanted}
    if tolerations := scheduling.get("tolerations"):
        present = spec.get("tolerations") or []
        spec["tolerations"] = [*present, *(row for row in tolerations if row not in present)]


def validate(request: Request) -> None:
    """An overhead that no class defines is refused; StatusError 403."""
    found = _class_of(request)
    if (request.new.get("spec") or {}).get("overhead") and (found is None or not found.get("overhead")):
        raise request.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
