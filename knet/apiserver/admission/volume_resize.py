"""PersistentVolumeClaimResize: a bound claim grows only where its class allows that."""

from knet.api.quantity import quantity
from knet.api.resources import STORAGECLASSES
from knet.apiserver.admission.request import Request
from knet.store import Object


def validate(request: Request) -> None:
    """StatusError 403."""
    value, old = request.new, request.old or {}
    if not _grows(value, old):
        return
    if (old.get("status") or {}).get("phase") != "Bound":
        raise request.forbidden("Only bound persistent volume claims can be expanded")
    name = (value.get("spec") or {}).get("storageClassName") or ""
    found = request.find(STORAGECLASSES, name) if name else None
    if found is None or not found.get("allowVolumeExpansion"):
        raise request.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must"
            " support resize"
        )


def _grows(value: Object, old: Object) -> bool:
    sizes = [
        ((row.get("spec") or {}).get("resources") or {}).get("requests", {}).get("storage", 0) for row in (old, value)
    ]
    return quantity(sizes[0]) < quantity(sizes[1])
