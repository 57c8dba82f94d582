"""Answers as bytes: objects, lists, Tables and PartialObjectMetadata, from records that are encoded already."""

from collections.abc import Iterable, Iterator, Sequence

import orjson

from knet.apiserver import tables
from knet.apiserver.call import Call
from knet.apiserver.http import Response
from knet.apiserver.kind import Kind
from knet.apiserver.negotiation import Form, encoded
from knet.apiserver.status import not_this_shape
from knet.store import Attributes, Object, Record


def answer(data: bytes, form: Form, status: int = 200, warnings: Sequence[str] = ()) -> Response:
    """An HTTP response; ``warnings`` become Warning headers, which kubectl prints."""
    body, media = encoded(data, form)
    response = Response(body, status, media)
    if warnings:
        response.headers += warned(warnings)
    return response


#: upstream's limits on the characters of all warnings, and on those of one where all would be too much
_WARNED, _WARNED_EACH = 4 * 1024, 256


def warned(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Warning headers, which kubectl prints."""
    return [("Warning", text) for text in _warnings(texts)]


def _warnings(texts: Iterable[str]) -> Iterator[str]:
    """Values of Warning headers, each text once; those with control characters cannot be sent."""
    texts = [text for text in dict.fromkeys(texts) if text.isprintable()]
    if sum(map(len, texts)) > _WARNED:
        texts = [text[:_WARNED_EACH] for text in texts]
    sent = 0
    for text in texts:
        if sent >= _WARNED:
            return
        sent += len(text)
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        yield f'299 - "{escaped}"'


def object_bytes(kind: Kind, record: Record, form: Form, include_object: str = "") -> bytes:
    """One object in the shape asked for."""
    if not form.shape:
        return kind.shown(record)
    if form.shape == "PartialObjectMetadataList":
        raise not_this_shape(f"{form.shape}, but the requested object is not a list ({_go_type(kind)})")
    value = record.decode()
    if form.shape == "Table":
        return orjson.dumps(tables.table(kind, [value], value["metadata"], form.version, include_object))
    return orjson.dumps(partial(value, form.version))


def written(call: Call, record: Record, status: int, warnings: Sequence[str]) -> Response:
    """The answer to a create, update or patch."""
    return answer(object_bytes(call.target.kind, record, call.form), call.form, status, warnings)


def dry_record(value: Object, revision: str) -> Record:
    """What a dry run answers: the object as it would have been stored."""
    if revision:
        value["metadata"]["resourceVersion"] = revision
    else:
        value["metadata"].pop("resourceVersion", None)
    return unstored(value)


def unstored(value: Object) -> Record:
    """An object that is answered without having been written."""
    return Record("", 0, orjson.dumps(value), Attributes({}, {}))


def list_bytes(kind: Kind, records: Sequence[Record], metadata: Object, form: Form, include_object: str = "") -> bytes:
    """A list in the shape asked for; ``metadata`` is the list's."""
    if form.shape == "Table":
        rows = (record.decode() for record in records)
        return orjson.dumps(tables.table(kind, rows, metadata, form.version, include_object))
    if form.shape == "PartialObjectMetadata":
        raise not_this_shape(f"{form.shape}, but the requested object is a list ({_go_type(kind)}List)")
    if form.shape:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{form.version}"}
        items = [orjson.dumps(partial(record.decode(), form.version)) for record in records]
    else:
        head = {"kind": kind.resource.list_kind, "apiVersion": kind.resource.api_version}
        items = [record.data for record in records] if kind.verbatim else [kind.shown(record) for record in records]
    opening = orjson.dumps({**head, "metadata": metadata})[:-1]
    return b'%b,"items":[%b]}' % (opening, b",".join(items))


def _go_type(kind: Kind) -> str:
    """The type that upstream's message names."""
    if kind.is_custom:
        return "*unstructured.Unstructured"
    package = kind.resource.group.partition(".")[0]
    return f"*{'core' if package in ('', 'events') else package}.{kind.resource.kind}"


def partial(value: Object, version: str) -> Object:
    """Only what every object has."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": value["metadata"],
    }
