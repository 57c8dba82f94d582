"""From a body to an object that has the right types, the right place and its defaults."""

from knet.api.resources import RESOURCES, Resource
from knet.api.schema import SchemaError, conform, json_kind
from knet.apiserver.body import Parsed, object_of
from knet.apiserver.kind import Kind
from knet.apiserver.options import WriteOptions
from knet.apiserver.routes import Target
from knet.apiserver.status import bad_request
from knet.apiserver.strict import MOST
from knet.store import Object

#: metadata that only the server writes
SERVER_METADATA = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)


_REGISTERED = {(row.api_version, row.kind) for row in RESOURCES}
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"


def decode(kind: Kind, body: Parsed, options: WriteOptions) -> Object:
    """An object of the right types.  StatusError 400.

    What nobody knows or is there twice (of which the last counts) is dropped, put into ``options.warnings``, or
    refused, as the options have it.
    """
    value, resource = object_of(body.value), kind.resource
    try:
        unknown = conformed(kind, value)
    except OtherVersion as error:
        raise bad_request(str(error)) from None
    except SchemaError as error:
        raise bad_request(f"{_unfit(value, resource)}: {error}") from None
    if options.validation == "Ignore" or not (unknown or body.lines or body.written):
        return value
    complaints = complaints_about(body, unknown)
    if options.validation == "Strict":
        texts = [unmarshal_errors(body)] * bool(body.lines) + complaints
        raise bad_request(f"{_unfit(value, resource)}: strict decoding error: {', '.join(texts)}")
    options.warnings.extend(body.lines + complaints)
    return value


def unmarshal_errors(body: Parsed) -> str:
    """What a YAML body has twice, in the words of Go's decoder."""
    return "\n  ".join(("yaml: unmarshal errors:", *body.lines))


def complaints_about(body: Parsed, unknown: list[str]) -> list[str]:
    """What is wrong with the fields of a body, in its order."""
    return body.written.among(unknown) if body.written else [f'unknown field "{path}"' for path in unknown[:MOST]]


def _unfit(value: Object, resource: Resource) -> str:
    version = value["apiVersion"].rpartition("/")[2]
    return f'{value["kind"]} in version "{version}" cannot be handled as a {resource.kind}'


class OtherVersion(SchemaError):
    """An object of the right kind came where another version of it is spoken."""


def conformed(kind: Kind, value: Object) -> list[str]:
    """Give an object the types of its kind, in place; the unknown fields that it had.  Raises SchemaError."""
    resource = kind.resource
    api_version = value.setdefault("apiVersion", resource.api_version)
    name = value.setdefault("kind", resource.kind)
    if (api_version, name) == (resource.api_version, resource.kind):
        return conform(kind.type, value)
    for key in ("apiVersion", "kind"):
        if not isinstance(value[key], str):
            raise bad_request(
                f"couldn't get version/kind; json parse error: json: cannot unmarshal {json_kind(value[key])} into Go"
                f" struct field .{key} of type string"
            )
    if name == resource.kind and (resource.custom or (api_version, name) in _REGISTERED):
        raise OtherVersion(
            f"the API version in the data ({api_version}) does not match the expected API version"
            f" ({resource.api_version})"
        )
    if (api_version, name) in _REGISTERED:
        version = api_version.rpartition("/")[2]
        raise SchemaError(f"converting ({version}.{name}) to (core.{resource.kind}): unknown conversion")
    raise SchemaError(f'no kind "{name}" is registered for version "{api_version}" in scheme "{_SCHEME}"')


def normalise(kind: Kind, value: Object) -> None:
    """Give an object the order in which the API prints it, and its defaults."""
    metadata = value.get("metadata") or {}
    body = {key: item for key, item in value.items() if key not in ("kind", "apiVersion", "metadata")}
    value.clear()
    value["kind"] = kind.resource.kind
    value["apiVersion"] = kind.resource.api_version
    value["metadata"] = metadata
    value.update(body)
    kind.strategy.default(value)


#: upstream's warning; an API server may refuse such objects one day
_OWNERS_TWICE = (
    ".metadata.ownerReferences contains duplicate entries{}; API server dedups owner references in 1.20+, and may"
    " reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}"
)


def dedup_owners(metadata: Object, options: WriteOptions, admitted: bool = False) -> None:
    """Owners that are there twice stay once, with a warning; ``admitted``: that admission, or a patch, has made."""
    owners = metadata.get("ownerReferences") or ()
    if len(owners) < 2:
        return
    once: dict[frozenset[object], Object] = {}
    again: list[str] = []
    for owner in owners:
        if once.setdefault(frozenset(owner.items()), owner) is not owner:
            again.append(owner.get("uid", ""))
    if again:
        when = " after mutating admission happens" if admitted else ""
        options.warnings.append(_OWNERS_TWICE.format(when, ", ".join(again)))
        metadata["ownerReferences"] = list(once.values())


def place(target: Target, metadata: Object) -> None:
    """The namespace of an object is the one in the path."""
    if not target.kind.resource.namespaced:
        metadata.pop("namespace", None)
    elif metadata.setdefault("namespace", target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
