"""The Common Expression Language, as validation rules, match conditions and admission policies use it.

https://kubernetes.io/docs/reference/using-api/cel/

Google's own runtime evaluates expressions (cel-expr-python, loaded when the first one is seen), with the standard
library, strings, optional values and Kubernetes' functions (`knet.apiserver.custom.functions`).  All variables are
dynamic: what an expression does to a value of the wrong type is found when it runs.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cel_expr_python import cel

#: upstream's spelling of names that are no identifiers in CEL, or are its keywords
RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
_ESCAPES = {"_": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}

#: what match conditions of webhooks speak of
CONDITION_VARIABLES = ("object", "oldObject", "request", "namespaceObject", "authorizer")

#: of `failure`
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
NO_OVERLOAD = "no such overload"


@lru_cache(maxsize=8)
def _environment(variables: tuple[str, ...]) -> "cel.Env":
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

    from knet.apiserver.authorization import expressions as authorizing
    from knet.apiserver.custom.functions import declarations

    types = dict.fromkeys(variables, cel.Type.DYN)
    functions = declarations(cel)
    if "authorizer" in types:
        types["authorizer"] = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
        functions += authorizing.declarations(cel)
    return cel.NewEnv(
        variables=types,
        extensions=[
            ext_strings.ExtStrings(),
            ext_optional.ExtOptional(),
            ext_math.ExtMath(),
            ext_bindings.ExtBindings(),
        ],
        functions=functions,
    )


def variables_of(parametric: bool, composed: bool) -> tuple[str, ...]:
    """What expressions of a policy speak of that has parameters, and variables of its own."""
    return (*CONDITION_VARIABLES, *["params"] * parametric, *["variables"] * composed)


def without_authorizer(names: tuple[str, ...]) -> tuple[str, ...]:
    """What a messageExpression speaks of."""
    return tuple(name for name in names if name != "authorizer")


def compile_expression(text: str, variables: tuple[str, ...]) -> "cel.Expression":
    """An expression with these variables; ValueError with the compiler's words."""
    try:
        return _environment(variables).compile(text)
    except (RuntimeError, ValueError) as error:
        message = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        raise ValueError(f"compilation failed: {message}") from None


def evaluate(program: "cel.Expression", data: dict[str, Any]) -> Any:
    """The value of an expression; ValueError with the Go implementation's words where it has none."""
    try:
        outcome = program.eval(data=data)
    except RuntimeError as error:
        raise ValueError(failure(str(error))) from None
    if str(outcome.type()) == "ERROR":
        raise ValueError(failure(str(outcome.plain_value())))
    return outcome.plain_value()


def failure(text: str) -> str:
    """Why an expression could not be evaluated, in the words of the Go implementation."""
    if "Iteration budget exceeded" in text:
        return OUT_OF_BUDGET
    if "No matching overloads" in text:
        return NO_OVERLOAD
    if match := re.fullmatch(r"NOT_FOUND: Key not found in map : \"(.*)\"", text):
        return f"no such key: {match[1]}"
    return text.partition(": ")[2] or text


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
    if name in RESERVED:
        return f"__{name}__"
    if re.fullmatch(r"[A-Za-z0-9_]*", name) and "__" not in name:
        return name
    return re.sub(r"__|[.\-/]", lambda match: _ESCAPES[match[0][0]], name)
