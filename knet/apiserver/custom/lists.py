"""Lists that are sets or maps: no element twice, no key twice (pkg/apiserver/schema/listtype)."""

from collections.abc import Iterator
from typing import Any

from knet.api.structural import JSONSchema
from knet.apiserver import field
from knet.apiserver.custom.values import shown
from knet.apiserver.custom.walking import Check, descend, frozen
from knet.apiserver.field import Errors


def compile_lists(schema: JSONSchema) -> Check | None:
    """The check of all lists below a schema; None where there are only ordinary ones."""
    return descend(schema, _own)


def _own(schema: JSONSchema) -> Iterator[Check]:
    kind = schema.get("x-kubernetes-list-type")
    names = schema.get("x-kubernetes-list-map-keys") or ()
    if kind not in ("set", "map"):
        return

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if not isinstance(value, list):
            return
        seen: dict[str, int] = {}
        for index, item in enumerate(value):
            if kind == "map" and not isinstance(item, dict):
                must = "must be an object for an array of list-type map"
                errors.append(field.invalid(f"{path}[{index}]", shown(item), must))
                return
            key = {name: item[name] for name in names if name in item} if kind == "map" else item
            known = frozen(key)
            seen[known] = seen.get(known, 0) + 1
            if seen[known] == 2:
                errors.append(field.duplicate(f"{path}[{index}]", shown(key)))

    yield check
