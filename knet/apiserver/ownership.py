"""metadata.managedFields of what is written: which part, by whom, when.  `knet.api.fields` decides what that means.

As upstream, what a request says is owned before admission completes it: volumes that the ServiceAccount plugin adds,
addresses that are allocated, a Pod's node belong to nobody.
"""

from functools import lru_cache

from knet.api.fields import managers
from knet.api.fields.elements import NoElement
from knet.api.fields.managers import Managed, Write
from knet.api.fields.merging import NotTyped, check
from knet.api.schema import Struct
from knet.apiserver.context import now
from knet.apiserver.kind import Kind
from knet.apiserver.options import WriteOptions
from knet.store import Object


@lru_cache(maxsize=4096)
def _reset(kind: Kind, part: str) -> frozenset[tuple[str, ...]]:
    """Paths that a write to the object, or to a part of it, leaves alone."""
    strategy = kind.stored.strategy
    if part != "status" and not (part and strategy.parts[part].of_status):
        return frozenset([("status",)]) if kind.has_status else frozenset()
    others = kind.type.fields if isinstance(kind.type, Struct) else {}
    return frozenset(
        {(name,) for name in others if name not in ("metadata", "status")}
        | {("metadata", name) for name in strategy.status_keeps}
    )


def write_of(kind: Kind, subresource: str, part: str, options: WriteOptions) -> Write:
    """A request as field management sees it."""
    return Write(kind.type, options.writer.manager, kind.resource.api_version, subresource, _reset(kind, part), now())


def put(metadata: Object, managed: Managed) -> None:
    """Write the managers into an object's metadata."""
    if managed:
        metadata["managedFields"] = managers.encode(managed)
    else:
        metadata.pop("managedFields", None)


def track_new(kind: Kind, value: Object, options: WriteOptions) -> None:
    """A new object's managers: whoever creates it, and whom the body names."""
    metadata = value["metadata"]
    if not _typed(kind, value):
        metadata.pop("managedFields", None)
        return
    base = _given(metadata.get("managedFields") or [])
    try:
        put(metadata, managers.created(write_of(kind, "", "", options), value, base))
    except NoElement:
        metadata.pop("managedFields", None)


def track_change(kind: Kind, subresource: str, part: str, value: Object, old: Object, options: WriteOptions) -> None:
    """The managers after a change of an object, in the form of the request.

    managedFields in the body are taken over, so that people can mend them; ``[]`` and ``[{}]`` end the tracking.
    """
    metadata, present = value["metadata"], old["metadata"].get("managedFields", [])
    given = present if subresource else metadata.get("managedFields", present)
    if given in ([], [{}]) or not _typed(kind, value):
        metadata.pop("managedFields", None)
        return
    before = managers.decode(present) if given == present else _given(given) or managers.decode(present)
    try:
        after = managers.updated(before, write_of(kind, subresource, part, options), old, value)
    except NoElement:
        after = before
    if after is before and given == present:
        metadata["managedFields"] = present
    else:
        put(metadata, after)


def _typed(kind: Kind, value: Object) -> bool:
    """Whether an object has its schema's types; that a custom one has not is found by validation, which is to come."""
    if not kind.resource.custom:
        return True
    try:
        check(kind.type, value)
    except NotTyped:
        return False
    return True


def _given(entries: list[Object]) -> Managed:
    """The entries of a request body; none if they make no sense, as upstream."""
    try:
        return managers.decode_foreign(entries)
    except managers.BadEntries:
        return {}


def keep_times(metadata: Object, old: Object) -> None:
    """Where nothing but times has changed in managedFields, put back the old ones."""
    now_, before = metadata.get("managedFields"), old.get("managedFields")
    if now_ and before and now_ != before and _timeless(now_) == _timeless(before):
        metadata["managedFields"] = before


def _timeless(entries: list[Object]) -> list[Object]:
    return [{key: item for key, item in row.items() if key != "time"} for row in entries]
