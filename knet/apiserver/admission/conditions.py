"""matchConditions: expressions that all have to hold for a webhook or a policy to be asked about a request.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from knet.apiserver.admission.attributes import attributes
from knet.apiserver.admission.request import Request
from knet.apiserver.authorization.expressions import asking, question
from knet.apiserver.expressions import CONDITION_VARIABLES, compile_expression, escaped, evaluate
from knet.apiserver.kind import Kind
from knet.store import Object

if TYPE_CHECKING:
    from cel_expr_python import cel


class Unsure(Exception):
    """Conditions that cannot be evaluated; the message is upstream's."""


def scene(request: Request, form: Kind) -> dict[str, Any]:
    """The variables of expressions about a request, those that every one of them has."""
    asking.set((request.context.authorizer, request.user))
    asked = request.asked.resource
    return {
        "object": escaped(request.shown(request.value, form)),
        "oldObject": escaped(request.shown(request.old, form)),
        "request": attributes(request, form),
        "namespaceObject": None,
        "authorizer": question(asked.group, asked.plural, request.target.subresource, request.namespace, request.name),
    }


class Conditions:
    """The conditions of one webhook or policy; ``open``: what they cannot decide about does not match."""

    def __init__(self, rows: Iterable[Object], open_: bool, variables: tuple[str, ...] = CONDITION_VARIABLES) -> None:
        self._open = open_
        self._rows = [condition(row["expression"], variables) for row in rows]

    def __bool__(self) -> bool:
        return bool(self._rows)

    def hold(self, data: dict[str, Any]) -> bool:
        """Whether all hold; one that does not decides, whatever becomes of the others.  Raises Unsure."""
        errors = []
        for row in self._rows:
            try:
                if row(data) is False:
                    return False
            except ValueError as error:
                errors.append(str(error))
        if errors and not self._open:
            raise Unsure(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
        return not errors


Condition = Callable[[dict[str, Any]], Any]


def condition(text: str, variables: tuple[str, ...]) -> Condition:
    """An expression that has been found good when it was stored; one that is bad all the same fails each time."""
    try:
        program = compile_expression(text.strip(), variables)
    except ValueError as error:
        return _failing(f"compilation error: {error}")
    return evaluator(text.strip(), program)


def evaluator(text: str, program: cel.Expression) -> Condition:
    """Evaluates an expression; ValueError in upstream's words where that fails."""

    def run(data: dict[str, Any]) -> Any:
        try:
            return evaluate(program, data)
        except ValueError as error:
            raise ValueError(f"expression '{text}' resulted in error: {error}") from None

    return run


def _failing(why: str) -> Condition:
    def run(_: dict[str, Any]) -> Any:
        raise ValueError(why)

    return run
