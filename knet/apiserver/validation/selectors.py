"""Label selectors (apimachinery/pkg/apis/meta/v1/validation), and how messages print them."""

import json

from knet.api import selectors
from knet.api.selectors import Requirement, Selector
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.store import Object

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def is_empty(selector: Object) -> bool:
    """It selects everything."""
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def selector_of(selector: Object) -> Selector:
    """A LabelSelector in JSON as something that matches."""
    rows = [Requirement(key, "In", (item,)) for key, item in selector.get("matchLabels", {}).items()]
    for row in selector.get("matchExpressions", ()):
        rows.append(Requirement(row.get("key", ""), row.get("operator", ""), tuple(row.get("values", ()))))
    return selectors.Selector(tuple(rows))


def label_selector(selector: Object, path: str) -> Errors:
    """A LabelSelector's own form."""
    errors: Errors = []
    for key, item in selector.get("matchLabels", {}).items():
        if wrong := formats.qualified_name(key):
            errors.append(field.invalid(f"{path}.matchLabels", key, wrong))
        if wrong := formats.label_value(item):
            errors.append(field.invalid(f"{path}.matchLabels", item, wrong))
    for index, row in enumerate(selector.get("matchExpressions", ())):
        here = f"{path}.matchExpressions[{index}]"
        operator, values = row.get("operator", ""), row.get("values", [])
        if operator not in _OPERATORS:
            errors.append(field.invalid(f"{here}.operator", operator, "not a valid selector operator"))
        elif operator in ("In", "NotIn") and not values:
            errors.append(field.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            errors.append(
                field.forbidden(f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            )
        if wrong := formats.qualified_name(row.get("key", "")):
            errors.append(field.invalid(f"{here}.key", row.get("key", ""), wrong))
        for place, text in enumerate(values):
            if wrong := formats.label_value(text):
                errors.append(field.invalid(f"{here}.values[{place}]", text, wrong))
    return errors


def go_selector(selector: Object) -> field.Go:
    """A LabelSelector as upstream's messages print it."""
    labels = selector.get("matchLabels")
    expressions = ", ".join(
        f"v1.LabelSelectorRequirement{{Key:{json.dumps(row.get('key', ''))},"
        f" Operator:{json.dumps(row.get('operator', ''))}, Values:{_go_strings(row.get('values'))}}}"
        for row in selector.get("matchExpressions", ())
    )
    pairs = ", ".join(f"{json.dumps(key)}:{json.dumps(item)}" for key, item in sorted((labels or {}).items()))
    spelled = f"map[string]string{{{pairs}}}" if labels else "map[string]string(nil)"
    rows = f"{{{expressions}}}" if expressions else "(nil)"
    return field.Go(f"v1.LabelSelector{{MatchLabels:{spelled}, MatchExpressions:[]v1.LabelSelectorRequirement{rows}}}")


def _go_strings(values: list[str] | None) -> str:
    return f"[]string{{{', '.join(map(json.dumps, values))}}}" if values else "[]string(nil)"
