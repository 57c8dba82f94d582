"""The text of a Corefile as a tree: server blocks, in them plugins, in those their properties.  Pure.

    consul.local:53 {
        forward . 10.150.0.1 {    # everything up to the end of a line
            max_concurrent 100
        }
    }

https://coredns.io/manual/configuration/; without its snippets, imports and environment variables.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|\S+')


class Directive(NamedTuple):
    """A line, and what stands between its braces; of a server block ``words`` are the zones."""

    words: tuple[str, ...]
    body: tuple["Directive", ...]
    line: int

    @property
    def name(self) -> str:
        return self.words[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.words[1:]


class ConfigError(ValueError):
    """What is wrong in a Corefile, and in which line."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"Corefile:{line} - Error during parsing: {text}")


def parse(text: str) -> tuple[Directive, ...]:
    """The server blocks.  Raises ConfigError."""
    lines = [(number, _words(line)) for number, line in enumerate(text.splitlines(), 1)]
    return _body(iter([(number, words) for number, words in lines if words]), opened=0)


def _words(line: str) -> list[str]:
    words = []
    for match in _WORD.finditer(line):
        if match[0].startswith("#"):
            break
        words.append(match[0] if match[1] is None else match[1].replace('\\"', '"'))
    return words


def _body(lines: Iterator[tuple[int, list[str]]], opened: int) -> tuple[Directive, ...]:
    """The directives up to the brace that closes what was opened in that line; 0: up to the end."""
    found: list[Directive] = []
    for line, words in lines:
        if words == ["}"]:
            if opened:
                return tuple(found)
            raise ConfigError(line, "Unexpected '}' because no matching opening brace")
        opens = words[-1] == "{"
        if words == ["{"]:
            raise ConfigError(line, "nothing stands before '{'")
        body = _body(lines, line) if opens else ()
        found.append(Directive(tuple(words[:-1] if opens else words), body, line))
    if opened:
        raise ConfigError(opened, "Unexpected EOF: a closing brace is missing")
    return tuple(found)
