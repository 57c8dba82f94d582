"""Path elements as text: how a list element is known, and how people read a path."""

import json
import re
from functools import lru_cache
from typing import Any

import orjson

from knet.api.schema import ListOf

_KINDS = {"f": 0, "k": 1, "v": 2, "i": 3}
#: Go's JSON encoder escapes what could end an HTML script
_ESCAPED = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_NEEDS_ESCAPE = re.compile("[<>&\u2028\u2029]")


class NoElement(ValueError):
    """A list element has nothing to be known by."""


def _encoded(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text.translate(_ESCAPED) if _NEEDS_ESCAPE.search(text) else text


@lru_cache(maxsize=8192)
def _by_key(key: str, value: str) -> str:
    return f'k:{{"{key}":{_encoded(value)}}}'


@lru_cache(maxsize=8192)
def _by_text(value: str) -> str:
    return f"v:{_encoded(value)}"


def element_of(type_: ListOf, item: Any) -> str:
    """How an element of a list that is no atomic one is known: ``k:{"name":"web"}``, ``v:"example.com/a"``.

    Keys that are missing and have no default are left out.  Raises NoElement, worded like upstream.
    """
    if type_.list_type == "set":
        if type(item) is str:
            return _by_text(item)
        if item is None:
            raise NoElement("associative list without keys has an element that's an explicit null")
        if isinstance(item, dict):
            raise NoElement("associative list without keys has an element that's a map type")
        if isinstance(item, list):
            raise NoElement("not supported: associative list with lists as elements")
        return f"v:{_encoded(item)}"
    if type(item) is not dict:
        raise NoElement(f"associative list with keys may not have {'a null' if item is None else 'non-map'} elements")
    if len(type_.keys) == 1 and type(value := item.get(type_.keys[0])) is str:
        return _by_key(type_.keys[0], value)
    found = {}
    for key in type_.keys:
        if key in item:
            found[key] = item[key]
        elif key in type_.key_defaults:
            found[key] = type_.key_defaults[key]
    if not found:
        names = " ".join(json.dumps(key) for key in type_.keys)
        raise NoElement(
            f"associative list with keys has an element that omits all key fields [{names}] (and doesn't have default"
            " values for any key fields)"
        )
    return "k:" + _encoded(found)


def order(element: str) -> tuple[int, str]:
    """A sort key: fields, then elements by key, by value, by index."""
    return _KINDS.get(element[:1], 4), element


def canonical(element: str) -> str | None:
    """A path element from a client, spelled as ours are; None for kinds nobody knows.  Raises ValueError."""
    kind, content = element[:2], element[2:]
    if len(kind) < 2:
        raise ValueError("key must be 2 characters long:")
    if kind[1] != ":":
        raise ValueError(f"missing colon: {element}")
    if kind == "f:":
        return element
    if kind == "k:":
        keys = orjson.loads(content)
        if not isinstance(keys, dict):
            raise ValueError(f"expect an object of keys: {content}")
        return "k:" + _encoded(dict(sorted(keys.items())))
    if kind == "v:":
        return "v:" + _encoded(orjson.loads(content))
    if kind == "i:":
        return f"i:{int(content)}"
    return None


def display(path: tuple[str, ...]) -> str:
    """A path for people: ``.spec.template.spec.containers[name="web"].image``."""
    return "".join(map(_display, path))


def _display(element: str) -> str:
    kind, content = element[0], element[2:]
    if kind == "f":
        return f".{content}"
    if kind == "k":
        keys = orjson.loads(content).items()
        return f"[{','.join(f'{key}={json.dumps(value, ensure_ascii=False)}' for key, value in keys)}]"
    if kind == "v":
        return f"[={json.dumps(orjson.loads(content), ensure_ascii=False)}]"
    return f"[{content}]"
