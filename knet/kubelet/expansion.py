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
