"""Resources that are not stored but computed when they are read: how they are selected and answered."""

from collections.abc import Sequence

import orjson

from knet.apiserver import representation
from knet.apiserver.call import Call
from knet.apiserver.http import Response
from knet.apiserver.list_options import list_options
from knet.apiserver.status import method_not_allowed
from knet.store import Attributes, Object, Record


def record_of(value: Object) -> Record:
    """An object as selectors see it."""
    metadata = value["metadata"]
    fields = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
    return Record("", 0, orjson.dumps(value), Attributes(metadata.get("labels", {}), fields))


def answer_list(call: Call, values: Sequence[Object], metadata: Object) -> Response:
    """A list of what is selected; ``metadata`` is the list's.  StatusError 405 for a watch: nobody tells of changes."""
    options = list_options(call.query, call.target.kind)
    if options.watch:
        raise method_not_allowed()
    records = [record for record in map(record_of, values) if options.selection.matches(record)]
    data = representation.list_bytes(call.target.kind, records, metadata, call.form, call.include_object)
    return representation.answer(data, call.form)


def answer_one(call: Call, value: Object) -> Response:
    """One object."""
    data = representation.object_bytes(call.target.kind, record_of(value), call.form, call.include_object)
    return representation.answer(data, call.form)
