"""namespaces/finalize: how the namespace controller says that a namespace is empty."""

from knet.apiserver import representation, updating
from knet.apiserver.admission import Request
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call
from knet.apiserver.decoding import decode
from knet.apiserver.http import Response
from knet.apiserver.options import write_options
from knet.apiserver.reads import find
from knet.apiserver.status import MODIFIED, conflict
from knet.store import Object


async def update(call: Call) -> Response:
    """PUT: spec.finalizers become the given ones; a namespace that is being deleted and has none left, goes."""
    options = write_options(call.query, "Update", call.writer)
    kind = call.target.kind
    wanted = decode(kind, await parsed_body(call.request, kind.type), options)
    metadata = updating.check_place(wanted, call.target)
    revision, uid = metadata.get("resourceVersion", ""), metadata.get("uid", "")

    def finalize(value: Object) -> None:
        if uid and uid != value["metadata"]["uid"]:
            raise updating.other_uid(call.target, uid, value["metadata"]["uid"])
        if revision and revision != value["metadata"]["resourceVersion"]:
            raise conflict(kind.resource, call.target.name, MODIFIED)
        value["spec"] = {**value.get("spec", {}), "finalizers": wanted.get("spec", {}).get("finalizers", [])}

    old = find(call.context, call.target).decode()
    await call.context.admission.admit(Request(call.context, call.target, "UPDATE", wanted, old, options))
    record = await updating.rewrite(call.context, call.target, finalize, options.dry_run, options.writer)
    return representation.written(call, record, 200, options.warnings)
