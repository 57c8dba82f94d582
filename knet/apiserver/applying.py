"""Server-side apply: a PATCH that says what its sender wants to own, of an object that need not be there yet.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from typing import Any

import orjson

from knet.api.fields import managers
from knet.api.fields.client_side import apply_as_kubectl
from knet.api.fields.elements import NoElement
from knet.api.fields.merging import NotTyped, check
from knet.apiserver import creating, ownership, representation, updating
from knet.apiserver.body import Parsed, parsed_apply
from knet.apiserver.call import Call
from knet.apiserver.decoding import decode, unmarshal_errors
from knet.apiserver.http import Response
from knet.apiserver.kind import Kind
from knet.apiserver.options import WriteOptions, flag, write_options
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError, bad_request, conflict
from knet.store import Object


async def apply(call: Call, part: str = "") -> Response:
    """PATCH of type apply of an object or of a part of it; 201 where it was made."""
    options = write_options(call.query, "Patch", call.writer, apply=True)
    parsed = await parsed_apply(call.request)
    target = call.target
    configuration = Configuration(target, parsed.value, part, options, flag(call.query, "force"))
    warn_of_repeated(parsed, options)
    for _ in range(creating.ATTEMPTS):
        if part or call.context.store.get(target.kind.key(target.namespace, target.name)) is not None:
            record = await updating.modify(
                call.context, target, configuration, options, part, configuration.conditional, tracked=True
            )
            return representation.written(call, record, 200, options.warnings)
        try:
            value = _new(target, configuration)
            creating.authorize_create(call)
            record = await creating.create_object(call.context, target, value, options, tracked=True)
            return representation.written(call, record, 201, options.warnings)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
    raise conflict(target.kind.resource, target.name, "the object appears and disappears")


def _new(target: Target, configuration: "Configuration") -> Object:
    """The object to create from a configuration; StatusError 400 for another name, 409 for a uid."""
    value = configuration({})
    if uid := value["metadata"].get("uid"):
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(target.kind.resource, target.name, why)
    return value


class Configuration:
    """An applied configuration, to be laid over an object as often as it takes."""

    def __init__(self, target: Target, value: Any, part: str, options: WriteOptions, force: bool) -> None:
        """Check that it can be applied at all; StatusError 400."""
        self._target = target
        self._value = value = check_configuration(target.kind, value)
        self._force = force
        self._write = ownership.write_of(target.kind, target.subresource, part, options)
        #: it names the revision it is meant for
        self.conditional = bool(value["metadata"].get("resourceVersion"))

    def __call__(self, live: Object) -> Object:
        """The object with the configuration laid over it, managedFields and all; StatusError 400, 409."""
        managed = managers.decode((live.get("metadata") or {}).get("managedFields", ()))
        try:
            merged = apply_as_kubectl(managed, self._write, live, self._value, self._force)
        except managers.Conflicts as conflicts:
            raise _conflict(conflicts) from None
        except NoElement as error:
            raise bad_request(f"failed to merge config: {error}") from None
        # a copy, because what is shared with the configuration is changed by what follows
        value = decode(self._target.kind, Parsed(orjson.loads(orjson.dumps(merged.value))), _IGNORING)
        ownership.put(updating.check_place(value, self._target), merged.managed)
        return value


#: what is applied is known to have no unknown fields
_IGNORING = WriteOptions(validation="Ignore")


def warn_of_repeated(parsed: Parsed, options: WriteOptions) -> None:
    """Warn of keys that are there twice, or refuse them with StatusError 400, as the options have it."""
    if parsed.lines and options.validation == "Strict":
        raise bad_request("error strict decoding patch: error converting YAML to JSON: " + unmarshal_errors(parsed))
    if options.validation == "Warn":
        options.warnings.extend(parsed.lines)


def check_configuration(kind: Kind, value: Any) -> Object:
    """The configuration, which says of which kind it is, and has that kind's schema; StatusError 400."""
    resource = kind.resource
    if not isinstance(value, dict) or not isinstance(value.get("metadata", {}), dict | None):
        raise bad_request("error decoding patch: the configuration is not an object with metadata")
    given = str(value.get("apiVersion") or ""), str(value.get("kind") or "")
    if given != (resource.api_version, resource.kind):
        raise bad_request(f"invalid object type: {_type_name(*given)}")
    metadata = value["metadata"] = value.get("metadata") or {}
    if metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    try:
        check(kind.type, value)
    except NotTyped as error:
        named = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}"
        raise bad_request(f"failed to create typed patch object ({named}; {_type_name(*given)}): {error}") from None
    return value


def _type_name(api_version: str, kind: str) -> str:
    """A group, version and kind as Go prints them: ``apps/v1, Kind=Deployment``, ``/v1, Kind=Pod``."""
    return f"{api_version if '/' in api_version else '/' + api_version}, Kind={kind}"


def _conflict(conflicts: managers.Conflicts) -> StatusError:
    causes = [
        {"reason": "FieldManagerConflict", "message": message, "field": path} for message, path in conflicts.causes
    ]
    return StatusError(409, "Conflict", str(conflicts), {"causes": causes})
