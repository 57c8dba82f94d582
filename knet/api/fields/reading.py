"""The fields of an object, and the fields in which two objects differ.

There are two readings.  `applied` is what an apply configuration states: leaves, list elements and map keys, but not
the structs on the way to them.  `compare` also names the structs, lists and maps that appear or go as a whole.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from knet.api.fields.elements import element_of
from knet.api.fields.sets import LEAF, Fields, with_member
from knet.api.schema import OPAQUE, ListOf, MapOf, Scalar, Struct, Type

_ANYTHING = MapOf(OPAQUE)


class Comparison(NamedTuple):
    """The fields that the second object has in addition, with another value, and no longer."""

    added: Fields
    modified: Fields
    removed: Fields


def resolve(type_: Type, value: Any) -> Type:
    """What kind of node a value is: where the schema says nothing, objects are granular, all else is a leaf."""
    return _ANYTHING if type_ is OPAQUE and type(value) is dict else type_


def is_leaf(type_: Type) -> bool:
    """Whether a value of the (resolved) type has one owner as a whole."""
    if type(type_) is Scalar:
        return True
    return type_.list_type == "atomic" if isinstance(type_, ListOf) else bool(getattr(type_, "atomic", True))


def field_type(type_: Type, key: str) -> Type:
    """The type of an object's field."""
    if isinstance(type_, Struct):
        found = type_.fields.get(key, type_.rest)
        return OPAQUE if found is None else found
    return type_.value if isinstance(type_, MapOf) else OPAQUE


def blank(type_: Type) -> dict[str, Any]:
    """What an object of a kind holds before anybody sets a field (`Struct.always`)."""
    return _blank(type_) if isinstance(type_, Struct) else {}


@lru_cache(maxsize=1024)
def _blank(type_: Struct) -> dict[str, Any]:
    return {
        name: [] if isinstance(field := type_.fields[name], ListOf) else blank(field) for name in sorted(type_.always)
    }


def whole(type_: Type, value: Any) -> Fields:
    """The node of a value that is there as a whole: all its leaves, and all there is above them."""
    if not value:
        return LEAF
    if isinstance(type_, Struct):
        if type_.atomic:
            return LEAF
        node: Fields = {".": LEAF}
        fields, rest = type_.fields, type_.rest
        for key, item in value.items():
            field = fields.get(key, rest)
            if (type(field) is Scalar and field is not OPAQUE) or field is None:
                node[f"f:{key}"] = LEAF
            else:
                node[f"f:{key}"] = whole(field, item)
        return node
    if isinstance(type_, MapOf):
        if type_.atomic:
            return LEAF
        return {".": LEAF, **{f"f:{key}": whole(type_.value, item) for key, item in value.items()}}
    if isinstance(type_, ListOf):
        if type_.list_type == "atomic":
            return LEAF
        node = {".": LEAF}
        for item in value:
            element = element_of(type_, item)
            # elements that are there twice are owned together
            node[element] = LEAF if element in node else whole(type_.item, item)
        return node
    return whole(_ANYTHING, value) if type_ is OPAQUE and type(value) is dict else LEAF


def applied(type_: Type, value: Any) -> Fields | None:
    """The node of a value in an apply configuration; None if it states nothing."""
    type_ = resolve(type_, value)
    if is_leaf(type_):
        return LEAF
    if not value:
        return None
    node: Fields = {}
    if isinstance(type_, ListOf):
        for item in value:
            element = element_of(type_, item)
            node[element] = LEAF if element in node else with_member(applied(type_.item, item) or LEAF)
        return node
    declared = type_.fields if isinstance(type_, Struct) else {}
    for key, item in value.items():
        below = applied(field_type(type_, key), item)
        if item is None or item == {} or key not in declared:
            node[f"f:{key}"] = with_member(below or LEAF)
        elif below is not None:
            node[f"f:{key}"] = below
    return node or None


def compare(type_: Type, old: Any, new: Any) -> Comparison:
    """Where two objects of a type differ.  Raises NoElement for a list element that has nothing to be known by."""
    found = Comparison({}, {}, {})
    _objects(type_, old, new, found)
    return found


def _objects(type_: Type, old: dict[str, Any], new: dict[str, Any], found: Comparison) -> None:
    for key, item in new.items():
        if key not in old:
            found.added[f"f:{key}"] = whole(field_type(type_, key), item)
        elif old[key] != item:
            _values(field_type(type_, key), f"f:{key}", old[key], item, found)
    for key, item in old.items():
        if key not in new:
            found.removed[f"f:{key}"] = whole(field_type(type_, key), item)


def _values(type_: Type, element: str, old: Any, new: Any, found: Comparison) -> None:
    """Two values that differ."""
    before, after = resolve(type_, old), resolve(type_, new)
    if is_leaf(before) or is_leaf(after) or not (old or new):
        found.modified[element] = LEAF
        return
    inner = Comparison({}, {}, {})
    if isinstance(after, ListOf):
        _lists(after, old or [], new or [], inner)
    else:
        _objects(after, old or {}, new or {}, inner)
    for outer, fields in zip(found, inner, strict=True):
        if fields:
            outer[element] = fields


def _lists(type_: ListOf, old: list[Any], new: list[Any], found: Comparison) -> None:
    before, after = _indexed(type_, old), _indexed(type_, new)
    for element, items in after.items():
        others = before.get(element, [])
        if items == others:
            continue
        if len(items) == 1 and len(others) == 1:
            _values(type_.item, element, others[0], items[0], found)
        elif len(items) > 1 and len(others) > 1:
            found.modified[element] = LEAF
        else:
            if others:
                found.removed[element] = _elements(type_, others)
            found.added[element] = _elements(type_, items)
    for element, items in before.items():
        if element not in after:
            found.removed[element] = _elements(type_, items)


def _elements(type_: ListOf, items: list[Any]) -> Fields:
    return whole(type_.item, items[0]) if len(items) == 1 else LEAF


def _indexed(type_: ListOf, items: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(element_of(type_, item), []).append(item)
    return found
