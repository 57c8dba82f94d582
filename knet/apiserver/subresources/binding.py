"""pods/binding: the scheduler's decision, which is final."""

import orjson
from aiohttp import web

from knet.apiserver import field, representation, updating
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call
from knet.apiserver.context import now
from knet.apiserver.decoding import decode
from knet.apiserver.options import write_options
from knet.apiserver.status import StatusError, invalid
from knet.store import Object


async def create(call: Call) -> web.Response:
    """POST: put the Pod on the node ``target.name``; 409 if it is on one, or going away."""
    options = write_options(call.query, "Create", call.writer)
    kind = call.context.auxiliary["Binding"]
    binding = decode(kind, await parsed_body(call.request, kind.type), options.validation).value
    node = _node_of(binding, call.target.name)
    metadata = binding.get("metadata", {})

    def bind(value: Object) -> None:
        _check(value, metadata.get("uid", ""))
        value["spec"]["nodeName"] = node
        if annotations := metadata.get("annotations"):
            value["metadata"]["annotations"] = {**value["metadata"].get("annotations", {}), **annotations}
        status = value.setdefault("status", {})
        others = [row for row in status.get("conditions", ()) if row.get("type") != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
        status["conditions"] = [*others, {key: item for key, item in scheduled.items() if item}]

    await updating.rewrite(call.context, call.target, bind, options.dry_run)
    done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return representation.answer(orjson.dumps(done), call.form, 201)


def _node_of(binding: Object, name: str) -> str:
    target = binding.get("target", {})
    if target.get("kind", "") not in ("", "Node"):
        error = field.not_supported("target.kind", target["kind"], ("Node", "<empty>"))
        raise invalid("", "Binding", name, [error])
    if not target.get("name"):
        raise invalid("", "Binding", name, [field.required("target.name")])
    return str(target["name"])


def _check(value: Object, uid: str) -> None:
    metadata, name = value["metadata"], value["metadata"]["name"]
    why = ""
    if uid and uid != metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata['uid']}"
    elif "deletionTimestamp" in metadata:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif value["spec"].get("nodeName"):
        why = f'pod {name} is already assigned to node "{value["spec"]["nodeName"]}"'
    if why:
        raise StatusError(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
            {"name": name, "kind": "pods/binding"},
        )
