"""The numbers of the fields of Kubernetes' messages, from the table ``messages.txt`` beside this file."""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple


class Field(NamedTuple):
    """``inline``: ``name`` is a message whose fields stand in the place of this one.

    ``pointer``: absent and zero differ, so a zero that was sent is kept.
    """

    name: str
    inline: bool
    pointer: bool


Message = Mapping[int, Field]


@lru_cache(maxsize=1)
def messages() -> Mapping[str, Message]:
    """By name, or by package and name (``discovery.v1.EndpointPort``) where several packages use the name."""
    text = (files("knet.apiserver.protobuf") / "messages.txt").read_text()
    lines = re.sub(r"\n +", " ", re.sub(r"(?m)^#.*$", "", text)).splitlines()
    return {name: _fields(words) for name, *words in map(str.split, filter(None, lines))}


def _fields(words: list[str]) -> Message:
    found: dict[int, Field] = {}
    number = 0
    for word in words:
        name, _, given = word.partition("=")
        number = int(given) if given else number + 1
        found[number] = Field(name.strip(">*"), name.startswith(">"), name.endswith("*"))
    return found
