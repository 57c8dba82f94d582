"""pods/eviction: deletion as ``kubectl drain`` and the taint manager ask for it."""

import orjson

from knet.apiserver import deleting, representation
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call
from knet.apiserver.decoding import decode
from knet.apiserver.http import Response
from knet.apiserver.options import delete_options, write_options
from knet.apiserver.status import bad_request


async def create(call: Call) -> Response:
    """POST of a ``policy/v1`` Eviction; its deleteOptions count as in a DELETE."""
    options = write_options(call.query, "Create", call.writer)
    kind = call.context.auxiliary["Eviction"]
    eviction = decode(kind, await parsed_body(call.request, kind.type), options.validation).value
    name = eviction.get("metadata", {}).get("name", "")
    if name and name != call.target.name:
        raise bad_request("name in URL does not match name in Eviction object: BadRequest")
    wanted = eviction.get("deleteOptions") or {}
    if options.dry_run:
        wanted["dryRun"] = ["All"]
    await deleting.remove(call.context, call.target, delete_options({}, wanted, call.writer))
    done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return representation.answer(orjson.dumps(done), call.form, 201)
