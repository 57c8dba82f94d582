"""From a body to an object that has the right types, the right place and its defaults."""

from dataclasses import dataclass
from typing import Any

from knet.api.schema import SchemaError, conform
from knet.apiserver.body import object_of
from knet.apiserver.kind import Kind
from knet.apiserver.routes import Target
from knet.apiserver.status import bad_request
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


@dataclass(frozen=True, slots=True)
class Decoded:
    """A body that has the right types, and the warnings that its reader deserves."""

    value: Object
    warnings: list[str]


def decode(kind: Kind, value: Any, validation: str) -> Decoded:
    """Check the types of a body; unknown fields are dropped, reported or refused (StatusError 400)."""
    value = object_of(value)
    resource = kind.resource
    given = value.setdefault("apiVersion", resource.api_version), value.setdefault("kind", resource.kind)
    if given != (resource.api_version, resource.kind):
        if given[1] == resource.kind:
            raise bad_request(
                f"the API version in the data ({given[0]}) does not match the expected API version"
                f" ({resource.api_version})"
            )
        raise bad_request(
            f'{given[1]} in version "{resource.version}" cannot be handled as a {resource.kind}: no kind "{given[1]}"'
            f' is registered for version "{given[0]}"'
        )
    unfit = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
    try:
        unknown = conform(kind.type, value)
    except SchemaError as error:
        raise bad_request(f"{unfit}: {error}") from None
    if unknown and validation == "Strict":
        fields = ", ".join(f'unknown field "{name}"' for name in unknown)
        raise bad_request(f"{unfit}: strict decoding error: {fields}")
    return Decoded(value, [f'unknown field "{name}"' for name in unknown] if validation == "Warn" else [])


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


def place(target: Target, metadata: Object) -> None:
    """The namespace of an object is the one in the path."""
    if not target.kind.resource.namespaced:
        metadata.pop("namespace", None)
    elif metadata.setdefault("namespace", target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
