"""What is asked of an authorizer, what it answers, and how a refusal reads.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/#request-attributes-used-in-authorization
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote

from knet.apiserver.http import Request
from knet.apiserver.options import flag
from knet.apiserver.routes import Target
from knet.apiserver.selection import field_selector
from knet.apiserver.status import StatusError
from knet.apiserver.user import User
from knet.store import Object

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Attributes(NamedTuple):
    """A request as authorizers see it: of a resource, or, where ``resource`` is "", of a path."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    #: "" is the whole cluster
    namespace: str = ""
    name: str = ""
    path: str = ""
    #: what the field selector of a list or watch fixes
    fields: Mapping[str, str] = _NOTHING

    @property
    def combined(self) -> str:
        """The resource as rules name it: ``pods``, ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Decision(NamedTuple):
    """Whether it may happen.  ``reason`` tells by what, or what went wrong on the way to a refusal; often ""."""

    allowed: bool
    reason: str = ""


REFUSED = Decision(False)

_COLLECTION_VERBS = {"GET": "list", "HEAD": "list", "POST": "create", "DELETE": "deletecollection"}
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def verb_of(method: str, named: bool, watches: bool) -> str:
    """The verb of a request for a resource; ``named``: for one object and not for a collection."""
    if named:
        return _VERBS.get(method, "")
    verb = _COLLECTION_VERBS.get(method, "")
    return "watch" if watches and verb == "list" else verb


def of_target(user: User, request: Request, target: Target) -> Attributes:
    """The attributes of a request for what is served."""
    resource, name, query = target.kind.resource, target.name, request.query
    verb = "watch" if target.watch else verb_of(request.method, bool(name), "watch" in query and flag(query, "watch"))
    # a Namespace is in itself: who may read all there is in it may read it
    namespace = name if not resource.namespaced and resource.kind == "Namespace" else target.namespace
    fields = _NOTHING
    if not name and "fieldSelector" in query:
        fields = _fixed(query["fieldSelector"])
        name = fields.get("metadata.name", "")
    return Attributes(user, verb, resource.group, resource.plural, target.subresource, namespace, name, fields=fields)


def _fixed(text: str) -> Mapping[str, str]:
    """What a field selector fixes; nothing for one that cannot be read, which its handler will refuse."""
    try:
        rows = field_selector(text).requirements
    except StatusError:
        return _NOTHING
    return {row.key: row.values[0] for row in rows if row.operator == "In"}


def of_path(user: User, request: Request) -> Attributes:
    """The attributes of a request by its path alone, whether or not anything is served there.

    ``/apis/example.com/v1/namespaces/a/things/b/status`` is of the resource things, in upstream's order of authorizing
    before looking (apiserver/pkg/endpoints/request/requestinfo.go).
    """
    parts = [unquote(part) for part in request.path.strip("/").split("/")]
    match parts:
        case ["api", _, *rest] if rest:
            group = ""
        case ["apis", group, _, *rest] if rest:
            pass
        case _:
            return Attributes(user, request.method.lower(), path=unquote(request.path))
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        # what follows a namespace's name is a resource in it, unless it is one of its own subresources
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    resource, name, subresource = (*rest[:3], "", "", "")[:3]
    verb = verb_of(request.method, bool(name), flag(request.query, "watch"))
    return Attributes(user, verb, group, resource, subresource, namespace, name)


_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def refusal(wanted: Attributes, reason: str = "") -> StatusError:
    """403 in upstream's words."""
    what = _described(wanted).translate(_ESCAPED) + (f": {reason}" if reason else "")
    if not wanted.resource:
        return StatusError(403, "Forbidden", f"forbidden: {what}", {})
    details: Object = {}
    if wanted.name:
        details["name"] = wanted.name
    if wanted.group:
        details["group"] = wanted.group
    details["kind"] = wanted.resource
    qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    subject = f'{qualified} "{wanted.name}"' if wanted.name else qualified
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {what}", details)


def _described(wanted: Attributes) -> str:
    who = f'User "{wanted.user.name}" cannot {wanted.verb}'
    if not wanted.resource:
        return f'{who} path "{wanted.path}"'
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    return f'{who} resource "{wanted.combined}" in API group "{wanted.group}" {where}'
