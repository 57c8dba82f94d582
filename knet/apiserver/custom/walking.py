"""A value, its schema and its old value, gone through together: what values, lists, embedded objects and rules share.

An update need not mend what was wrong before: what is said about an unchanged part of the object is dropped
(KEP-4008).  For that, every check is given the old value that belongs to the new one, or ABSENT where none does:
elements of a list belong together if the list is a map and their keys are equal, or not at all.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from knet.api.structural import JSONSchema
from knet.apiserver.field import Errors

#: no old value: an object is being created, this part of it is new, or nobody can tell which one it was
ABSENT: Any = object()

#: (value, old or ABSENT, path, errors): appends what is wrong
Check = Callable[[Any, Any, str, Errors], None]


def frozen(value: Any) -> str:
    """Equal for equal JSON values, different for 1 and true."""
    return json.dumps(value, sort_keys=True)


def unless_unchanged(check: Check) -> Check:
    """A check whose complaints about a value that has not changed are dropped."""

    def forgiving(value: Any, old: Any, path: str, errors: Errors) -> None:
        before = len(errors)
        check(value, old, path, errors)
        if len(errors) > before and old is not ABSENT and frozen(value) == frozen(old):
            del errors[before:]

    return forgiving


def all_of(checks: Iterable[Check]) -> Check | None:
    """Several checks as one; None if there are none."""
    known = tuple(checks)
    if len(known) < 2:
        return next(iter(known), None)

    def run(value: Any, old: Any, path: str, errors: Errors) -> None:
        for check in known:
            check(value, old, path, errors)

    return run


def descend(schema: JSONSchema, own: Callable[[JSONSchema], Iterable[Check]], forgive: bool = False) -> Check | None:
    """What ``own`` makes of each schema, from this one down to all below; None where that is nothing.

    Nulls are not looked at: whether one may stand there is the surrounding schema's matter.
    """
    below = (_properties(schema, own, forgive), _values(schema, own, forgive), _items(schema, own, forgive))
    check = all_of((*own(schema), *filter(None, below)))
    if check is None:
        return None
    inner = unless_unchanged(check) if forgive else check

    def run(value: Any, old: Any, path: str, errors: Errors) -> None:
        if value is not None:
            inner(value, old, path, errors)

    return run


def _properties(schema: JSONSchema, own: Callable[[JSONSchema], Iterable[Check]], forgive: bool) -> Check | None:
    properties = (schema.get("properties") or {}).items()
    inner = {key: check for key, item in properties if (check := descend(item, own, forgive))}

    def run(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, dict):
            for key, check in inner.items():
                if key in value:
                    check(value[key], part(old, key), f"{path}.{key}" if path else key, errors)

    return run if inner else None


def _values(schema: JSONSchema, own: Callable[[JSONSchema], Iterable[Check]], forgive: bool) -> Check | None:
    additional = schema.get("additionalProperties")
    check = descend(additional, own, forgive) if isinstance(additional, dict) else None
    if check is None:
        return None

    def run(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                check(item, part(old, key), f"{path}[{key}]", errors)

    return run


def _items(schema: JSONSchema, own: Callable[[JSONSchema], Iterable[Check]], forgive: bool) -> Check | None:
    check = descend(schema["items"], own, forgive) if isinstance(schema.get("items"), dict) else None
    if check is None:
        return None

    def run(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, list):
            olds = Counterparts(schema, old)
            for index, item in enumerate(value):
                check(item, olds.of(item), f"{path}[{index}]", errors)

    return run


def part(old: Any, key: str) -> Any:
    """The old value of a field."""
    return old[key] if isinstance(old, dict) and key in old else ABSENT


class Counterparts:
    """The old elements of a list, to be found by their keys."""

    def __init__(self, schema: JSONSchema, old: Any) -> None:
        self._keys = schema.get("x-kubernetes-list-map-keys") or ()
        self._known: dict[str, Any] = {}
        if self._keys and isinstance(old, list):
            for item in old:
                self._known.setdefault(self._key(item), item)

    def of(self, item: Any) -> Any:
        """The old element for a new one, or ABSENT."""
        return self._known.get(self._key(item), ABSENT) if self._known else ABSENT

    def _key(self, item: Any) -> str:
        return frozen([item.get(key) for key in self._keys]) if isinstance(item, dict) else ""
