"""pods/binding: the scheduler's decision, which is final."""

import orjson

from knet.api.resources import PODS
from knet.apiserver import field, representation, updating
from knet.apiserver.admission import Request
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call
from knet.apiserver.context import now
from knet.apiserver.decoding import decode
from knet.apiserver.http import Response
from knet.apiserver.options import WriteOptions, write_options
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError, bad_request, invalid
from knet.store import Object


async def create(call: Call) -> Response:
    """POST: put the Pod on the node ``target.name``; 409 if it is on one, or going away."""
    binding, options = await _read(call)
    if (binding.get("metadata") or {}).get("name") != call.target.name:
        raise bad_request("name in URL does not match name in Binding object")
    return await _bind(call, call.target, binding, options)


async def create_legacy(call: Call) -> Response:
    """POST to the collection ``bindings``: the Pod is the one of the Binding's name."""
    binding, options = await _read(call)
    name = binding.get("metadata", {}).get("name", "")
    target = Target(call.context.kinds[PODS], call.target.namespace, name, "binding")
    return await _bind(call, target, binding, options)


async def _read(call: Call) -> tuple[Object, WriteOptions]:
    options = write_options(call.query, "Create", call.writer)
    kind = call.context.auxiliary["Binding"]
    return decode(kind, await parsed_body(call.request, kind.type), options), options


async def _bind(call: Call, target: Target, binding: Object, options: WriteOptions) -> Response:
    body = call.context.auxiliary["Binding"].resource
    await call.context.admission.admit(Request(call.context, target, "CREATE", binding, None, options, body))
    node = _node_of(binding, target.name)
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

    await updating.rewrite(call.context, target, bind, options.dry_run, options.writer)
    done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return representation.answer(orjson.dumps(done), call.form, 201, options.warnings)


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
    elif value["spec"].get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise StatusError(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
            {"name": name, "kind": "pods/binding"},
        )
