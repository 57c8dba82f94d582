"""``metadata.managedFields``: what each manager owns, and what a write or an apply does to that.

A manager is a name with an operation: what somebody has set by updates and patches is an entry per apiVersion and
subresource, what they have applied one per subresource.  An update takes the fields that it changes away from all
others; an apply states what its manager owns from now on, which conflicts where another manager has another value.

The versions of a kind are taken to have the same fields, as those of custom resources without conversion have.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from knet.api.fields.elements import canonical, display
from knet.api.fields.merging import merge, remove
from knet.api.fields.reading import applied, blank, compare, field_type
from knet.api.fields.sets import LEAF, NOTHING, Fields, difference, intersection, paths, union
from knet.api.schema import Struct, Type

#: upstream's limit on entries of updates; the oldest of more are merged under this name
MAX_UPDATES = 10
ANCIENT = "ancient-changes"
#: owns what was there before an object without managers is applied to
BEFORE_APPLY = "before-first-apply"

UPDATE, APPLY = "Update", "Apply"


class Manager(NamedTuple):
    """Who: an apply's version is not part of it, so it is ""."""

    name: str
    operation: str
    version: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        text = _quoted(self.name)
        if self.subresource:
            text += f" with subresource {_quoted(self.subresource)}"
        return f"{text} using {self.version}" if self.operation == UPDATE else text


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True, slots=True)
class Entry:
    """What they own; ``time`` is RFC 3339 or ""."""

    fields: Fields
    version: str
    time: str = ""


Managed = dict[Manager, Entry]


class BadEntries(ValueError):
    """managedFields cannot be read; the message is upstream's."""


class Conflicts(Exception):
    """An apply would change what others own: (manager, path) each."""

    def __init__(self, rows: list[tuple[Manager, tuple[str, ...]]]) -> None:
        super().__init__(_conflict_message(rows))
        self.rows = rows

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Message and field of each."""
        return [(f"conflict with {manager}", display(path)) for manager, path in self.rows]


def _conflict_message(rows: list[tuple[Manager, tuple[str, ...]]]) -> str:
    if len(rows) == 1:
        manager, path = rows[0]
        return f"Apply failed with 1 conflict: conflict with {manager}: {display(path)}"
    lines = []
    for manager in dict.fromkeys(manager for manager, _ in rows):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {display(path)}" for row, path in rows if row == manager]
    return f"Apply failed with {len(rows)} conflicts: " + "\n".join(lines)


# ---- the wire form ---------------------------------------------------------------------------------------


def decode(entries: Iterable[Mapping[str, Any]]) -> Managed:
    """From the entries of an object that this server wrote; for those of a client, see `decode_foreign`."""
    return {
        Manager(
            row.get("manager", ""),
            row["operation"],
            row["apiVersion"] if row["operation"] == UPDATE else "",
            row.get("subresource", ""),
        ): Entry(row.get("fieldsV1") or NOTHING, row["apiVersion"], row.get("time", ""))
        for row in entries
    }


def decode_foreign(entries: Iterable[Mapping[str, Any]]) -> Managed:
    """From entries that a client has written.  Raises BadEntries."""
    rows = []
    for index, row in enumerate(entries):
        if row.get("operation") not in (UPDATE, APPLY):
            raise BadEntries("operation must be `Apply` or `Update`")
        if not row.get("apiVersion"):
            raise BadEntries("apiVersion must not be empty")
        kind = row.get("fieldsType", "")
        if kind != "FieldsV1":
            what = f"invalid fieldsType {_quoted(kind)}" if kind else "missing fieldsType"
            raise BadEntries(f"{what} in managed fields entry {index}")
        try:
            fields = _canonical(row.get("fieldsV1") or {})
        except ValueError as error:
            raise BadEntries(f"error decoding set: {error}") from None
        rows.append({**row, "fieldsV1": fields})
    return decode(rows)


def _canonical(fields: Any) -> Fields:
    if not isinstance(fields, dict):
        raise ValueError(f"expect an object: {fields}")
    found: Fields = {}
    for element, node in fields.items():
        if element == ".":
            found["."] = LEAF
        elif (name := canonical(element)) is not None:
            found[name] = _canonical(node)
    return found


def encode(managed: Managed) -> list[dict[str, Any]]:
    """To entries, in upstream's order: applies first, then by time."""
    rows = sorted(
        managed.items(), key=lambda row: (row[0].operation, row[1].time, row[0].name, row[1].version, row[0][3])
    )
    return [_encode(manager, entry) for manager, entry in rows]


