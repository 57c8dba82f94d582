"""additionalPrinterColumns: cells of ``kubectl get`` that JSONPaths find (tableconvertor.go)."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from knet.api.jsonpath import compile_path
from knet.apiserver.tables.column import AGE, NAME, Column
from knet.apiserver.tables.times import age, seconds_since
from knet.store import Object


def columns(rows: Sequence[Object]) -> tuple[Column, ...]:
    """The name, then a column per row; only the age where there are no rows."""
    return (NAME, *map(_column, rows)) if rows else (NAME, AGE)


def _column(row: Object) -> Column:
    path = row["jsonPath"]
    return Column(
        row["name"],
        _cell(compile_path(path), row["type"]),
        row["type"],
        row.get("priority") or 0,
        row.get("format") or "",
        row.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
    )


def _cell(find: Callable[[Any], list[Any]], kind: str) -> Callable[[Object], Any]:
    def cell(value: Object) -> Any:
        found = find(value)
        return _shown(found[0], kind) if found else None

    return cell


def _shown(value: Any, kind: str) -> Any:
    """A value in a column of some type; nothing where it has another."""
    if value is None:
        return None
    if kind == "string":
        return text(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer":
        return int(value) if number else None
    if kind == "number":
        return float(value) if number else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if not isinstance(value, str):
        return None
    return "<invalid>" if seconds_since(value) is None else age(value)


def text(value: Any) -> str:
    """A value as JSONPath templates print it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
