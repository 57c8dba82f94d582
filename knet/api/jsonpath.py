"""Kubernetes' dialect of JSONPath, as far as columns and selectable fields use it: one path, no templates.

https://kubernetes.io/docs/reference/kubectl/jsonpath/

``.spec.replicas``  ``.metadata.labels.app\\.kubernetes\\.io/name``  ``.metadata.annotations['a/b']``
``.spec.ports[0]``  ``.spec.ports[-1:]``  ``.spec.ports[*].name``
``.status.conditions[?(@.type=="Ready")].status``  ``..name``
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

#: one step: from the values found so far to the next ones
Step = Callable[[Iterable[Any]], Iterator[Any]]

_TOKEN = re.compile(
    r"""(?P<deep>\.\.)
    |\.?\[\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<slice>[-\d:]+)|(?P<star>\*)
        |\?\(\s*(?P<filter>[^)]*)\)|(?P<union>-?\d+(?:,-?\d+)+))\s*\]
    |\.?(?P<every>\*)
    |\.?(?P<field>(?:\\.|[^.\[\]\\\s*])+)
    |\.(?=$)""",
    re.VERBOSE,
)
_FILTER = re.compile(r"@(?P<path>[^=<>!\s]*)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>.+))?")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile_path(text: str) -> Callable[[Any], list[Any]]:
    """The values a path finds in a document, in order; [] where there is none.  ValueError for what is no path."""
    steps = list(_steps(text))

    def find(document: Any) -> list[Any]:
        found: Iterable[Any] = (document,)
        for step in steps:
            found = step(found)
        return list(found)

    return find


def _steps(text: str) -> Iterator[Step]:
    rest = text.strip().removeprefix("$").removeprefix("@")
    while rest:
        match = _TOKEN.match(rest)
        if match is None:
            raise ValueError(f"unrecognized character in path {text}: {rest[0]!r}")
        rest = rest[match.end() :]
        if step := _step(match):
            yield step


def _step(match: "re.Match[str]") -> Step | None:
    found = match.groupdict()
    if match["deep"]:
        return _descend
    for name in ("quoted", "double", "field"):
        if found[name] is not None:
            return _child(re.sub(r"\\(.)", r"\1", found[name]))
    if found["union"]:
        return _indices([slice(n, n + 1 or None) for n in map(int, found["union"].split(","))])
    if found["slice"]:
        return _indices([_slice(found["slice"])])
    if found["filter"] is not None:
        return _filter(found["filter"])
    return _every if found["star"] or found["every"] else None


def _child(key: str) -> Step:
    return lambda values: (value[key] for value in values if isinstance(value, dict) and key in value)


def _every(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, dict | list):
            yield from value.values() if isinstance(value, dict) else value


def _descend(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        yield value
        yield from _descend(_every((value,)))


def _slice(text: str) -> slice:
    parts = text.split(":")
    if len(parts) > 3:
        raise ValueError(f"invalid array index {text}")
    numbers = [int(part) if part else None for part in parts]
    if numbers[2:] == [0]:
        raise ValueError(f"slice step cannot be zero: {text}")
    if len(numbers) > 1:
        return slice(*numbers)
    [number] = numbers
    return slice(number, (number or 0) + 1 or None)


def _indices(slices: list[slice]) -> Step:
    return lambda values: (
        item for value in values if isinstance(value, list) for place in slices for item in value[place]
    )


def _filter(text: str) -> Step:
    match = _FILTER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"unrecognized filter {text}")
    find = compile_path(match["path"])
    holds = _OPERATORS.get(match["operator"] or "")
    wanted = _literal(match["value"].strip()) if holds else None

    def keeps(item: Any) -> bool:
        have = find(item)
        if holds is None or not have:
            return bool(have)
        try:
            return bool(holds(have[0], wanted))
        except TypeError:  # a number compared with text
            return False

    return lambda values: (item for item in _every(values) if keeps(item))


def _literal(text: str) -> Any:
    if text[:1] in "'\"" and text[-1:] == text[:1]:
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    return float(text) if "." in text else int(text)
