"""certificatesigningrequests/approval: whether a request may be signed, said by conditions of its status.

https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#approval-rejection
"""

from knet.apiserver import representation
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call
from knet.apiserver.decoding import decode
from knet.apiserver.http import Response
from knet.apiserver.options import WriteOptions, write_options
from knet.apiserver.patching import read_patch
from knet.apiserver.reads import find
from knet.apiserver.updating import modify
from knet.store import Object

_DECISIONS = ("Approved", "Denied")


async def update(call: Call) -> Response:
    """PUT."""
    options = write_options(call.query, "Update", call.writer)
    kind = call.target.kind
    wanted = decode(kind, await parsed_body(call.request, kind.type), options)
    return await _decide(call, wanted, options)


async def patch(call: Call) -> Response:
    """PATCH."""
    options = write_options(call.query, "Patch", call.writer)
    kind = call.target.kind
    patcher = await read_patch(call.request, kind.type)
    wanted = patcher.decoded(kind, find(call.context, call.target).decode(), options)
    if not patcher.conditional:
        wanted["metadata"].pop("resourceVersion", None)
    return await _decide(call, wanted, options)


async def _decide(call: Call, wanted: Object, options: WriteOptions) -> Response:
    """Only the conditions that decide are taken over; those of the signer stay as they are."""

    def change(value: Object) -> Object:
        status = value.setdefault("status", {})
        others = [row for row in status.get("conditions", ()) if row.get("type") not in _DECISIONS]
        given = wanted.get("status", {}).get("conditions", ())
        status["conditions"] = [row for row in given if row.get("type") in _DECISIONS] + others
        value["metadata"]["resourceVersion"] = wanted.get("metadata", {}).get("resourceVersion", "")
        return value

    record = await modify(call.context, call.target, change, options, "status")
    return representation.written(call, record, 200, options.warnings)
