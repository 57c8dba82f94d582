"""PersistentVolumes and StorageClasses (pkg/apis/core/validation, pkg/apis/storage/validation)."""

from knet.api.quantity import parse_quantity
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation.claim import VOLUME_MODES, access_modes
from knet.apiserver.validation.rules import Required, fixed, form, one_of, shape, updates, whole
from knet.store import Object

_NOT_SOURCES = (
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
)


def _capacity(capacity: dict[str, str], path: str) -> Errors:
    errors: Errors = []
    if set(capacity) != {"storage"}:
        errors.append(field.not_supported(path, field.Go("core.ResourceList{…}"), ("storage",)))
    for name, amount in capacity.items():
        if parse_quantity(amount) <= 0:
            errors.append(field.invalid(f"{path}[{name}]", amount, "must be greater than zero"))
    return errors


def _source(spec: Object, path: str) -> Errors:
    given = [key for key in spec if key not in _NOT_SOURCES]
    if not given:
        return [field.required(path, "must specify a volume type")]
    errors: Errors = [field.forbidden(f"{path}.{key}", "may not specify more than 1 volume type") for key in given[1:]]
    if "hostPath" in spec:
        errors += _HOST_PATH(spec["hostPath"], f"{path}.hostPath")
        if spec["hostPath"].get("path") == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
            detail = "may not be 'recycle' for a hostPath mount of '/'"
            errors.append(field.forbidden(f"{path}.persistentVolumeReclaimPolicy", detail))
    if "local" in spec and not spec.get("nodeAffinity"):
        errors.append(field.required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    return errors


_HOST_PATH = shape({"path": Required()})
_VOLUME = shape(
    {
        "accessModes": Required(access_modes),
        "capacity": Required(_capacity),
        "persistentVolumeReclaimPolicy": one_of("Delete", "Recycle", "Retain"),
        "storageClassName": form(formats.dns_subdomain),
        "volumeMode": one_of(*VOLUME_MODES),
    },
    _source,
)


def validate_volume(value: Object) -> Errors:
    """A PersistentVolume."""
    return _VOLUME(value.get("spec", {}), "spec")


def validate_volume_update(value: Object, old: Object) -> Errors:
    """Where a volume is never changes."""
    now, before = (
        {key: item for key, item in one.get("spec", {}).items() if key not in _NOT_SOURCES} for one in (value, old)
    )
    errors: Errors = []
    if now != before:
        errors.append(
            field.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
        )
    return errors + fixed("spec.volumeMode")(value, old)


validate_storage_class = whole(
    shape(
        {
            "provisioner": Required(form(lambda text: formats.qualified_name(text.lower()))),
            "reclaimPolicy": one_of("Delete", "Retain"),
            "volumeBindingMode": Required(one_of("Immediate", "WaitForFirstConsumer")),
        }
    )
)


def validate_storage_class_update(value: Object, old: Object) -> Errors:
    """What a class stands for never changes, but for whether its volumes may grow."""
    errors: Errors = []
    for key in ("parameters", "provisioner"):
        if value.get(key) != old.get(key):
            errors.append(field.forbidden(key, f"updates to {key} are forbidden."))
    if value.get("reclaimPolicy") != old.get("reclaimPolicy"):
        errors.append(field.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
    return errors + _BINDING_FIXED(value, old)


_BINDING_FIXED = updates(fixed("volumeBindingMode"))
