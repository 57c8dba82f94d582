"""ConfigMaps and Secrets (pkg/apis/core/validation)."""

import base64

import orjson

from knet.api.names import ACCOUNT_NAME_ANNOTATION, ACCOUNT_TOKEN_SECRET
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.store import Object

#: a ConfigMap's or Secret's limit on the sum of its values
_DATA_LIMIT = 1024 * 1024


def validate_config_map(value: Object) -> Errors:
    """A ConfigMap's keys and size."""
    errors: Errors = []
    size = 0
    for part in ("data", "binaryData"):
        for key, item in value.get(part, {}).items():
            size += len(item)
            if wrong := formats.config_key(key):
                errors.append(field.invalid(f"{part}[{key}]", key, wrong))
            if part == "binaryData" and key in value.get("data", {}):
                errors.append(field.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    return errors + _size(size, "")


def validate_secret(value: Object) -> Errors:
    """A Secret's keys, size and what its type demands."""
    errors: Errors = []
    data = value.get("data", {})
    for key in data:
        if wrong := formats.config_key(key):
            errors.append(field.invalid(f"data[{key}]", key, wrong))
    for key in _SECRET_KEYS.get(value.get("type", ""), ()):
        if key not in data:
            errors.append(field.required(f"data[{key}]"))
    annotations = value["metadata"].get("annotations") or {}
    if value.get("type") == ACCOUNT_TOKEN_SECRET and not annotations.get(ACCOUNT_NAME_ANNOTATION):
        errors.append(field.required(f"metadata.annotations[{ACCOUNT_NAME_ANNOTATION}]"))
    if value.get("type") == "kubernetes.io/dockerconfigjson" and ".dockerconfigjson" in data:
        try:
            orjson.loads(base64.b64decode(data[".dockerconfigjson"]))
        except ValueError as error:
            errors.append(field.invalid("data[.dockerconfigjson]", "<secret contents redacted>", str(error)))
    return errors + _size(sum(len(item) * 3 // 4 for item in data.values()), "data")


_SECRET_KEYS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def _size(size: int, path: str) -> Errors:
    if size <= _DATA_LIMIT:
        return []
    return [field.FieldError(path, "FieldValueTooLong", f"Too long: may not be more than {_DATA_LIMIT} bytes")]


def validate_config_map_update(value: Object, old: Object) -> Errors:
    """An immutable one stays as it is."""
    return _immutable_data(value, old, ("data", "binaryData"))


def validate_secret_update(value: Object, old: Object) -> Errors:
    """The type never changes."""
    errors = _immutable_data(value, old, ("data",))
    if value.get("type") != old.get("type"):
        errors.append(field.immutable("type", value.get("type", "")))
    return errors


def _immutable_data(value: Object, old: Object, parts: tuple[str, ...]) -> Errors:
    if not old.get("immutable"):
        return []
    return [
        field.forbidden(part, "field is immutable when `immutable` is set")
        for part in (*parts, "immutable")
        if value.get(part) != old.get(part)
    ]
