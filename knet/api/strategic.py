"""Strategic merge patch, Kubernetes' own, as a pure function from (document, patch) to a document.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md

In short: maps merge key by key; a list merges if the schema says so, its elements found by the merge key (containers
by name, ports by containerPort), else it is replaced.  Directives steer it:

``$patch: replace | delete``          in a map: take the patch instead, empty it; in a list element: the same for it
``$retainKeys: [a, b]``               drop all other keys of the map first
``$deleteFromPrimitiveList/args``     remove these values from the list ``args``
``$setElementOrder/containers``       the order in which the patched list is to come out

A merged list comes out in the patch's order, with elements that only the document has before those that they stand
before there; so an element that is new goes to the front, as upstream.

A merge key is one field, though two may be what makes an element unique (a port's number and protocol): patching one
of two ports of one number changes the first of them.  Upstream documents this as a trap, and keeps it.
"""

from collections import deque
from typing import Any

import orjson

from knet.api.go_text import spelled
from knet.api.patch import Object, PatchError
from knet.api.schema import ListOf, MapOf, Struct, Type

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE = "$deleteFromPrimitiveList"
_ORDER = "$setElementOrder"

_BAD_ORDER = "invalid patch format of setElementOrder list"


def strategic_merge_patch(document: Object, patch: Any, type_: Type) -> Object:
    """Apply a strategic merge patch to an object of the given type; PatchError where it is malformed.

    Both arguments are used up.
    """
    if not isinstance(patch, dict):
        raise PatchError(f"json: cannot unmarshal {_kind(patch)} into Go value of type map[string]interface {{}}")
    return _merge_map(document, patch, type_)


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "bool", dict: "object"}
    return names.get(type(value), "null" if value is None else "number")


def _merge_map(original: Object, patch: Object, type_: Type | None) -> Object:
    if _PATCH in patch:
        return _directed(patch)
    _retain(original, patch)
    for key in [key for key in patch if key.startswith(_ORDER)]:
        _merge_in_order(original, patch, key, patch.pop(key), type_)
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = _target(key, _DELETE, "invalid patch format of primitive list")
            if isinstance(have := original.get(name), list) and isinstance(value, list):
                gone = {_identity(item, "") for item in value}
                original[name] = [item for item in have if _identity(item, "") not in gone]
        elif value is None:
            original.pop(key, None)
        elif type(original.get(key)) is not type(value) or not isinstance(value, dict | list):
            _put(original, key, value)
        elif isinstance(value, dict):
            replaces = isinstance(type_, Struct) and key in type_.replaced
            original[key] = value if replaces else _merge_map(original[key], value, field_of(type_, key))
        else:
            original[key] = _merge_list(original[key], value, field_of(type_, key), key)
    return original


def _directed(patch: Object) -> Object:
    directive = patch[_PATCH]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _PATCH}
    if directive == "delete":
        return {}
    raise PatchError(f"unknown patch type: {spelled(directive)} in map: {spelled(patch)}")


def field_of(type_: Type | None, key: str) -> Type | None:
    """The type of a field of a map; None where nothing is known of it."""
    if isinstance(type_, Struct):
        return type_.fields.get(key, type_.rest)
    return type_.value if isinstance(type_, MapOf) else None


def _put(original: Object, key: str, value: Any) -> None:
    """There is nothing to merge with: directives and nulls inside have no object and go away."""
    if isinstance(value, dict) and _PATCH in value:
        original.pop(key, None)
    else:
        original[key] = _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _plain(item)
            for key, item in value.items()
            if item is not None and not (isinstance(item, dict) and _PATCH in item) and not _is_directive(key)
        }
    if isinstance(value, list):
        return [_plain(item) for item in value if not (isinstance(item, dict) and _PATCH in item)]
    return value


def _is_directive(key: str) -> bool:
    return key == _RETAIN or key.startswith((f"{_DELETE}/", f"{_ORDER}/"))


def _target(key: str, prefix: str, error: str) -> str:
    """``$setElementOrder/containers`` → ``containers``."""
    head, slash, name = key.partition("/")
    if head != prefix or not slash:
        raise PatchError(error)
    return name


def _retain(original: Object, patch: Object) -> None:
    if _RETAIN not in patch:
        return
    keys = patch.pop(_RETAIN)
    error = PatchError("invalid patch format of retainKeys")
    if not isinstance(keys, list):
        raise error
    for key, value in patch.items():
        if value is not None and key not in keys and not key.startswith((_DELETE, _ORDER)):
            raise error
    for key in [key for key in original if key not in keys]:
        del original[key]


def _go_kind(value: Any) -> str:
    names = {list: "[]interface {}", dict: "map[string]interface {}", str: "string", bool: "bool", int: "int64"}
    return names.get(type(value), "nil" if value is None else "float64")


# ---- lists -----------------------------------------------------------------------------------------------