def _encode(manager: Manager, entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {"manager": manager.name, "operation": manager.operation, "apiVersion": entry.version}
    if entry.time:
        row["time"] = entry.time
    row["fieldsType"] = "FieldsV1"
    row["fieldsV1"] = entry.fields
    if manager.subresource:
        row["subresource"] = manager.subresource
    return row


# ---- what is tracked -------------------------------------------------------------------------------------

#: metadata of which somebody can be the owner; the rest belongs to the server
_OWNABLE = frozenset(
    (
        "annotations",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "labels",
        "ownerReferences",
    )
)


def tracked(value: Mapping[str, Any], reset: frozenset[tuple[str, ...]]) -> dict[str, Any]:
    """The part of an object whose fields have owners; ``reset`` are paths that the operation does not write.

    Paths are of one or two keys: ("status",), ("metadata", "labels").
    """
    part = {key: item for key, item in value.items() if (key,) not in reset}
    part.pop("kind", None)
    part.pop("apiVersion", None)
    part["metadata"] = {
        key: item
        for key, item in (part.get("metadata") or {}).items()
        if key in _OWNABLE and ("metadata", key) not in reset
    }
    return part


@dataclass(frozen=True, slots=True)
class Write:
    """One operation: of whom, in which version, on which part of the object, when."""

    type: Type
    manager: str
    version: str
    subresource: str
    #: paths that the operation does not write
    reset: frozenset[tuple[str, ...]]
    time: str

    def by(self, operation: str, name: str = "") -> Manager:
        """The manager whose entry it is."""
        version = self.version if operation == UPDATE else ""
        return Manager(name or self.manager or "unknown", operation, version, self.subresource)


def created(write: Write, value: Mapping[str, Any], named: Managed | None = None) -> Managed:
    """The managers of a new object: its creator owns all that it sets, beside those it names.  Raises NoElement."""
    part = tracked(value, write.reset)
    if not named and len(text := orjson.dumps(part)) < _REMEMBERED:
        fields = _first(write.type, write.reset, text)  # type: ignore[arg-type]  # a protocol says no __hash__
        return {write.by(UPDATE): Entry(fields, write.version, write.time)} if fields else {}
    return _taken(named or {}, write, _blank(write.type, write.reset), part)


#: bytes; what one template makes differs in its name only, which nobody owns: Pods, Events of one thing, Leases
_REMEMBERED = 8192


@lru_cache(maxsize=1024)
def _first(type_: Type, reset: frozenset[tuple[str, ...]], text: bytes) -> Fields:
    """What the creator of an object owns, of which ``text`` is the tracked part."""
    added, modified, _ = compare(type_, _blank(type_, reset), orjson.loads(text))
    return union(added, modified)


def _blank(type_: Type, reset: frozenset[tuple[str, ...]]) -> dict[str, Any]:
    return {**tracked(blank(type_), reset), "metadata": {}}


def updated(managed: Managed, write: Write, old: Mapping[str, Any], new: Mapping[str, Any]) -> Managed:
    """The managers after an object was changed otherwise than by apply.  Raises NoElement.

    An object that has none is not tracked until it is applied to.
    """
    if not managed:
        return managed
    return _taken(managed, write, tracked(old, write.reset), tracked(new, write.reset))


def _taken(managed: Managed, write: Write, old: Any, new: Any) -> Managed:
    added, modified, removed = compare(write.type, old, new)
    changed = union(added, modified)
    if not changed and not removed:
        return managed
    me = write.by(UPDATE)
    found: Managed = {}
    for manager, entry in managed.items():
        fields = difference(entry.fields, removed)
        if manager != me:
            fields = difference(fields, changed)
        if fields:
            found[manager] = entry if fields is entry.fields else replace(entry, fields=fields)
    if changed:
        mine = found.get(me)
        fields = changed if mine is None else union(mine.fields, changed)
        found[me] = Entry(fields, write.version, write.time)
    return _capped(found) if len(found) > MAX_UPDATES else found


def _capped(managed: Managed) -> Managed:
    """At most `MAX_UPDATES` entries of updates: the oldest of each version are merged until that is so."""
    oldest = sorted(
        (manager for manager in managed if manager.operation == UPDATE),
        key=lambda manager: (managed[manager].time, manager),
    )
    surplus = len(oldest) - MAX_UPDATES
    managed = dict(managed)
    first: dict[str, Manager] = {}
    for manager in oldest:
        if surplus <= 0:
            break
        before = first.setdefault(manager.version, manager)
        if before == manager:
            continue
        bucket = Manager(ANCIENT, UPDATE, manager.version)
        if bucket not in managed:
            managed[bucket] = managed.pop(before)
        entry = managed.pop(manager)
        managed[bucket] = replace(entry, fields=union(entry.fields, managed[bucket].fields))
        surplus -= 1
    return managed


# ---- apply -----------------------------------------------------------------------------------------------


def stated(write: Write, config: Mapping[str, Any]) -> Fields:
    """What the manager of a configuration owns."""
    return difference(applied(write.type, tracked(config, write.reset)) or NOTHING, {"f:metadata": LEAF})


class Merged(NamedTuple):
    """What an apply makes of an object, and who owns it then."""

    value: dict[str, Any]
    managed: Managed


def apply(managed: Managed, write: Write, live: dict[str, Any], config: dict[str, Any], force: bool) -> Merged:
    """Lay a configuration (see `merging.check`) over the live object, ``{}`` for a new one.

    Fields that the manager has applied before and does not apply now are removed, unless somebody else owns them.
    Raises Conflicts unless ``force``.
    """
    if not managed and live:
        managed = _taken(
            {}, replace(write, manager=BEFORE_APPLY), _blank(write.type, write.reset), tracked(live, write.reset)
        )
    me = write.by(APPLY)
    last = managed.get(me)
    mine = stated(write, config)
    everybody = {**managed, me: Entry(mine, write.version, last.time if last else "")}
    value: dict[str, Any] = merge(write.type, live, config)
    if last is not None:
        value = _pruned(write.type, value, everybody, last.fields)
    found = _disowned(everybody, me, write, live, value, force)
    if tracked(live, write.reset) != tracked(value, write.reset) and me in found:
        found[me] = replace(found[me], time=write.time)
    return Merged(value, found)


def _disowned(managed: Managed, me: Manager, write: Write, live: Any, value: Any, force: bool) -> Managed:
    """What is changed is taken from the others; what is removed is nobody's."""
    added, modified, removed = compare(write.type, tracked(live, write.reset), tracked(value, write.reset))
    changed = union(added, modified)
    found: Managed = {}
    conflicts = []
    for manager, entry in sorted(managed.items()):
        fields = entry.fields
        if manager != me:
            conflicts += [(manager, path) for path in paths(intersection(fields, changed))]
            fields = difference(difference(fields, changed), removed)
        if fields:
            found[manager] = entry if fields is entry.fields else replace(entry, fields=fields)
    if conflicts and not force:
        raise Conflicts(conflicts)
    return found


def _pruned(type_: Type, merged: dict[str, Any], managed: Managed, last: Fields) -> dict[str, Any]:
    """The merged object without what was applied last time and is nobody's now."""
    owned: Fields = {"f:metadata": {"f:name": LEAF}}  # the server's, and not to go with the last label
    for entry in managed.values():
        owned = union(owned, entry.fields)
    before = _named(type_, last)
    there = _named(type_, applied(type_, merged) or NOTHING)
    # what goes with the fields removed, children and all, comes back where somebody owns it
    left = _fields_left(type_, merged, before)
    left = _fields_left(type_, merged, difference(there, union(left, _named(type_, owned))))
    # and where it was not this manager's
    value: dict[str, Any] = remove(type_, merged, intersection(difference(there, left), before)) or {}
    return value


def _fields_left(type_: Type, value: dict[str, Any], removed: Fields) -> Fields:
    return _named(type_, applied(type_, remove(type_, value, removed)) or NOTHING)


def _named(type_: Type, fields: Fields) -> Fields:
    """The set and all structs above its members: removing a struct's last field removes the struct."""
    found: Fields = {}
    for element, node in fields.items():
        if not node:
            found[element] = node
            continue
        is_field = element.startswith("f:")
        below = _named(field_type(type_, element[2:]) if is_field else getattr(type_, "item", type_), node)
        if is_field and isinstance(type_, Struct) and element[2:] in type_.fields:
            below = {".": LEAF, **below}
        found[element] = below
    return found
