"""The volumes of Pods (pkg/apis/core/validation)."""

from collections.abc import Iterable, Mapping

from knet.api.quantity import parse_quantity
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation.claim import claim_spec
from knet.apiserver.validation.containers import element_name
from knet.apiserver.validation.downward import FILE_FIELDS, field_ref, resource_field_ref
from knet.apiserver.validation.rules import Required, Rule, anything, each, form, numbered, one_of, shape, where
from knet.store import Object

_HOST_PATHS = ("BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_MODE_HELP = "must be a number between 0 and 0777 (octal), both inclusive"
#: seconds
_SHORTEST_TOKEN, _LONGEST_TOKEN = 600, 1 << 32

mode = where(lambda value: 0 <= value <= 0o777, _MODE_HELP)


def local_path(text: str, path: str) -> Errors:
    """Relative, and nowhere up."""
    if text.startswith("/"):
        return [field.invalid(path, text, "must be a relative path")]
    if ".." in text.split("/"):
        return [field.invalid(path, text, "must not contain '..'")]
    return []


def _file_name(text: str, path: str) -> Errors:
    errors = local_path(text, path)
    if not errors and text.startswith(".."):
        errors.append(field.invalid(path, text, "must not start with '..'"))
    return errors


def _no_way_up(text: str, path: str) -> Errors:
    return [field.invalid(path, text, "must not contain '..'")] if ".." in text.split("/") else []


_ITEMS = each(shape({"key": Required(), "path": Required(_file_name), "mode": mode}))


def _one_reference(value: Object, path: str) -> Errors:
    given = [key for key in ("fieldRef", "resourceFieldRef") if key in value]
    if len(given) == 2:
        detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
        return [field.invalid(path, "resource", detail)]
    return [] if given else [field.required(path, "one of fieldRef and resourceFieldRef is required")]


_DOWNWARD = each(
    shape(
        {
            "path": Required(_file_name),
            "fieldRef": field_ref(FILE_FIELDS),
            "resourceFieldRef": resource_field_ref(in_file=True),
            "mode": mode,
        },
        _one_reference,
    )
)


def _expiration(seconds: int, path: str) -> Errors:
    if seconds < _SHORTEST_TOKEN:
        return [field.invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    return [field.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")] * (
        seconds > _LONGEST_TOKEN
    )


_PROJECTED: Mapping[str, Rule] = {
    "secret": shape({"name": Required(), "items": _ITEMS}),
    "configMap": shape({"name": Required(), "items": _ITEMS}),
    "downwardAPI": shape({"items": _DOWNWARD}),
    "serviceAccountToken": shape({"expirationSeconds": _expiration, "path": Required(local_path)}),
    "clusterTrustBundle": shape({"path": Required(local_path)}),
}


def _sources(sources: list[Object], path: str) -> Errors:
    errors: Errors = []
    for source, here in numbered(sources, path):
        given = [key for key in _PROJECTED if key in source]
        if not given:
            errors.append(field.required(here, "must specify a volume type"))
        for extra in given[1:]:
            errors.append(field.forbidden(f"{here}.{extra}", "may not specify more than 1 volume type"))
        for key in given[:1]:
            errors += _PROJECTED[key](source[key], f"{here}.{key}")
    return errors


def _size_limit(size: str, path: str) -> Errors:
    if parse_quantity(size) >= 0:
        return []
    return [field.forbidden(path, "SizeLimit field must be a valid resource quantity")]


#: volume type → what is checked
_TYPES: Mapping[str, Rule] = {
    "emptyDir": shape({"sizeLimit": _size_limit, "medium": one_of("Memory", "HugePages")}),
    "hostPath": shape({"path": Required(_no_way_up), "type": one_of(*_HOST_PATHS)}),
    "secret": shape({"secretName": Required(), "defaultMode": mode, "items": _ITEMS}),
    "configMap": shape({"name": Required(), "defaultMode": mode, "items": _ITEMS}),
    "downwardAPI": shape({"defaultMode": mode, "items": _DOWNWARD}),
    "projected": shape({"defaultMode": mode, "sources": _sources}),
    "persistentVolumeClaim": shape({"claimName": Required()}),
    "ephemeral": shape({"volumeClaimTemplate": Required(shape({"spec": Required(claim_spec)}))}),
    "nfs": shape(
        {"server": Required(), "path": Required(where(lambda path: path.startswith("/"), "must be an absolute path"))}
    ),
    "csi": shape({"driver": Required(form(formats.dns_subdomain))}),
    "gitRepo": shape({"repository": Required()}),
    "iscsi": shape({"targetPortal": Required(), "iqn": Required()}),
}


def volume_errors(volumes: Iterable[Object], path: str) -> tuple[Errors, set[str]]:
    """What is wrong with a Pod's volumes, and the names that may be mounted."""
    errors: Errors = []
    names: set[str] = set()
    for volume, here in numbered(volumes, path):
        errors += element_name(volume.get("name", ""), here, names, formats.dns_label)
        sources = [key for key in volume if key != "name"]
        if not sources:
            errors.append(field.required(here, "must specify a volume type"))
        for extra in sources[1:]:
            errors.append(field.forbidden(f"{here}.{extra}", "may not specify more than 1 volume type"))
        for key in sources[:1]:
            errors += _TYPES.get(key, anything)(volume[key], f"{here}.{key}")
    return errors, names
