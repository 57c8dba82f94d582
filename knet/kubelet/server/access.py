"""Who may use the kubelet's endpoint: authentication and authorization as upstream's webhook modes do them.

A client is who its certificate (of the cluster's CA) says, or whose its token is by a TokenReview; what it may do is
asked of the API server by a SubjectAccessReview for a subresource of this Node, after
https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/ .  Answers are kept for upstream's times.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import msgspec
from aiohttp import web

from knet.api.objects import Part
from knet.client import ApiError, Client, NotFound, Unavailable

#: seconds for which answers are kept: tokens, permissions, refusals (upstream's kubelet configuration)
TOKEN_KEPT, ALLOWED_KEPT, DENIED_KEPT = 120, 300, 30
#: answers that are kept at most
KEPT = 1024
#: groups that may do everything: asking would tell the API server what it has said itself
ADMINISTRATORS = {"system:masters", "kubeadm:cluster-admins"}

#: path below which a request is about a subresource of nodes; anything else is "proxy"
_SUBRESOURCES = {"/stats": "stats", "/metrics": "metrics", "/logs": "log", "/spec": "spec", "/checkpoint": "checkpoint"}
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

K = TypeVar("K")
V = TypeVar("V")


class User(NamedTuple):
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


class _Info(Part, frozen=True, kw_only=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()


class _ReviewStatus(Part, frozen=True, kw_only=True):
    authenticated: bool = False
    user: _Info = _Info()
    allowed: bool = False


class _Review(Part, frozen=True, kw_only=True):
    status: _ReviewStatus = _ReviewStatus()


class Access:
    """`check` lets a request through, or answers it by an HTTP error."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node
        self._users: dict[bytes, tuple[float, User | None]] = {}
        self._answers: dict[tuple[User, str, str], tuple[float, bool]] = {}

    async def check(self, request: web.Request) -> None:
        """401 for nobody, 403 for somebody without the right, 500 where the API server cannot be asked."""
        try:
            user = _certified(request) or await self._by_token(request)
            if user is None:
                raise web.HTTPUnauthorized(text="Unauthorized")
            verb, subresource = _VERBS.get(request.method, ""), subresource_of(request.path)
            if not ADMINISTRATORS.isdisjoint(user.groups) or await self._allowed(user, verb, subresource):
                return
        except (ApiError, Unavailable) as error:
            raise web.HTTPInternalServerError(text=f"Authorization error: {error}") from None
        text = f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])\n"
        raise web.HTTPForbidden(text=text)

    async def _by_token(self, request: web.Request) -> User | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        key = hashlib.sha256(token.strip().encode()).digest()
        until, user = self._users.get(key, (0.0, None))
        if until < time.monotonic():
            status = await self._review("authentication.k8s.io", "TokenReview", {"token": token.strip()})
            info = status.user
            user = User(info.username, info.groups, info.uid) if status.authenticated else None
            _keep(self._users, key, user, TOKEN_KEPT)
        return user

    async def _allowed(self, user: User, verb: str, subresource: str) -> bool:
        key = (user, verb, subresource)
        until, allowed = self._answers.get(key, (0.0, False))
        if until < time.monotonic():
            attributes = {
                "verb": verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": subresource,
                "name": self._node,
            }
            spec = {"user": user.name, "groups": user.groups, "uid": user.uid, "resourceAttributes": attributes}
            allowed = (await self._review("authorization.k8s.io", "SubjectAccessReview", spec)).allowed
            _keep(self._answers, key, allowed, ALLOWED_KEPT if allowed else DENIED_KEPT)
        return allowed

    async def _review(self, group: str, kind: str, spec: Mapping[str, object]) -> _ReviewStatus:
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        try:
            answer = await self._client.raw("POST", f"/apis/{group}/v1/{kind.lower()}s", body)
        except NotFound:  # an API server that answers no such questions grants nothing
            return _ReviewStatus()
        return msgspec.json.decode(answer, type=_Review).status


def subresource_of(path: str) -> str:
    """The subresource of nodes that a path is authorized as."""
    head = "/" + path.split("/")[1]
    return _SUBRESOURCES.get(head, "proxy")


def _certified(request: web.Request) -> User | None:
    """Who the client's certificate says it is."""
    certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
    pairs = [pair for row in (certificate or {}).get("subject", ()) for pair in row]
    name = next((value for key, value in pairs if key == "commonName"), "")
    groups = tuple(value for key, value in pairs if key == "organizationName")
    return User(name, (*groups, "system:authenticated")) if name else None


def _keep(answers: dict[K, tuple[float, V]], key: K, answer: V, seconds: float) -> None:
    """Remember an answer for a while; the oldest ones make room."""
    while len(answers) >= KEPT:
        del answers[next(iter(answers))]
    answers[key] = (time.monotonic() + seconds, answer)
