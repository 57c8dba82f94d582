"""Policies and bindings as their objects describe them, their expressions compiled."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from knet.apiserver.admission.conditions import Condition, Conditions, condition
from knet.apiserver.admission.matching import Criteria, criteria_of, rules_of
from knet.apiserver.expressions import variables_of, without_authorizer
from knet.store import Object

#: bytes that a messageExpression may make, and an audit annotation keeps
LONGEST_MESSAGE = 5 * 1024
LONGEST_ANNOTATION = 10 * 1024

_MISSING = re.compile(r"no such key: (\w+)")


@dataclass(frozen=True, slots=True)
class Validation:
    """What has to hold, and what is said where it does not."""

    text: str
    holds: Condition
    message: str
    composed: Condition | None
    reason: str

    def complaint(self, data: dict[str, Any]) -> str:
        """Why a request is refused: the composed message if that works out, else the fixed one, else the expression."""
        if self.composed is not None:
            try:
                text = evaluated(self.composed, data)
            except ValueError:
                text = ""
            text = text.strip() if isinstance(text, str) else ""
            if text and "\n" not in text and len(text.encode()) <= LONGEST_MESSAGE:
                return text
        return self.message or f"failed expression: {self.text}"


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """One policy.  ``open``: what cannot be evaluated is no reason to refuse."""

    name: str
    criteria: Criteria
    conditions: Conditions
    #: apiVersion and kind of its parameters
    parameters: tuple[str, str] | None
    variables: tuple[tuple[str, Condition], ...]
    validations: tuple[Validation, ...]
    annotations: tuple[tuple[str, str, Condition], ...]
    open: bool

    def with_variables(self, data: dict[str, Any]) -> dict[str, Any]:
        """The scene with the policy's variables, each of which sees those before it.

        One that cannot be evaluated is a failure of the expressions that use it only, so it is left out, and
        `evaluated` says why it is missing.
        """
        found: dict[str, Any] = {}
        failures: dict[str, str] = {}
        data = {**data, "variables": found, "failures": failures}
        for name, value in self.variables:
            try:
                found[name] = evaluated(value, data)
            except ValueError as error:
                failures[name] = str(error)
        return data


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """Where a policy applies, and what follows."""

    name: str
    policy: str
    criteria: Criteria
    parameter: Object | None
    actions: tuple[str, ...]


def evaluated(expression: Condition, data: dict[str, Any]) -> Any:
    """The value of an expression in a scene with variables; ValueError in upstream's words."""
    try:
        return expression({key: item for key, item in data.items() if key != "failures"})
    except ValueError as error:
        match = _MISSING.search(str(error))
        if match and (why := data["failures"].get(match[1])):
            composite = f'composited variable "{match[1]}" fails to evaluate: {why}'
            raise ValueError(str(error).replace(match[0], composite)) from None
        raise


def policies_of(rows: list[Object]) -> dict[str, Policy]:
    """All policies by name."""
    return {row["metadata"]["name"]: _policy(row["metadata"]["name"], row.get("spec") or {}) for row in rows}


def _policy(name: str, spec: Object) -> Policy:
    kind, match = spec.get("paramKind"), spec.get("matchConstraints") or {}
    open_ = spec.get("failurePolicy") == "Ignore"
    names = variables_of(bool(kind), bool(spec.get("variables")))
    return Policy(
        name,
        criteria_of(match, rules_of(match.get("resourceRules")), rules_of(match.get("excludeResourceRules"))),
        Conditions(spec.get("matchConditions") or (), open_, variables_of(bool(kind), False)),
        (kind.get("apiVersion", ""), kind.get("kind", "")) if kind else None,
        tuple((row["name"], condition(row["expression"], names)) for row in spec.get("variables") or ()),
        tuple(_validation(row, names) for row in spec.get("validations") or ()),
        tuple(
            (row["key"], row["valueExpression"], condition(row["valueExpression"], names))
            for row in spec.get("auditAnnotations") or ()
        ),
        open_,
    )


def _validation(row: Object, names: tuple[str, ...]) -> Validation:
    text, message = row["expression"].strip(), row.get("messageExpression") or ""
    return Validation(
        text,
        condition(text, names),
        (row.get("message") or "").strip(),
        condition(message, without_authorizer(names)) if message else None,
        row.get("reason") or "Invalid",
    )


def bindings_of(rows: list[Object]) -> tuple[Binding, ...]:
    """All bindings, by the names of policies, then by their own."""
    found = [_binding(row["metadata"]["name"], row.get("spec") or {}) for row in rows]
    return tuple(sorted(found, key=lambda binding: (binding.policy, binding.name)))


def _binding(name: str, spec: Object) -> Binding:
    match = spec.get("matchResources") or {}
    rules = rules_of(match.get("resourceRules")) or None
    return Binding(
        name,
        spec.get("policyName", ""),
        criteria_of(match, rules, rules_of(match.get("excludeResourceRules"))),
        spec.get("paramRef"),
        tuple(_known(spec.get("validationActions") or ())),
    )


def _known(actions: Iterable[str]) -> Iterable[str]:
    return (action for action in actions if action in ("Deny", "Warn", "Audit"))
