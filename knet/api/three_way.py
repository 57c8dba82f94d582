"""The patch of ``kubectl apply``: a manifest's wishes, and the end of what the manifest before it said.

https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/#how-apply-calculates-differences-and-merges-changes

A strategic merge patch (`knet.api.strategic`), or with no type a merge patch.  What others have set stays, in maps and
in lists that merge, unless it is one member of a union of which the manifest names another (``$retainKeys``).  Other
lists are the manifest's as a whole; one is right if its items are, in this order, whatever else (defaults) they have.
"""

from typing import Any

from knet.api.patch import Object
from knet.api.schema import ListOf, Struct, Type
from knet.api.strategic import field_of

#: what is there is as it is wanted
_SAME: Any = object()


def three_way_patch(last: Object, now: Object, live: Object, type_: Type | None) -> Object:
    """What makes ``live`` as ``now`` says, without what only ``last`` says; empty where nothing is to be done."""
    replaced, retained = (type_.replaced, type_.retained) if isinstance(type_, Struct) else ((), ())
    patch: Object = {key: None for key in last if key not in now and key in live}
    for key, wanted in now.items():
        before, there, field = last.get(key), live.get(key), field_of(type_, key)
        found = _SAME if holds(there, wanted) else wanted
        if isinstance(wanted, dict) and isinstance(there, dict) and key not in replaced:
            before = before if isinstance(before, dict) else {}
            found = _member(before, wanted, there, field, key in retained) or _SAME
        elif isinstance(wanted, list) and isinstance(there, list) and isinstance(field, ListOf) and field.merges:
            before = before if isinstance(before, list) else []
            if not field.merge_key:
                gone = [item for item in before if item in there and item not in wanted]
                patch |= {f"$deleteFromPrimitiveList/{key}": gone} if gone else {}
                found = [item for item in wanted if item not in there] or _SAME
            elif all(_distinct(rows, field.merge_key) for rows in (wanted, there)):
                found = _elements(before, wanted, there, field, key in retained) or _SAME
            elif found is not _SAME:
                found = [*wanted, {"$patch": "replace"}]
        if found is not _SAME:
            patch[key] = found
    return patch


def _member(last: Object, now: Object, live: Object, type_: Type | None, retained: bool) -> Object:
    """The patch of a map, which for a union drops those of its members that ``now`` does not name."""
    patch = three_way_patch(last, now, live, type_)
    return {**patch, "$retainKeys": list(now)} if patch and live and retained else patch


def _elements(last: list[Any], now: list[Any], live: list[Any], field: ListOf, retained: bool) -> list[Object]:
    """The patch of a list whose elements a merge finds by a key: each of them, in this order, and those that go."""
    name = field.merge_key
    before, wanted, there = (
        {row[name]: row for row in rows if isinstance(row, dict) and name in row} for rows in (last, now, live)
    )
    patches = {
        key: _member(before.get(key, {}), row, there.get(key, {}), field.item, retained) for key, row in wanted.items()
    }
    gone = [{name: key, "$patch": "delete"} for key in before if key in there and key not in wanted]
    if not gone and not any(patches.values()) and [key for key in there if key in wanted] == list(wanted):
        return []
    return [*({name: key, **patch} for key, patch in patches.items()), *gone]


def _distinct(rows: list[Any], merge_key: str) -> bool:
    """Whether the merge key tells elements apart; a number does not tell ports apart that are UDP's and TCP's."""
    keys = [row.get(merge_key) for row in rows if isinstance(row, dict)]
    return all(isinstance(key, str | int) for key in keys) and len(rows) == len(keys) == len(set(keys))


def holds(live: Any, wanted: Any) -> bool:
    """Whether everything wanted is so, whatever else there is in maps."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(holds(live.get(key), wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(holds, live, wanted))
    return bool(live == wanted)
