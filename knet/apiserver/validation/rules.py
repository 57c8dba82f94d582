"""Rules that put together what a kind's validation says; a validator is a table of them.

A rule looks at one value at one place and returns what is wrong with it.  `shape` is the rule of an object whose
fields have rules; as in Go, an optional field that is absent or "" is not looked at, and a required one that is
absent or empty is missing.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from knet.api.quantity import parse_quantity
from knet.apiserver import field
from knet.apiserver.field import AT_LEAST_0, Errors
from knet.store import Object

Rule = Callable[[Any, str], Errors]

INT32_MAX = 2147483647


@dataclass(frozen=True, slots=True)
class Required:
    """A field that has to be there; ``detail`` says why, where upstream does."""

    rule: Rule | None = None
    detail: str = ""


@dataclass(frozen=True)
class EvenEmpty:
    """A field in which "" is a value like others, and mostly a wrong one: an IntOrString."""

    rule: Rule


def anything(_value: Any, _path: str) -> Errors:
    """Nothing is wrong with it."""
    return []


def shape(fields: Mapping[str, Rule | Required | EvenEmpty], *whole: Rule) -> Rule:
    """An object: its fields in this order, then the rules for all of it."""
    rows = [
        (
            key,
            rule.rule if isinstance(rule, Required | EvenEmpty) else rule,
            rule if isinstance(rule, Required) else None,
            (None,) if isinstance(rule, EvenEmpty) else (None, ""),
        )
        for key, rule in fields.items()
    ]

    def check(value: Any, path: str) -> Errors:
        errors: Errors = []
        for key, rule, required, absent in rows:
            item = value.get(key)
            if item in absent or (required and item in ([], {})):
                if required:
                    errors.append(field.required(f"{path}.{key}" if path else key, required.detail))
            elif rule is not None:
                errors += rule(item, f"{path}.{key}" if path else key)
        for one in whole:
            errors += one(value, path)
        return errors

    return check


def both(*rules: Rule) -> Rule:
    """All of several rules."""
    return lambda value, path: [error for rule in rules for error in rule(value, path)]


def each(rule: Rule) -> Rule:
    """Every element of a list."""
    return lambda value, path: [error for index, item in enumerate(value) for error in rule(item, f"{path}[{index}]")]


def each_value(rule: Rule) -> Rule:
    """Every value of a map; a key stands in brackets."""
    return lambda value, path: [error for key, item in value.items() for error in rule(item, f"{path}[{key}]")]


def one_of(*supported: str) -> Rule:
    """One of some words, which messages list in the order given here."""

    def check(value: Any, path: str) -> Errors:
        return [] if value in supported else [field.not_supported(path, value, supported)]

    return check


def form(check: Callable[[str], str]) -> Rule:
    """Text of a form that one of `knet.apiserver.formats` checks."""

    def rule(value: Any, path: str) -> Errors:
        wrong = check(value)
        return [field.invalid(path, value, wrong)] if wrong else []

    return rule


def where(holds: Callable[[Any], bool], detail: str) -> Rule:
    """Invalid, with this detail, unless the condition holds."""
    return lambda value, path: [] if holds(value) else [field.invalid(path, value, detail)]


def forbidden(detail: str) -> Rule:
    """May not be there."""
    return lambda _value, path: [field.forbidden(path, detail)]


def between(low: int, high: int) -> Rule:
    """A whole number."""
    return where(lambda value: low <= value <= high, f"must be between {low} and {high}, inclusive")


not_negative = where(lambda value: value >= 0, AT_LEAST_0)
greater_than_0 = where(lambda value: value > 0, "must be greater than 0")
greater_than_zero = where(lambda value: value > 0, "must be greater than zero")


def quantity_not_negative(value: Any, path: str) -> Errors:
    """A quantity of at least nothing."""
    return [] if parse_quantity(value) >= 0 else [field.invalid(path, value, AT_LEAST_0)]


def unique(key: Callable[[Any], Any], shown: Callable[[Any], Any] | None = None, place: str = "") -> Rule:
    """No two elements of a list with the same key (None does not count)."""

    def check(value: Any, path: str) -> Errors:
        errors: Errors = []
        seen: set[Any] = set()
        for index, item in enumerate(value):
            mark = key(item)
            if mark is not None and mark in seen:
                errors.append(field.duplicate(f"{path}[{index}]{place}", shown(item) if shown else mark))
            seen.add(mark)
        return errors

    return check


# ---- whole numbers or percentages ------------------------------------------------------------------------

_PERCENT = re.compile("[0-9]+%")
_PERCENT_HELP = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for"
    " validation is '[0-9]+%')"
)


def go_int_or_string(value: Any) -> field.Go:
    """As messages print an IntOrString."""
    if isinstance(value, str):
        return field.Go(f"intstr.IntOrString{{Type:1, IntVal:0, StrVal:{json.dumps(value)}}}")
    return field.Go(f'intstr.IntOrString{{Type:0, IntVal:{value or 0}, StrVal:""}}')


def int_or_percent(value: Any, path: str) -> Errors:
    """``3`` or ``25%``."""
    if isinstance(value, str):
        return [] if _PERCENT.fullmatch(value) else [field.invalid(path, go_int_or_string(value), _PERCENT_HELP)]
    return [] if value >= 0 else [field.invalid(path, value, AT_LEAST_0)]


def at_most_100_percent(value: Any, path: str) -> Errors:
    """Not more than everything."""
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        return [field.invalid(path, go_int_or_string(value), "must not be greater than 100%")]
    return []


# ---- updates ---------------------------------------------------------------------------------------------


def at(value: Any, path: str) -> Any:
    """The value at a dotted path, None where there is none."""
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def fixed(*paths: str, shown: Callable[[Any], Any] = lambda value: value) -> Callable[[Object, Object], Errors]:
    """Fields that never change: ``field is immutable``, with the new value as ``shown`` prints it."""

    def check(value: Object, old: Object) -> Errors:
        return [field.immutable(path, shown(at(value, path))) for path in paths if at(value, path) != at(old, path)]

    return check


def updates(*checks: Callable[[Object, Object], Errors]) -> Callable[[Object, Object], Errors]:
    """Several checks of an update."""
    return lambda value, old: [error for check in checks for error in check(value, old)]


def whole(rule: Rule) -> Callable[[Object], Errors]:
    """A kind's validator from a rule for the whole object."""
    return lambda value: rule(value, "")


def numbered(items: Iterable[Any], path: str) -> Iterable[tuple[Any, str]]:
    """Elements and their places."""
    return ((item, f"{path}[{index}]") for index, item in enumerate(items))
