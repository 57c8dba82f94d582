"""x-kubernetes-validations: rules in the Common Expression Language, from schemas of custom resources.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules

Google's own runtime evaluates them (cel-expr-python, loaded when the first rule is seen), with the standard library,
strings, optional values and Kubernetes' functions (`functions`).  Where upstream gives ``self`` the type that the
schema says, here every value has the type that it has, so an expression that misuses a field is found when it runs,
not when the definition is created.  Costs are not estimated.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from knet.api.structural import JSONSchema
from knet.apiserver import expressions, field
from knet.apiserver.custom.values import json_type
from knet.apiserver.custom.walking import ABSENT, Check, all_of, descend
from knet.apiserver.expressions import escaped
from knet.apiserver.field import Errors, FieldError

if TYPE_CHECKING:
    from cel_expr_python import cel

log = logging.getLogger(__name__)

_RULES = "x-kubernetes-validations"
_USES_OLD = re.compile(r"\boldSelf\b")
_REASONS = {"FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"}


def compile_expression(text: str, result: str = "BOOL") -> "cel.Expression":
    """A rule or its messageExpression; ValueError with the compiler's words, or where the result has another type."""
    compiled = expressions.compile_expression(text, ("self", "oldSelf"))
    if str(compiled.return_type()) not in (result, "DYN"):
        raise ValueError(f"must evaluate to a {result.lower()}")
    return compiled


def uses_old(text: str) -> bool:
    """Whether a rule is about a transition."""
    return _USES_OLD.search(text) is not None


@dataclass(frozen=True)
class Rule:
    """One rule at its place in the schema."""

    text: str
    program: "cel.Expression"
    message: str
    message_program: "cel.Expression | None"
    reason: str
    field_path: str
    optional_old: bool

    def check(self, value: Any, old: Any, path: str) -> FieldError | None:
        """The error of a value that breaks the rule; ``old`` may be ABSENT."""
        data = {"self": escaped(value)}
        if uses_old(self.text):
            if self.optional_old:
                # an optional is made by CEL itself, from a list that is empty or not
                data["oldSelf"] = [] if old is ABSENT else [escaped(old)]
            elif old is ABSENT:
                return None
            else:
                data["oldSelf"] = escaped(old)
        try:
            outcome = self.program.eval(data=data)
            if str(outcome.type()) == "BOOL":
                return None if outcome.value() is True else self._error(path, value, self._message(data))
            failure = str(outcome.plain_value())
        except RuntimeError as error:
            failure = str(error)
        return field.invalid(path or "<nil>", json_type(value), _failure(failure, self.message or self.text.strip()))

    def _error(self, path: str, value: Any, message: str) -> FieldError:
        where = path + self.field_path if path else self.field_path.removeprefix(".")
        kind = json_type(value)
        if self.reason == "FieldValueForbidden":
            return field.forbidden(where, message)
        if self.reason == "FieldValueRequired":
            return field.required(where, message)
        if self.reason == "FieldValueDuplicate":
            return field.duplicate(where, kind)
        return field.invalid(where or "<nil>", kind, message)

    def _message(self, data: Mapping[str, Any]) -> str:
        if self.message_program is not None:
            try:
                outcome = self.message_program.eval(data=data)
                text = outcome.value() if str(outcome.type()) == "STRING" else ""
            except RuntimeError as error:
                log.warning("messageExpression of %s: %s", self.text, error)
                text = ""
            if text.strip() and "\n" not in text:
                return str(text.strip())
        return self.message or f"failed rule: {self.text.strip()}"


def _failure(text: str, rule: str) -> str:
    """Why a rule could not be evaluated, in the words of the Go implementation."""
    why = expressions.failure(text)
    if why == expressions.OUT_OF_BUDGET:
        return why
    if why == expressions.NO_OVERLOAD:
        signature = "call arguments did not match a supported operator, function or macro signature"
        return f"'{why}': {signature} for rule: {rule}"
    return f"{why} evaluating rule: {rule}"


def _rule(row: JSONSchema) -> Check:
    text = row["rule"]
    source = text
    optional = bool(row.get("optionalOldSelf"))
    if optional and uses_old(text):
        source = _USES_OLD.sub("oldSelf[?0]", text)
    message = row.get("messageExpression") or ""
    rule = Rule(
        text,
        compile_expression(source),
        (row.get("message") or "").strip(),
        compile_expression(message, "STRING") if message else None,
        row.get("reason") or "FieldValueInvalid",
        row.get("fieldPath") or "",
        optional,
    )

    def check(value: Any, old: Any, path: str, errors: Errors) -> None:
        if (error := rule.check(value, old, path)) is not None:
            errors.append(error)

    return check


def compile_rules(schema: JSONSchema) -> Check | None:
    """The rules of a schema and of all below; None where there are none.  ValueError for an expression that is wrong.

    Rules about a transition are asked whatever has changed; the others forgive what has not.
    """

    def plain(node: JSONSchema) -> Iterator[Check]:
        return (_rule(row) for row in node.get(_RULES) or () if not uses_old(row["rule"]))

    def transitions(node: JSONSchema) -> Iterator[Check]:
        return (_rule(row) for row in node.get(_RULES) or () if uses_old(row["rule"]))

    return all_of(filter(None, (descend(schema, plain, forgive=True), descend(schema, transitions))))
