"""Arguments of plugins (pluginConfig): read strictly, refused with the field's name."""

from typing import TypeVar

import msgspec

from knet.api.objects import JSON


class Args(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of argument structs; fields bear the API's names."""


A = TypeVar("A", bound=Args)


def struct(args: JSON, cls: type[A]) -> A:
    """Arguments as a struct; ValueError for unknown or mistyped fields."""
    given = {name: value for name, value in args.items() if name not in ("apiVersion", "kind")}
    try:
        return msgspec.convert(given, cls)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def choice(field: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{field}: {value!r} is none of {', '.join(choices)}")
    return value


def positive(field: str, value: int, most: int = 100) -> int:
    if not 1 <= value <= most:
        raise ValueError(f"{field}: {value} is not between 1 and {most}")
    return value
