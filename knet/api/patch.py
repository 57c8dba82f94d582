"""The three patch types of the API, as pure functions from (document, patch) to a document.

JSON patch is RFC 6902 (the package jsonpatch), merge patch RFC 7386, strategic merge patch Kubernetes' own:
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md

Strategic merge in short: maps merge key by key; a list merges if the schema says so, its elements found by the
merge key (containers by name, ports by containerPort), else it is replaced.  Directives steer it:

``$patch: replace | delete | merge``  in a map: take the patch instead, empty it; in a list element: the same for it
``$retainKeys: [a, b]``               drop all other keys of the map first
``$deleteFromPrimitiveList/args``     remove these values from the list ``args``
``$setElementOrder/containers``       the order in which the patched list is to come out

All functions may reuse parts of both arguments in their result and change the document in place: the API server
hands in a document that it has just decoded.
"""

from typing import Any, Literal

import jsonpatch
import jsonpointer

from knet.api.schema import ListOf, MapOf, Struct, Type

Object = dict[str, Any]

#: upstream's limit on the operations of one JSON patch (--max-json-patch-operations has no flag, it is 10,000)
MAX_OPERATIONS = 10_000

_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ELEMENT_ORDER = "$setElementOrder/"


class PatchError(ValueError):
    """The patch cannot be applied; ``reason`` says whether it is malformed or does not fit the document."""

    def __init__(self, message: str, reason: Literal["BadRequest", "Invalid", "TooLarge"] = "BadRequest") -> None:
        super().__init__(message)
        self.reason = reason


def json_patch(document: Object, operations: Any) -> Object:
    """Apply RFC 6902 operations.  Raises PatchError; a failed ``test`` or a missing path is ``Invalid``."""
    if not isinstance(operations, list) or not all(isinstance(row, dict) for row in operations):
        raise PatchError("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > MAX_OPERATIONS:
        raise PatchError(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}", "TooLarge"
        )
    for row in operations:
        for key in ("op", "path", "from"):
            if not isinstance(row.get(key, ""), str):
                raise PatchError(f"json: cannot unmarshal {key} of a JSON patch operation into a string")
    try:
        result: Any = jsonpatch.apply_patch(document, operations, in_place=True)
    except jsonpatch.InvalidJsonPatch as error:
        raise PatchError(str(error)) from None
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise PatchError(str(error), "Invalid") from None
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        # a path that walks through a scalar: the library leaves these to Python
        raise PatchError(f"the path of an operation does not fit the document: {error}", "Invalid") from None
    if not isinstance(result, dict):
        raise PatchError("the patched document is not an object", "Invalid")
    patched: Object = result
    return patched


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386: maps merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = document if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge_patch(document: Object, patch: Any, type_: Type) -> Object:
    """Apply a strategic merge patch to an object of the given type; PatchError where it is malformed."""
    if not isinstance(patch, dict):
        raise PatchError("Invalid JSON document")
    return _merge_map(document, patch, type_)


def _merge_map(original: Object, patch: Object, type_: Type | None) -> Object:
    directive = patch.pop("$patch", None)
    if directive == "replace":
        replacement: Object = _plain(patch)
        return replacement
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f"Unknown patch type: {directive}")
    if "$retainKeys" in patch:
        original = _retain(original, patch)
    orders = _pop_directives(patch, _ELEMENT_ORDER)
    deletions = _pop_directives(patch, _DELETE_PRIMITIVES)
    for key, value in patch.items():
        field = _field(type_, key)
        if value is None:
            original.pop(key, None)
        elif isinstance(value, dict):
            have = original.get(key)
            # what is absent is merged into nothing, so that directives and nulls inside it do their work
            original[key] = _merge_map(have if isinstance(have, dict) else {}, value, field)
        elif isinstance(value, list) and isinstance(field, ListOf) and field.merges:
            have = original.get(key)
            original[key] = _merge_list(have if isinstance(have, list) else [], value, field, key)
        else:
            original[key] = _plain(value)
    for key, values in deletions.items():
        if isinstance(have := original.get(key), list):
            original[key] = [item for item in have if item not in values]
    for key, order in orders.items():
        field = _field(type_, key)
        if isinstance(have := original.get(key), list) and isinstance(field, ListOf) and field.merges:
            original[key] = _ordered(have, order, field.merge_key)
    return original


def _field(type_: Type | None, key: str) -> Type | None:
    if isinstance(type_, Struct):
        return type_.fields.get(key)
    return type_.value if isinstance(type_, MapOf) else None


def _retain(original: Object, patch: Object) -> Object:
    keys = patch.pop("$retainKeys")
    if not isinstance(keys, list):
        raise PatchError("The directive for retainKeys must be a list of fields present in the patch")
    for key, value in patch.items():
        if value is not None and key not in keys and not key.startswith("$"):
            raise PatchError(f"The directive for retainKeys must be a list of fields present in the patch: {key}")
    return {key: value for key, value in original.items() if key in keys}


def _pop_directives(patch: Object, prefix: str) -> dict[str, list[Any]]:
    found = {key.removeprefix(prefix): patch[key] for key in list(patch) if key.startswith(prefix)}
    for key, value in found.items():
        del patch[prefix + key]
        if not isinstance(value, list):
            raise PatchError(f"invalid patch format of {prefix.strip('$/')}: {key} is not a list")
    return found


def _merge_list(original: list[Any], patch: list[Any], field: ListOf, key: str) -> list[Any]:
    if not field.merge_key:
        added = [item for index, item in enumerate(patch) if item not in original and item not in patch[:index]]
        return original + added
    for item in patch:
        if not isinstance(item, dict):
            raise PatchError(f"Invalid JSON document: element of {key} is not an object")
    if any(item.get("$patch") == "replace" and field.merge_key not in item for item in patch):
        return [_plain(item) for item in patch if item.get("$patch") != "replace"]
    merged = list(original)
    for item in patch:
        name = item.get(field.merge_key)
        if name is None:
            raise PatchError(f"map: {item} does not contain declared merge key: {field.merge_key}")
        places = [
            place for place, have in enumerate(merged) if isinstance(have, dict) and have.get(field.merge_key) == name
        ]
        if item.get("$patch") == "delete":
            merged = [have for place, have in enumerate(merged) if place not in places]
        elif places:
            merged[places[0]] = _merge_map(merged[places[0]], item, field.item)
        else:
            merged.append(_merge_map({}, item, field.item))
    return merged


def _ordered(items: list[Any], order: list[Any], merge_key: str) -> list[Any]:
    """Elements named in ``order`` come out in that order; each other one stays behind the element it stood behind.

    >>> _ordered(["server", "b", "a"], ["a", "b"], "")
    ['server', 'a', 'b']
    """

    def identity(item: Any) -> Any:
        return item.get(merge_key) if merge_key and isinstance(item, dict) else item

    wanted = [identity(item) for item in order]
    named = sorted((item for item in items if identity(item) in wanted), key=lambda item: wanted.index(identity(item)))
    queue = iter(named)
    return [next(queue) if identity(item) in wanted else item for item in items]


def _plain(value: Any) -> Any:
    """A patch value where there is nothing to merge it with: directives and nulls have no object and go away."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None and not _is_directive(key)}
    if isinstance(value, list):
        return [_plain(item) for item in value if not (isinstance(item, dict) and "$patch" in item)]
    return value


def _is_directive(key: str) -> bool:
    return key in ("$patch", "$retainKeys") or key.startswith((_DELETE_PRIMITIVES, _ELEMENT_ORDER))
