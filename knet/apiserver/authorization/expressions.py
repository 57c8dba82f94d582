"""``authorizer`` in expressions: whether the user whose request is looked at may do something else, too.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library

The runtime knows maps and texts, so a question is a map that grows from function to function until ``check`` makes an
answer of it; who asks whom is what `asking` holds while a request is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any

from knet.apiserver.authorization.attributes import Attributes
from knet.apiserver.user import User

if TYPE_CHECKING:
    from knet.apiserver.authorization.authorizer import Authorizer

State = dict[str, Any]

#: whom expressions ask, and in whose name
asking: ContextVar[tuple[Authorizer, User]] = ContextVar("asking")

_ACCOUNTS = "system:serviceaccounts"
_PARTS = ("path", "group", "resource", "subresource", "namespace", "name", "fieldSelector", "labelSelector")


def question(group: str, resource: str, subresource: str, namespace: str, name: str) -> State:
    """The variable: everything can be asked, and what the request itself is about is at hand."""
    parts = {"group": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name}
    return {"requestResource": parts}


def _adding(key: str) -> Callable[[State, str], State]:
    return lambda state, text: {**state, key: text}


def _account(state: State, namespace: str, name: str) -> State:
    return {**state, "account": f"{namespace}:{name}"}


def _check(state: State, verb: str) -> State:
    authorizer, user = asking.get()
    if account := state.get("account"):
        namespace = account.partition(":")[0]
        user = User(f"system:serviceaccount:{account}", (_ACCOUNTS, f"{_ACCOUNTS}:{namespace}"))
    if path := state.get("path"):
        wanted = Attributes(user, verb.lower(), path=path)
    else:
        parts = {key: state.get(key, "") for key in ("group", "resource", "subresource", "namespace", "name")}
        wanted = Attributes(user, verb, **parts)
    decision = authorizer.decide(wanted)
    return {"allowed": decision.allowed, "reason": decision.reason}


def declarations(cel: ModuleType) -> list[Any]:
    """The functions as cel_expr_python wants them; a decision of ours is never an error."""
    state, text, truth = cel.Type.Map(cel.Type.STRING, cel.Type.DYN), cel.Type.STRING, cel.Type.BOOL
    rows: list[tuple[str, Any, list[Any], Callable[..., Any]]] = [
        *((part, state, [text], _adding(part)) for part in _PARTS),
        ("serviceAccount", state, [text, text], _account),
        ("check", state, [text], _check),
        ("allowed", truth, [], lambda answer: answer["allowed"]),
        ("reason", text, [], lambda answer: answer["reason"]),
        ("errored", truth, [], lambda answer: False),
        ("error", text, [], lambda answer: ""),
    ]
    return [
        cel.FunctionDecl(name, [cel.Overload(f"authorizer_{name}", result, [state, *more], True, function)])
        for name, result, more, function in rows
    ]
