"""Acting as somebody else: Impersonate-User, -Group, -Uid and -Extra-KEY, each of which has to be allowed.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from knet.apiserver.authorization import Attributes, Authorizer
from knet.apiserver.authorization.attributes import refusal
from knet.apiserver.status import bad_request
from knet.apiserver.user import ANONYMOUS, User

#: how every header of this sort begins
PREFIX = b"impersonate-"
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"
_EVERYBODY = {"system:authenticated", "system:unauthenticated"}

Fields = Sequence[tuple[str, str]]


def impersonated(user: User, fields: Fields, authorizer: Authorizer) -> User:
    """Who ``user`` acts as by header fields (lower-case name, value); StatusError 400, 403."""
    for attributes in _asked(user, fields):
        decision = authorizer.decide(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)
    name = _first(fields, "impersonate-user")
    groups = [value for key, value in fields if key == "impersonate-group"]
    namespace, account = _account(name)
    if account and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    if name != ANONYMOUS.name and not _EVERYBODY & set(groups):
        groups.append("system:authenticated")
    elif name == ANONYMOUS.name and not groups:
        groups = list(ANONYMOUS.groups)
    extra: dict[str, tuple[str, ...]] = {}
    for key, value in _extras(fields):
        extra[key] = (*extra.get(key, ()), value)
    return User(name, tuple(groups), _first(fields, "impersonate-uid"), extra)


def _asked(user: User, fields: Fields) -> Iterator[Attributes]:
    """What has to be allowed, one by one."""
    name = _first(fields, "impersonate-user")
    if not name:
        given = " ".join(key for key, _ in fields)
        raise bad_request(f"requested [{given}] without impersonating a user")
    namespace, account = _account(name)
    if account:
        yield Attributes(user, "impersonate", "", "serviceaccounts", namespace=namespace, name=account)
    else:
        yield Attributes(user, "impersonate", "", "users", name=name)
    for key, value in fields:
        if key == "impersonate-group":
            yield Attributes(user, "impersonate", "", "groups", name=value)
        elif key == "impersonate-uid":
            yield Attributes(user, "impersonate", _AUTHENTICATION, "uids", name=value)
    for key, value in _extras(fields):
        yield Attributes(user, "impersonate", _AUTHENTICATION, "userextras", key, name=value)


def _extras(fields: Fields) -> Iterator[tuple[str, str]]:
    for key, value in fields:
        if key.startswith(_EXTRA):
            yield unquote(key.removeprefix(_EXTRA)), value


def _account(name: str) -> tuple[str, str]:
    """Namespace and name of the account that a user name means, ("", "") if it means none."""
    if not name.startswith(_ACCOUNT):
        return "", ""
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return (namespace, account) if namespace and account and ":" not in account else ("", "")


def _first(fields: Fields, wanted: str) -> str:
    return next((value for key, value in fields if key == wanted), "")
