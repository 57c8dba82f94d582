"""scale: the number of replicas of any kind that has some, in the form that every autoscaler understands."""

from collections.abc import Sequence
from typing import Any

from knet.apiserver import applying, field, representation, updating
from knet.apiserver.body import parsed_apply, parsed_body
from knet.apiserver.call import Call
from knet.apiserver.decoding import decode
from knet.apiserver.http import Response
from knet.apiserver.kind import ScalePaths
from knet.apiserver.options import WriteOptions, flag, write_options
from knet.apiserver.patching import APPLY_PATCH, media_of, read_patch
from knet.apiserver.reads import find
from knet.apiserver.status import invalid
from knet.apiserver.tables.column import at, format_selector
from knet.store import Object


def scale_of(value: Object, paths: ScalePaths) -> Object:
    """The ``autoscaling/v1`` Scale of an object with replicas."""
    metadata = value["metadata"]
    keys = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": at(paths.current, 0)(value)}
    if selector := _selector(at(paths.selector)(value)):
        status["selector"] = selector
    replicas = at(paths.replicas, 0)(value)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in keys if key in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _selector(found: Any) -> str:
    """Text as it is, a LabelSelector or a plain map of labels (a ReplicationController's) as text."""
    if not isinstance(found, dict):
        return str(found)
    if isinstance(next(iter(found.values()), {}), str):
        found = {"matchLabels": found}
    return format_selector(found) if found.get("matchLabels") or found.get("matchExpressions") else ""


def _put(value: Object, path: str, item: Any) -> None:
    """Set a field by its path; what is missing on the way is made."""
    *parents, last = path.split(".")
    for key in parents:
        if not isinstance(value.get(key), dict):
            value[key] = {}
        value = value[key]
    value[last] = item


def _paths(call: Call) -> ScalePaths:
    return call.target.kind.strategy.scale


def _view(call: Call) -> updating.View:
    """Admission is asked about the Scale."""
    paths = _paths(call)

    def take(value: Object, scale: Object) -> None:
        _put(value, paths.replicas, (scale.get("spec") or {}).get("replicas", 0))

    return updating.View(call.context.auxiliary["Scale"].resource, lambda value: scale_of(value, paths), take)


async def get(call: Call) -> Response:
    """GET."""
    return _answer(call, find(call.context, call.target).decode())


def _answer(call: Call, value: Object, warnings: Sequence[str] = ()) -> Response:
    record = representation.unstored(scale_of(call.target.kind.from_stored(value), _paths(call)))
    include = call.query.get("includeObject", "")
    data = representation.object_bytes(call.context.auxiliary["Scale"], record, call.form, include)
    return representation.answer(data, call.form, warnings=warnings)


async def update(call: Call) -> Response:
    """PUT."""
    options = write_options(call.query, "Update", call.writer)
    kind = call.context.auxiliary["Scale"]
    wanted = decode(kind, await parsed_body(call.request, kind.type), options)
    uid = updating.check_place(wanted, call.target).get("uid")
    return await _rescale(call, wanted, options, uid)


async def patch(call: Call) -> Response:
    """PATCH, of the Scale and not of the object behind it."""
    if media_of(call.request) == APPLY_PATCH:
        return await _apply(call)
    options = write_options(call.query, "Patch", call.writer)
    kind = call.context.auxiliary["Scale"]
    patcher = await read_patch(call.request, kind.type)
    present = call.target.kind.from_stored(find(call.context, call.target).decode())
    wanted = patcher.decoded(kind, scale_of(present, _paths(call)), options, call.target)
    if not patcher.conditional:
        wanted["metadata"].pop("resourceVersion", None)
    return await _rescale(call, wanted, options)


async def _apply(call: Call) -> Response:
    """An applied Scale is an applied number of replicas of the object behind it."""
    options = write_options(call.query, "Patch", call.writer, apply=True)
    parsed = await parsed_apply(call.request)
    scale = applying.check_configuration(call.context.auxiliary["Scale"], parsed.value)
    applying.warn_of_repeated(parsed, options)
    target = call.target
    value: Object = {"apiVersion": target.kind.resource.api_version, "kind": target.kind.resource.kind, "metadata": {}}
    if revision := scale["metadata"].get("resourceVersion"):
        value["metadata"]["resourceVersion"] = revision
    if "replicas" in (scale.get("spec") or {}):
        _put(value, _paths(call).replicas, scale["spec"]["replicas"])
    configuration = applying.Configuration(target, value, "", options, flag(call.query, "force"))
    record = await updating.modify(
        call.context, target, configuration, options, "", configuration.conditional, tracked=True, view=_view(call)
    )
    return _answer(call, record.decode(), options.warnings)


async def _rescale(call: Call, wanted: Object, options: WriteOptions, uid: str | None = None) -> Response:
    replicas = wanted.get("spec", {}).get("replicas", 0)
    if replicas < 0:
        error = field.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", call.target.name, [error])
    revision = wanted.get("metadata", {}).get("resourceVersion", "")

    def change(value: Object) -> Object:
        _put(value, _paths(call).replicas, replicas)
        if revision:
            value["metadata"]["resourceVersion"] = revision
        return value

    record = await updating.modify(
        call.context, call.target, change, options, conditional=bool(revision), uid=uid, view=_view(call)
    )
    return _answer(call, record.decode(), options.warnings)
