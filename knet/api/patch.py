"""JSON patch (RFC 6902) and merge patch (RFC 7386), as pure functions from (document, patch) to a document.

Kubernetes' own kind is in `knet.api.strategic`.  All functions may reuse parts of both arguments in their result and
change the document in place: the API server hands in a document that it has just decoded.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson

Object = dict[str, Any]

#: upstream's limit on the operations of one JSON patch
MAX_OPERATIONS = 10_000
#: and on the bytes that its copies add (upstream's JSONPatchMaxCopyBytes): ten copies double a document ten times
MAX_COPIED = 3 * 1024 * 1024


class PatchError(ValueError):
    """The patch cannot be applied; ``reason`` says whether it is malformed or does not fit the document."""

    def __init__(self, message: str, reason: Literal["BadRequest", "Invalid", "TooLarge"] = "BadRequest") -> None:
        super().__init__(message)
        self.reason = reason


def json_patch(document: Object, operations: Any) -> Object:
    """Apply RFC 6902 operations.  Raises PatchError; a failed ``test`` or a missing path is ``Invalid``."""
    _check_operations(operations)
    copied = 0
    for row in operations:
        operation = _OPERATIONS.get(row.get("op", ""))
        if operation is None:
            raise PatchError(f"Unexpected kind: {row.get('op', 'unknown')}", "Invalid")
        copied += operation(document, row)
        if copied > MAX_COPIED:
            raise PatchError(
                f"Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit"
                f" {MAX_COPIED}",
                "Invalid",
            )
    return document


def _check_operations(operations: Any) -> None:
    if not isinstance(operations, list):
        raise PatchError("error decoding patch: json: cannot unmarshal object into Go value of type []jsonPatchOp")
    for row in operations:
        if not isinstance(row, dict):
            raise PatchError("error decoding patch: json: cannot unmarshal into Go value of type jsonPatchOp")
        for key in ("op", "path", "from"):
            if not isinstance(row.get(key, ""), str):
                field = f"Go struct field jsonPatchOp.{key} of type string"
                raise PatchError(f"error decoding patch: json: cannot unmarshal into {field}")
    if len(operations) > MAX_OPERATIONS:
        raise PatchError(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}", "TooLarge"
        )


def _missing(row: Object) -> PatchError:
    return PatchError(f"{row['op']} operation does not apply: doc is missing path: {row.get('path', '')}", "Invalid")


def _place(document: Object, row: Object, key: str, new: bool = False) -> tuple[Any, Any]:
    """The map or list that an operation's path leads to, and the key or index in it.

    ``new``: the place may be one that is not there yet, ``-`` the one behind a list's last.
    """
    path = row.get(key, "")
    head, *tokens = (token.replace("~1", "/").replace("~0", "~") for token in path.split("/"))
    if head or not tokens:
        raise _missing(row)
    here: Any = document
    for token in tokens[:-1]:
        here = here[_position(here, token, False, row)]
    return here, _position(here, tokens[-1], new, row)


def _position(here: Any, token: str, new: bool, row: Object) -> Any:
    where: Any = None
    if isinstance(here, list):
        where = _index(here, token, new)
    elif isinstance(here, dict) and (new or token in here):
        where = token
    if where is None:
        raise _missing(row)
    return where


def _index(items: list[Any], token: str, new: bool) -> int | None:
    """A position in a list; negative ones count from its end, as upstream's library has it."""
    if new and token == "-":
        return len(items)
    digits = token.removeprefix("-")
    if not (digits.isdecimal() and digits.isascii()) or len(digits) > 9:
        return None
    index = int(token)
    if index < 0:
        index += len(items) + new
    return index if 0 <= index < len(items) + new else None


def _value(row: Object) -> Any:
    return row.get("value")


def _insert(here: Any, where: Any, value: Any) -> None:
    if isinstance(here, list):
        here.insert(where, value)
    else:
        here[where] = value


def _add(document: Object, row: Object) -> int:
    _insert(*_place(document, row, "path", new=True), _value(row))
    return 0


def _remove(document: Object, row: Object) -> int:
    here, where = _place(document, row, "path")
    del here[where]
    return 0


def _replace(document: Object, row: Object) -> int:
    if not row.get("path"):
        if not isinstance(value := _value(row), dict):
            raise PatchError("replace operation value must be object or array", "Invalid")
        document.clear()
        document.update(value)
        return 0
    here, where = _place(document, row, "path")
    here[where] = _value(row)
    return 0


def _move(document: Object, row: Object) -> int:
    here, where = _place(document, row, "from")
    value = here[where]
    del here[where]
    _insert(*_place(document, row, "path", new=True), value)
    return 0


def _copy(document: Object, row: Object) -> int:
    here, where = _place(document, row, "from")
    text = orjson.dumps(here[where])
    _insert(*_place(document, row, "path", new=True), orjson.loads(text))
    return len(text)


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _test(document: Object, row: Object) -> int:
    present: Any = document
    try:
        if row.get("path"):
            here, where = _place(document, row, "path")
            present = here[where]
    except PatchError:
        if _value(row) is not None:
            raise
        present = None
    # by text, because to Python true is 1
    if _text(present) != _text(_value(row)):
        raise PatchError(f"testing value {row.get('path', '')} failed", "Invalid")
    return 0


#: each changes the document and returns by how many bytes of copies it has grown
_OPERATIONS: Mapping[str, Callable[[Object, Object], int]] = {
    "add": _add,
    "copy": _copy,
    "move": _move,
    "remove": _remove,
    "replace": _replace,
    "test": _test,
}


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
