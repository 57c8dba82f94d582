"""x-kubernetes-validations: rules in the Common Expression Language, from schemas of custom resources.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules

Google's own runtime evaluates them (cel-expr-python, loaded when the first rule is seen), with the standard library,
strings, optional values and Kubernetes' functions (`functions`).  Where upstream gives ``self`` the type that the
schema says, here every value has the type that it has, so an expression that misuses a field is found when it runs,
not when the definition is created.  Costs are not estimated.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from knet.api.structural import JSONSchema
from knet.apiserver import field
from knet.apiserver.custom.values import json_type
from knet.apiserver.field import Errors, FieldError

if TYPE_CHECKING:
    from cel_expr_python import cel

#: no old value: an object is being created, or this part of it is new
ABSENT: Any = object()

_USES_OLD = re.compile(r"\boldSelf\b")
#: upstream's spelling of names that are no identifiers in CEL, or are its keywords
_RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
_ESCAPES = {"_": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_REASONS = {"FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"}


@lru_cache(maxsize=1)
def _environment() -> "cel.Env":
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

    from knet.apiserver.custom.functions import declarations

    return cel.NewEnv(
        variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN},
        extensions=[
            ext_strings.ExtStrings(),
            ext_optional.ExtOptional(),
            ext_math.ExtMath(),
            ext_bindings.ExtBindings(),
        ],
        functions=declarations(cel),
    )


def compile_expression(text: str, result: str = "BOOL") -> "cel.Expression":
    """An expression; ValueError with the compiler's words, or where the result has another type."""
    try:
        compiled = _environment().compile(text)
    except (RuntimeError, ValueError) as error:
        message = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        raise ValueError(f"compilation failed: {message}") from None
    kind = str(compiled.return_type())
    if kind not in (result, "DYN"):
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
        outcome = self.program.eval(data=data)
        if str(outcome.type()) == "BOOL":
            if outcome.value() is True:
                return None
            return self._error(path, value, self._message(data))
        return self._error(path, value, f"rule evaluation error: {_failure(outcome)} evaluating rule: {self.text}")

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
            outcome = self.message_program.eval(data=data)
            text = outcome.value() if str(outcome.type()) == "STRING" else ""
            if text.strip() and "\n" not in text:
                return str(text.strip())
        return self.message or f"failed rule: {self.text.strip()}"


def _failure(outcome: Any) -> str:
    """``NOT_FOUND: Key not found in map : "x"`` in the words of the Go implementation."""
    text = str(outcome.plain_value())
    if match := re.fullmatch(r"NOT_FOUND: Key not found in map : \"(.*)\"", text):
        return f"no such key: {match[1]}"
    if "No matching overloads" in text:
        return "no such overload"
    return text.partition(": ")[2] or text


def _rule(row: JSONSchema) -> Rule:
    text = row["rule"]
    source = text
    optional = bool(row.get("optionalOldSelf"))
    if optional and uses_old(text):
        source = _USES_OLD.sub("oldSelf[?0]", text)
    message = row.get("messageExpression") or ""
    return Rule(
        text,
        compile_expression(source),
        (row.get("message") or "").strip(),
        compile_expression(message, "STRING") if message else None,
        row.get("reason") or "FieldValueInvalid",
        row.get("fieldPath") or "",
        optional,
    )


#: (new, old or ABSENT, path, errors): runs the rules of a schema and of all below it
Rules = Callable[[Any, Any, str, Errors], None]


def compile_rules(schema: JSONSchema) -> Rules | None:
    """The rules of a schema; None where there are none.  ValueError for an expression that is wrong."""
    own = [_rule(row) for row in schema.get("x-kubernetes-validations") or ()]
    below = [rules for rules in (_items(schema), _values(schema), _properties(schema)) if rules]
    if not own and not below:
        return None

    def run(value: Any, old: Any, path: str, errors: Errors) -> None:
        if value is None:
            return
        for rule in own:
            if (error := rule.check(value, old, path)) is not None:
                errors.append(error)
        for rules in below:
            rules(value, old, path, errors)

    return run


def _properties(schema: JSONSchema) -> Rules | None:
    inner = {key: rules for key, item in (schema.get("properties") or {}).items() if (rules := compile_rules(item))}

    def run(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, dict):
            for key, rules in inner.items():
                if key in value:
                    rules(value[key], _part(old, key), f"{path}.{key}" if path else key, errors)

    return run if inner else None


def _values(schema: JSONSchema) -> Rules | None:
    additional = schema.get("additionalProperties")
    rules = compile_rules(additional) if isinstance(additional, dict) else None
    if rules is None:
        return None

    def run(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                rules(item, _part(old, key), f"{path}[{key}]", errors)

    return run


def _items(schema: JSONSchema) -> Rules | None:
    rules = compile_rules(schema["items"]) if isinstance(schema.get("items"), dict) else None
    if rules is None:
        return None
    keys = schema.get("x-kubernetes-list-map-keys") or ()

    def run(value: Any, old: Any, path: str, errors: Errors) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                rules(item, _counterpart(item, old, keys), f"{path}[{index}]", errors)

    return run


def _part(old: Any, key: str) -> Any:
    return old[key] if isinstance(old, dict) and key in old else ABSENT


def _counterpart(item: Any, old: Any, keys: Any) -> Any:
    """The old element with the same keys; only lists of type map tell which that is."""
    if keys and isinstance(item, dict) and isinstance(old, list):
        wanted = [item.get(key) for key in keys]
        for other in old:
            if isinstance(other, dict) and [other.get(key) for key in keys] == wanted:
                return other
    return ABSENT


def escaped(value: Any) -> Any:
    """A value with the names of its fields as expressions have to spell them (``foo-bar`` is ``foo__dash__bar``)."""
    if isinstance(value, dict):
        found = {key: escaped(item) for key, item in value.items()}
        # names that need no escape stay reachable by index, too: in maps, keys are data
        found |= {name: found[key] for key in value if (name := escape(key)) != key}
        return found
    return [escaped(item) for item in value] if isinstance(value, list) else value


def escape(name: str) -> str:
    """Upstream's escape of one name."""
    if name in _RESERVED:
        return f"__{name}__"
    if re.fullmatch(r"[A-Za-z0-9_]*", name) and "__" not in name:
        return name
    return re.sub(r"__|[.\-/]", lambda match: _ESCAPES[match[0][0]], name)
