"""JSON data as Go's ``%v`` prints them: messages of upstream quote values in this form."""

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
