"""References to a Pod's own fields and resources, from its environment and from its files."""

from knet.api.quantity import parse_quantity
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation.rules import Rule
from knet.store import Object

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
FILE_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
#: maps, one element of which can be named: metadata.labels['app']
_SUBSCRIPTED = {"metadata.annotations": formats.qualified_name, "metadata.labels": formats.qualified_name}
_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_DIVISORS = {
    "cpu": ("1m", "1"),
    "memory": ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"),
}


def field_ref(allowed: tuple[str, ...]) -> Rule:
    """A fieldRef to one of some fields, or to a label or annotation by name."""

    def check(value: Object, path: str) -> Errors:
        name = value.get("fieldPath", "")
        if not value.get("apiVersion"):
            return [field.required(f"{path}.apiVersion")]
        if not name:
            return [field.required(f"{path}.fieldPath")]
        base, bracket, rest = name.partition("['")
        if bracket and rest.endswith("']"):
            if base not in _SUBSCRIPTED:
                return [field.invalid(f"{path}.fieldPath", name, "does not support subscript")]
            wrong = _SUBSCRIPTED[base](rest.removesuffix("']"))
            return [field.invalid(path, rest.removesuffix("']"), wrong)] if wrong else []
        if name in (*ENV_FIELDS, *FILE_FIELDS):
            return [] if name in allowed else [field.not_supported(f"{path}.fieldPath", name, allowed)]
        detail = f"error converting fieldPath: field label not supported: {name}"
        return [field.invalid(f"{path}.fieldPath", name, detail)]

    return check


def resource_field_ref(in_file: bool) -> Rule:
    """A resourceFieldRef; in a file it has to name its container."""

    def check(value: Object, path: str) -> Errors:
        name = value.get("resource", "")
        if in_file and not value.get("containerName"):
            return [field.required(f"{path}.containerName")]
        if not name:
            return [field.required(f"{path}.resource")]
        kind = name.partition(".")[2]
        if name not in _RESOURCES and not kind.startswith("hugepages-"):
            return [field.not_supported(f"{path}.resource", name, sorted(_RESOURCES))]
        divisor = value.get("divisor", "0")
        if parse_quantity(divisor) == 0:
            return []
        units = _DIVISORS["cpu" if kind == "cpu" else "memory"]
        if divisor in units:
            return []
        what = "1m and 1" if kind == "cpu" else "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
        named = "local ephemeral storage" if kind == "ephemeral-storage" else kind
        detail = f"only divisor's values {what} are supported with the {named} resource"
        return [field.invalid(f"{path}.divisor", divisor, detail)]

    return check