def _merge_in_order(original: Object, patch: Object, directive: str, order: Any, type_: Type | None) -> None:
    """Carry out ``$setElementOrder/name``, and the patch of that list with it."""
    name = _target(directive, _ORDER, _BAD_ORDER)
    for value in (order, original.get(name, []), patch.get(name, [])):
        if not isinstance(value, list):
            raise PatchError(f"expected a []interface {{}}, but received a {_go_kind(value)}")
    field = field_of(type_, name)
    if not isinstance(field, ListOf):
        owner = getattr(type_, "name", "")
        raise PatchError(f'unable to find api field in struct {owner} for the json field "{name}"')
    given, live = patch.pop(name, None), original.get(name)
    _check_order(given or [], order, field.merge_key)
    if given is None and live is None:
        return
    if given is None:
        merged = list(live or [])
    elif live is None:
        merged = _plain(given)
    else:
        merged = _merge_list(list(live), given, field, name)
    _same_kind([*(live or []), *(given or [])])
    original[name] = _arranged(merged, order, live or [], field.merge_key)


def _check_order(patch: list[Any], order: list[Any], merge_key: str) -> None:
    """The elements of the patch are among those of the order, and come in that order."""
    if not patch or not order:
        return
    rest = iter([_identity(item, merge_key) for item in order])
    for item in patch:
        if merge_key and isinstance(item, dict) and _PATCH in item:
            continue
        if _identity(item, merge_key) not in rest:
            raise PatchError(
                f"The order in patch list:\n{spelled(patch)}\n doesn't match {_ORDER} list:\n{spelled(order)}\n"
            )


def _identity(item: Any, merge_key: str) -> Any:
    """What an element is known by: itself, or its merge key; PatchError if it has none."""
    if not merge_key:
        return orjson.dumps(item, option=orjson.OPT_SORT_KEYS) if isinstance(item, dict | list) else item
    if not isinstance(item, dict):
        raise PatchError(f"expected a map[string]interface {{}}, but received a {_go_kind(item)}")
    if merge_key not in item:
        raise PatchError(f"map: {spelled(item)} does not contain declared merge key: {merge_key}")
    return _identity(item[merge_key], "")


def _merge_list(original: list[Any], patch: list[Any], field: Type | None, name: str) -> list[Any]:
    if not isinstance(field, ListOf) or not field.merges:
        return patch
    if not original and not patch:
        return original
    if not _same_kind([*original, *patch]):
        return _arranged(list(dict.fromkeys([*original, *patch])), patch, original, "")
    if not field.merge_key:
        raise PatchError(f"cannot merge lists without merge key for {name}")
    original, patch = _special(original, patch, field.merge_key)
    merged = list(original)
    places: dict[Any, int] = {}
    for place, item in enumerate(merged):
        if field.merge_key in item:
            places.setdefault(_identity(item, field.merge_key), place)
    for item in patch:
        place = places.setdefault(_identity(item, field.merge_key), len(merged))
        if place == len(merged):
            merged.append(_plain(item))
        else:
            merged[place] = _merge_map(merged[place], item, field.item)
    return _arranged(merged, patch, original, field.merge_key)


def _same_kind(items: list[Any]) -> bool:
    """Whether the elements are maps; PatchError where some are and some are not."""
    kinds = {_go_kind(item) for item in items}
    if "[]interface {}" in kinds:
        raise PatchError("lists of lists are not supported", "Invalid")
    if len(kinds) > 1:
        raise PatchError(f"list element types are not identical: {spelled([items])}")
    return "map[string]interface {}" in kinds


def _special(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the elements that are directives; what remains of both lists."""
    plain, replace, gone = [], False, set()
    for item in patch:
        directive = item.get(_PATCH)
        if _PATCH not in item:
            plain.append(item)
        elif directive == "delete":
            gone.add(_identity(item, merge_key))
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise PatchError("merging lists cannot yet be specified in the patch")
        else:
            raise PatchError(f"unknown patch type: {spelled(directive)} in map: {spelled(item)}")
    if replace:
        return [_plain(item) for item in plain], []  # as they are, even two of one key: a Node's addresses
    return [item for item in original if merge_key not in item or _identity(item, merge_key) not in gone], plain


def _arranged(merged: list[Any], order: list[Any], live: list[Any], merge_key: str) -> list[Any]:
    """Elements of ``order`` in that order; each other one goes before the first that it stands before in ``live``.

    >>> _arranged(["a", "b", "c"], ["c", "a"], ["a", "b", "c"], ""), _arranged(["a", "new"], ["new"], ["a"], "")
    (['b', 'c', 'a'], ['new', 'a'])
    """
    wanted, known = _places(order, merge_key), _places(live, merge_key)
    rows = [(_identity(item, merge_key), item) for item in merged]
    named = sorted((row for row in rows if row[0] in wanted), key=lambda row: wanted[row[0]])
    others = deque(sorted((row for row in rows if row[0] not in wanted), key=lambda row: known.get(row[0], len(known))))
    arranged: list[Any] = []
    for key, item in named:
        while others and known.get(others[0][0], len(known)) < known.get(key, -1):
            arranged.append(others.popleft()[1])
        arranged.append(item)
    return arranged + [item for _, item in others]


def _places(items: list[Any], merge_key: str) -> dict[Any, int]:
    places: dict[Any, int] = {}
    for place, item in enumerate(items):
        places.setdefault(_identity(item, merge_key), place)
    return places
