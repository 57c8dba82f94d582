"""PersistentVolumeClaims: as objects, and as templates in StatefulSets and Pods (pkg/apis/core/validation)."""

from knet.api.quantity import parse_quantity
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation.rules import Required, form, one_of, quantity_not_negative, shape
from knet.apiserver.validation.selectors import label_selector
from knet.store import Object

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def access_modes(modes: list[str], path: str) -> Errors:
    """Known modes; ReadWriteOncePod goes with no other."""
    errors: Errors = [field.not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        errors.append(field.forbidden(path, detail))
    return errors


def _requests(resources: Object, path: str) -> Errors:
    storage = resources.get("requests", {}).get("storage")
    if storage is None:
        return [field.required(f"{path}[storage]")]
    if parse_quantity(storage) <= 0:
        return [field.invalid(f"{path}[storage]", storage, "must be greater than zero")]
    return []


def _source(source: Object, path: str) -> Errors:
    errors: Errors = []
    if not source.get("name"):
        errors.append(field.required(f"{path}.name"))
    if not source.get("kind"):
        errors.append(field.required(f"{path}.kind"))
    elif not source.get("apiGroup") and source["kind"] != "PersistentVolumeClaim":
        errors.append(
            field.invalid(path, source["kind"], "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
        )
    return errors


_SPEC = shape(
    {
        "accessModes": Required(access_modes, "at least 1 access mode is required"),
        "selector": label_selector,
        "storageClassName": form(formats.dns_subdomain),
        "volumeAttributesClassName": form(formats.dns_subdomain),
        "volumeMode": one_of(*VOLUME_MODES),
        "dataSource": _source,
        "dataSourceRef": _source,
    }
)


def claim_spec(spec: Object, path: str) -> Errors:
    """What somebody wants to have for storage."""
    errors = _SPEC(spec, path)
    errors += _requests(spec.get("resources", {}), f"{path}.resources")
    for key, amount in spec.get("resources", {}).get("limits", {}).items():
        errors += quantity_not_negative(amount, f"{path}.resources.limits[{key}]")
    return errors


def validate_claim(value: Object) -> Errors:
    """A PersistentVolumeClaim."""
    return claim_spec(value.get("spec", {}), "spec")


_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def validate_claim_update(value: Object, old: Object) -> Errors:
    """A claim takes its volume once; a bound one may ask for more."""
    spec, before = dict(value.get("spec", {})), dict(old.get("spec", {}))
    errors: Errors = []
    if not before.get("volumeName"):
        spec.pop("volumeName", None)
        before.pop("volumeName", None)
    wanted, had = (one.get("resources", {}).get("requests", {}).get("storage", "0") for one in (spec, before))
    bound = old.get("status", {}).get("phase") == "Bound"
    loose = ("resources", "volumeAttributesClassName") if bound else ()
    if {k: v for k, v in spec.items() if k not in loose} != {k: v for k, v in before.items() if k not in loose}:
        errors.append(field.forbidden("spec", _IMMUTABLE))
    if parse_quantity(wanted) < parse_quantity(had):
        detail = "field can not be less than status.capacity"
        errors.append(field.forbidden("spec.resources.requests.storage", detail))
    return errors
