"""What Go prints, for messages that are upstream's: JSON data by ``%v``, and what is wrong with a JSON text."""

import json
import re
from string import hexdigits
from typing import Any


def spelled(value: Any) -> str:
    """``map[image:nginx ports:[80 81]]``: keys sorted, nothing quoted.

    >>> spelled({"b": [1, None, True], "a": 1.5})
    'map[a:1.5 b:[1 <nil> true]]'
    """
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{spelled(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(spelled, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


#: how Python's decoder begins what Go's ends with
_WHERE = (
    ("Expecting property name", "looking for beginning of object key string"),
    ("Expecting ':'", "after object key"),
    ("Extra data", "after top-level value"),
    ("Invalid control", "in string literal"),
    ("Invalid \\uXXXX", "in \\u hexadecimal character escape"),
    ("Invalid \\escape", "in string escape code"),
    ("Expecting value", "looking for beginning of value"),
)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def syntax_error(text: bytes, otherwise: str = "") -> str:
    """What Go's decoder has against a text that is no JSON; ``otherwise`` where Python's has nothing against it.

    >>> [syntax_error(text) for text in (b"{", b"[1 2]")]
    ['unexpected end of JSON input', "invalid character '2' after array element"]
    >>> syntax_error(b'{"a": no}')
    "invalid character 'o' in literal null (expecting 'u')"
    """
    shown = text.decode(errors="replace")
    try:
        json.loads(shown)
    except RecursionError:
        return "exceeded max depth"
    except json.JSONDecodeError as error:
        at, where = error.pos, next((go for python, go in _WHERE if error.msg.startswith(python)), "")
        literal = next((word for word in ("true", "false", "null") if shown[at : at + 1] == word[0]), "")
        if literal and where.endswith("of value"):
            ends = next((n for n, char in enumerate(literal) if shown[at + n : at + n + 1] != char), 0)
            at, where = at + ends, f"in literal {literal} (expecting '{literal[ends]}')"
        if where.endswith("escape code"):
            at += 1
        elif where.endswith("character escape"):
            at = next((n for n in range(at + 1, len(shown)) if shown[n] not in hexdigits), len(shown))
        if at >= len(shown.rstrip()) or error.msg.startswith("Unterminated"):
            return "unexpected end of JSON input"
        return f"invalid character {_quoted(shown[at])} {where or _after(shown[:at])}"
    return otherwise


def _after(text: str) -> str:
    """What a comma is missing after."""
    nesting = []
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        if bracket in "[{":
            nesting.append(bracket)
        else:
            nesting.pop()
    return "after array element" if nesting[-1:] == ["["] else "after object key:value pair"


def _quoted(char: str) -> str:
    """A character, or the first byte of one, as Go quotes it."""
    first = char.encode()[0]
    if char in "'\\":
        return f"'\\{char}'"
    return f"'{chr(first)}'" if chr(first).isprintable() else f"'\\x{first:02x}'"
