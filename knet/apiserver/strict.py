"""What is there twice in a body: decoders take the last one, and fieldValidation tells people (KEP-2885)."""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

#: upstream's limit on what is reported of one body
MOST = 100
#: where a path goes on below what comes before
_STEP = re.compile(r"[.[]")


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written."""


@dataclass(frozen=True, slots=True)
class Written:
    """The paths of all fields of a JSON text in their order, each once, and of those that are there again."""

    places: dict[str, int]
    again: Collection[str]

    def among(self, unknown: Iterable[str]) -> list[str]:
        """Complaints about fields that nobody knows and about repeated ones, in the order of the text."""
        strange = set(unknown)
        rows = [(self.places.get(path, 0), f'unknown field "{path}"') for path in unknown]
        rows += [
            (self.places[path], f'duplicate field "{path}"')
            for path in self.again
            if strange.isdisjoint(path[: match.start()] for match in _STEP.finditer(path))
        ]
        return [text for _, text in sorted(rows)][:MOST]


def repeated(text: bytes, value: Any) -> Written | None:
    """The fields of a JSON text, ``value`` once decoded; None if none is there twice.

    Encoding the value again and counting quotes is ten times faster than decoding with an eye on every key.  Only a
    quote that is written as an escape can deceive it.
    """
    try:
        encoded = orjson.dumps(value)
    except orjson.JSONEncodeError:  # too deep for this encoder, not for the other way
        encoded = b""
    if encoded.count(b'"') == text.count(b'"') and b"\\u0022" not in text:
        return None
    places: dict[str, int] = {}
    again: dict[str, None] = {}
    _walk(json.loads(text, object_pairs_hook=_Pairs), "", places, again)
    return Written(places, again) if again else None


def _walk(value: Any, path: str, places: dict[str, int], again: dict[str, None]) -> None:
    if isinstance(value, _Pairs):
        prefix = f"{path}." if path else ""
        seen: set[str] = set()
        for key, item in value:
            here = prefix + key
            if key in seen:
                again[here] = None
            seen.add(key)
            places.setdefault(here, len(places))
            _walk(item, here, places, again)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _walk(item, f"{path}[{index}]", places, again)
