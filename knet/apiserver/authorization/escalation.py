"""Nobody grants what they have not got themselves, unless they may ``escalate`` (roles) or ``bind`` (bindings).

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from collections.abc import Iterable

from knet.apiserver.admission.request import Request
from knet.apiserver.authorization.attributes import Attributes
from knet.apiserver.authorization.authorizer import MASTERS, Authorizer
from knet.apiserver.authorization.rbac import GROUP
from knet.apiserver.authorization.rules import Rule, compact, quoted, rules_of, uncovered
from knet.apiserver.status import StatusError
from knet.apiserver.user import User
from knet.store import Object

RESOURCES = tuple(f"{plural}.{GROUP}" for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings"))
_EVERYTHING = (Rule(("*",), ("*",), ("*",)), Rule(("*",), urls=("*",)))
#: metadata that say nothing about what is granted
_COLLECTED = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")


def check(request: Request) -> None:
    """Of a Role, ClusterRole or binding that is about to be stored; StatusError 403, 404."""
    value, authorizer, user = request.new, request.context.authorizer, request.user
    if MASTERS in user.groups or (request.old is not None and _unchanged(value, request.old)):
        return
    namespace = request.target.namespace
    if "roleRef" in value:
        kind, name = value["roleRef"]["kind"], value["roleRef"]["name"]
        if _may(authorizer, user, "bind", f"{kind.lower()}s", name, namespace):
            return
        try:
            rules = authorizer.policy.rules_of_role(namespace, kind, name)
        except LookupError as error:
            details = {"name": name, "group": GROUP, "kind": kind.lower()}
            raise StatusError(404, "NotFound", error.args[0], details) from None
    else:
        if _may(authorizer, user, "escalate", request.resource.plural, request.target.name, namespace):
            return
        rules = rules_of(value)
        aggregates = any(role.get("aggregationRule") is not None for role in (value, request.old or {}))
        if aggregates and excess(authorizer, user, namespace, _EVERYTHING):
            raise request.forbidden("must have cluster-admin privileges to use the aggregationRule")
    if why := excess(authorizer, user, namespace, rules):
        raise request.forbidden(why)


def _unchanged(value: Object, old: Object) -> bool:
    """Whether it is changed no more than the garbage collector has to."""
    return _granting(value) == _granting(old)


def _granting(value: Object) -> Object:
    metadata = {key: part for key, part in value["metadata"].items() if key not in _COLLECTED}
    return {**value, "metadata": metadata}


def _may(authorizer: Authorizer, user: User, verb: str, plural: str, name: str, namespace: str) -> bool:
    return authorizer.decide(Attributes(user, verb, GROUP, plural, namespace=namespace, name=name)).allowed


def excess(authorizer: Authorizer, user: User, namespace: str, rules: Iterable[Rule]) -> str:
    """What is wrong with a user's granting these rules in a namespace: "" if all of them are the user's own."""
    granted = authorizer.policy.granted(user, namespace)
    missing = uncovered(granted.rules, rules)
    if not missing:
        return ""
    lines = "\n".join(sorted({str(rule) for rule in compact(missing)}))
    who = f'user "{user.name}" (groups={quoted(user.groups)})'
    text = f"{who} is attempting to grant RBAC permissions not currently held:\n{lines}"
    return f"{text}; resolution errors: [{' '.join(granted.errors)}]" if granted.errors else text
