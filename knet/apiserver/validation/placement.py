"""Tolerations and affinity: what decides where a Pod may run (pkg/apis/core/validation)."""

from collections.abc import Iterable

from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.store import Object

_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


def toleration_errors(tolerations: Iterable[Object], path: str) -> Errors:
    errors: Errors = []
    for index, row in enumerate(tolerations):
        here = f"{path}[{index}]"
        operator = row.get("operator") or "Equal"
        if row.get("key") and (wrong := formats.qualified_name(row["key"])):
            errors.append(field.invalid(f"{here}.key", row["key"], wrong))
        if not row.get("key") and operator != "Exists":
            errors.append(
                field.invalid(
                    f"{here}.operator",
                    operator,
                    'operator must be Exists when `key` is empty, which means "match all values and all keys"',
                )
            )
        if operator not in ("Equal", "Exists"):
            errors.append(field.not_supported(f"{here}.operator", operator, ("Equal", "Exists")))
        elif operator == "Exists" and row.get("value"):
            errors.append(
                field.invalid(f"{here}.operator", operator, "value must be empty when `operator` is 'Exists'")
            )
        effect = row.get("effect", "")
        if effect and effect not in _EFFECTS:
            errors.append(field.not_supported(f"{here}.effect", effect, _EFFECTS))
        if "tolerationSeconds" in row and effect != "NoExecute":
            errors.append(
                field.invalid(f"{here}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
            )
    return errors


_NODE_OPERATORS = ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")


def affinity_errors(affinity: Object, path: str) -> Errors:
    """Node affinity terms, and the topology keys of pod (anti-)affinity."""
    errors: Errors = []
    if not affinity:
        return errors
    node = affinity.get("nodeAffinity", {})
    here = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    needed = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if needed is not None:
        terms = needed.get("nodeSelectorTerms", [])
        if not terms:
            errors.append(field.required(f"{here}.nodeSelectorTerms", "must have at least one node selector term"))
        for index, term in enumerate(terms):
            errors += _expressions(term, f"{here}.nodeSelectorTerms[{index}]")
    for index, row in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution", ())):
        here = f"{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        if not 1 <= row.get("weight", 0) <= 100:
            errors.append(field.invalid(f"{here}.weight", row.get("weight", 0), "must be in the range 1-100"))
        errors += _expressions(row.get("preference", {}), f"{here}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        rows = affinity.get(kind, {})
        for index, term in enumerate(rows.get("requiredDuringSchedulingIgnoredDuringExecution", ())):
            if not term.get("topologyKey"):
                errors.append(
                    field.required(
                        f"{path}.{kind}.requiredDuringSchedulingIgnoredDuringExecution[{index}].topologyKey",
                        "can not be empty",
                    )
                )
    return errors


def _expressions(term: Object, path: str) -> Errors:
    errors: Errors = []
    for index, row in enumerate(term.get("matchExpressions", ())):
        here = f"{path}.matchExpressions[{index}]"
        operator = row.get("operator", "")
        values = row.get("values", [])
        if operator not in _NODE_OPERATORS:
            errors.append(field.invalid(f"{here}.operator", operator, "not a valid selector operator"))
        elif operator in ("In", "NotIn") and not values:
            errors.append(field.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            errors.append(
                field.forbidden(f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            )
        elif operator in ("Gt", "Lt") and len(values) != 1:
            errors.append(
                field.required(f"{here}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
            )
        if wrong := formats.qualified_name(row.get("key", "")):
            errors.append(field.invalid(f"{here}.key", row.get("key", ""), wrong))
    return errors
