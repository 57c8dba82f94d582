"""Errors about one field, worded like k8s.io/apimachinery/pkg/util/validation/field."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """``field`` is a path like ``spec.containers[0].name``; ``body`` what is wrong, without the path."""

    field: str
    reason: str
    body: str

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


#: the detail of many an error
AT_LEAST_0 = "must be greater than or equal to 0"

#: what a validator returns
Errors = list[FieldError]


class Go(str):
    """A value that is already spelled as Go's ``%#v`` would, for messages that quote structs."""


def _go(value: Any) -> str:
    if isinstance(value, Go):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, dict):
        return f"map[string]string{{{', '.join(f'{_go(k)}:{_go(v)}' for k, v in sorted(value.items()))}}}"
    if isinstance(value, list):
        return go_list("string", value)
    return str(value)


def go_list(kind: str, values: Iterable[Any]) -> Go:
    """A slice of that type, as ``%#v``."""
    return Go(f"[]{kind}{{{', '.join(map(_go, values))}}}")


def summary(errors: Iterable[FieldError]) -> str:
    """Several errors in one sentence, each once."""
    unique = list(dict.fromkeys(errors))
    return str(unique[0]) if len(unique) == 1 else f"[{', '.join(map(str, unique))}]"


def required(field: str, detail: str = "") -> FieldError:
    """``Required value``."""
    return FieldError(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """``Invalid value: "x": detail``."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {_go(value)}: {detail}")


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """``Unsupported value: "x": supported values: "A", "B"``."""
    choices = ", ".join(map(_go, supported))
    return FieldError(field, "FieldValueNotSupported", f"Unsupported value: {_go(value)}: supported values: {choices}")


def duplicate(field: str, value: Any) -> FieldError:
    """``Duplicate value: "x"``."""
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {_go(value)}")


def forbidden(field: str, detail: str) -> FieldError:
    """``Forbidden: detail``."""
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def missing(field: str, value: Any) -> FieldError:
    """``Not found: "x"``: a reference inside the object leads nowhere."""
    return FieldError(field, "FieldValueNotFound", f"Not found: {_go(value)}")


def immutable(field: str, value: Any) -> FieldError:
    """A field that may not change was changed; upstream quotes the new value."""
    return invalid(field, value, "field is immutable")


def too_many(field: str, count: int, limit: int) -> FieldError:
    """``Too many: 30: must have at most 20 items``."""
    return FieldError(field, "FieldValueTooMany", f"Too many: {count}: must have at most {limit} items")


def too_long(field: str, limit: int) -> FieldError:
    """``Too long: may not be more than 63 bytes``."""
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def go_missing() -> Go:
    """Where upstream's message prints a struct of Go."""
    return Go("{…}")
