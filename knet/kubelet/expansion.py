"""``$(NAME)`` in commands, arguments and environment values (Kubernetes' own, no shell involved)."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace references; ``$$`` is a dollar, and a reference to an unknown name stays as it is."""

    def value(match: "re.Match[str]") -> str:
        name = match.group(1)
        if name is None:
            return "$"
        return variables.get(name, match.group(0))

    return _REFERENCE.sub(value, text)


def missing(text: str, variables: Mapping[str, str]) -> list[str]:
    """The names that ``text`` refers to and that have no value."""
    names = {name for name in _REFERENCE.findall(text) if name}
    return sorted(name for name in names if not variables.get(name))
