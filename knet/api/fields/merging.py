"""Laying an applied configuration over an object, and taking fields out of one."""

import json
from typing import Any

from knet.api.fields.elements import NoElement, display, element_of
from knet.api.fields.reading import field_type, is_leaf, resolve
from knet.api.fields.sets import Fields
from knet.api.go_text import spelled
from knet.api.schema import OPAQUE, QUANTITY, TIME, ListOf, MapOf, Scalar, Struct, Type

_ABSENT: Any = object()


class NotTyped(ValueError):
    """A configuration does not have its kind's schema; the message is upstream's, one line per error."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(errors[0] if len(errors) == 1 else "\n  ".join(("errors:", *errors)))


def check(type_: Type, value: Any) -> None:
    """Whether a configuration can be applied: no unknown fields, no wrong types, no element twice.  Raises NotTyped."""
    errors: list[str] = []
    _check(type_, value, "", errors)
    if errors:
        raise NotTyped(errors)


def _check(type_: Type, value: Any, path: str, errors: list[str]) -> None:
    prefix = f"{path}: " if path else ""
    if value is None or type_ is OPAQUE:
        return
    if isinstance(type_, Scalar):
        if wrong := _scalar(type_, value):
            errors.append(prefix + wrong)
    elif isinstance(type_, ListOf):
        if type(value) is not list:
            errors.append(f"{prefix}expected list, got {_go(value)}")
            return
        _check_elements(type_, value, path, errors)
    elif type(value) is not dict:
        errors.append(f"{prefix}expected map, got {_go(value)}")
    else:
        for key, item in value.items():
            here = f"{path}.{key}"
            if isinstance(type_, Struct) and key not in type_.fields and type_.rest is None:
                errors.append(f"{here}: field not declared in schema")
            else:
                _check(field_type(type_, key), item, here, errors)


def _check_elements(type_: ListOf, items: list[Any], path: str, errors: list[str]) -> None:
    seen = set()
    for index, item in enumerate(items):
        if type_.list_type == "atomic":
            _check(type_.item, item, f"{path}[{index}]", errors)
            continue
        try:
            element = element_of(type_, item)
        except NoElement as error:
            errors.append(f"{path}: element {index}: {error}")
            return
        if element in seen:
            errors.append(f"{path}: duplicate entries for key {display((element,))}")
        seen.add(element)
        _check(type_.item, item, path + display((element,)), errors)


_WANTED = {
    "string": ("string", (str,)),
    "[]uint8": ("string", (str,)),
    "bool": ("boolean", (bool,)),
    "int32": ("numeric (int or float)", (int, float)),
    "int64": ("numeric (int or float)", (int, float)),
    "float64": ("numeric (int or float)", (int, float)),
}


def _scalar(type_: Scalar, value: Any) -> str:
    """What is wrong with the type of a leaf, as structured-merge-diff sees types, or ""."""
    wanted, types = _WANTED.get(type_.go_type, ("any scalar", (str, bool, int, float)))
    if type(value) in types:
        return ""
    if type_ is TIME or (type_ is QUANTITY and isinstance(value, str)):
        return "" if isinstance(value, str) else f"expected string, got {_go(value)}"
    return f"expected {wanted}, got {_go_type(value) if wanted.startswith('numeric') else _go(value)}"


def _go_type(value: Any) -> str:
    return {str: "string", bool: "bool", list: "[]interface {}"}.get(type(value), "map[string]interface {}")


def _go(value: Any) -> str:
    """As Go prints its wrapper of a value."""
    return f"&{{{spelled(value) if isinstance(value, dict | list) else json.dumps(value)}}}"


def merge(type_: Type, live: Any, config: Any) -> Any:
    """The live value with the configuration laid over it; may share parts of both.

    Leaves are the configuration's.  A list comes out in its order, with what only the live object has kept near to
    its neighbours.
    """
    if config is _ABSENT or live is _ABSENT:
        return live if config is _ABSENT else config
    before, type_ = resolve(type_, live), resolve(type_, config)
    if is_leaf(type_) or (is_leaf(before) and live is not None) or not (live or config):
        return config
    if isinstance(type_, ListOf):
        return _merge_lists(type_, live or [], config or [])
    merged = dict(live or {})
    for key, item in (config or {}).items():
        merged[key] = merge(field_type(type_, key), merged.get(key, _ABSENT), item)
    return merged


def _merge_lists(type_: ListOf, live: list[Any], config: list[Any]) -> list[Any]:
    """Both lists zipped: configured elements in their order; a live-only one goes where its turn comes."""
    present: dict[str, Any] = {}
    names = []
    for item in live:
        element = element_of(type_, item)
        names.append(element)
        # of elements that are there twice, the configuration replaces all
        present[element] = _ABSENT if element in present else item
    wanted = {element_of(type_, item): item for item in config}
    shared = [element for element in wanted if element in present]
    merged: list[Any] = []
    done: set[str] = set()

    def take(element: str) -> None:
        done.add(element)
        merged.append(merge(type_.item, present.get(element, _ABSENT), wanted[element]))
        if shared and shared[0] == element:
            shared.pop(0)

    left, right, order = 0, 0, list(wanted)
    while left < len(names) or right < len(order):
        if left < len(names):
            element = names[left]
            if element not in wanted:
                merged.append(live[left])
                left += 1
                continue
            if element in done or (right < len(order) and element != order[right] and shared and shared[0] != element):
                left += 1
                continue
            if right < len(order) and element == order[right]:
                left += 1
        if right < len(order):
            take(order[right])
            right += 1
    return merged


def remove(type_: Type, value: Any, fields: Fields) -> Any:
    """The value without these fields; a list or map that loses all it had is None.

    Fields below one that has a single owner as a whole cannot be taken out one by one: the whole goes.
    """
    type_ = resolve(type_, value)
    if type(type_) is Scalar:
        return value
    if is_leaf(type_) or not value:
        return None
    if isinstance(type_, ListOf):
        kept: Any = []
        for item in value:
            node = fields.get(element_of(type_, item))
            if node is None:
                kept.append(item)
            elif node and "." not in node:
                kept.append(remove(type_.item, item, node))
        return kept or None
    assert isinstance(type_, Struct | MapOf)
    kept = {}
    for key, item in value.items():
        node = fields.get(f"f:{key}")
        if node is None:
            kept[key] = item
        elif node and "." not in node:
            kept[key] = remove(field_type(type_, key), item, node)
    return kept or None
