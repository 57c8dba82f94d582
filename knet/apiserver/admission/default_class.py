"""DefaultStorageClass and DefaultIngressClass: who names no class gets the one that is marked as default."""

from functools import partial

from knet.api.resources import INGRESSCLASSES, STORAGECLASSES
from knet.apiserver.admission.request import Request
from knet.apiserver.status import StatusError
from knet.store import Object

STORAGE_DEFAULT = "storageclass.kubernetes.io/is-default-class"
INGRESS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
#: the annotations that named a class before there were fields for it
_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_INGRESS_CLASS = "kubernetes.io/ingress.class"


def _marked(annotation: str, classes: list[Object]) -> list[str]:
    """The names of the default classes, the youngest first, of equal age by name."""
    rows = [row["metadata"] for row in classes]
    found = [row for row in rows if (row.get("annotations") or {}).get(annotation) == "true"]
    found.sort(key=lambda row: str(row["name"]))
    return [row["name"] for row in sorted(found, key=lambda row: str(row["creationTimestamp"]), reverse=True)]


_storage_defaults = partial(_marked, STORAGE_DEFAULT)
_ingress_defaults = partial(_marked, INGRESS_DEFAULT)


def storage(request: Request) -> None:
    """A claim without storageClassName ("" means: no class at all)."""
    spec, annotations = request.new.get("spec") or {}, request.new["metadata"].get("annotations") or {}
    if spec.get("storageClassName") is not None or _STORAGE_CLASS in annotations:
        return
    if defaults := request.derive(STORAGECLASSES, _storage_defaults):
        request.new.setdefault("spec", {})["storageClassName"] = defaults[0]


def ingress(request: Request) -> None:
    """An Ingress without ingressClassName; more than one default is nobody's choice: StatusError 403."""
    spec, annotations = request.new.get("spec") or {}, request.new["metadata"].get("annotations") or {}
    if spec.get("ingressClassName") is not None or _INGRESS_CLASS in annotations:
        return
    defaults = request.derive(INGRESSCLASSES, _ingress_defaults)
    if len(defaults) > 1:
        raise _ambiguous(request, len(defaults))
    if defaults:
        request.new.setdefault("spec", {})["ingressClassName"] = defaults[0]


def _ambiguous(request: Request, count: int) -> StatusError:
    return request.forbidden(f"{count} default IngressClasses were found, only 1 allowed")
