"""The API client: typed reads, plain-dict writes, errors as exceptions. One connection pool per process."""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import aiohttp
import msgspec
import orjson

from knet.api.objects import JSON, K, Meta, Part
from knet.client.kubeconfig import Access, from_kubeconfig, in_cluster

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

#: seconds for a whole request that is no watch; the API server answers within milliseconds or is unreachable
REQUEST_TIMEOUT = 10
#: a peer that acknowledges nothing for so long is gone (a cut link): the connection fails and is made anew
DEAD_PEER_SECONDS = 5


class Status(Part, frozen=True, kw_only=True):
    """metav1.Status, the body of every error."""

    message: str = ""
    reason: str = ""
    code: int = 0


class ApiError(Exception):
    """The API server refused: ``code`` (HTTP), ``reason`` and ``message`` are upstream's."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


class NotFound(ApiError):
    """404: no such object, or no such kind."""


class Conflict(ApiError):
    """409: somebody else wrote in between."""


class AlreadyExists(ApiError):
    """409 AlreadyExists: an object of that name is there."""


class Gone(ApiError):
    """410: the resourceVersion is too old; list again."""


class Invalid(ApiError):
    """422: the object breaks a rule of its kind."""


class Unavailable(ConnectionError):
    """The API server cannot be reached, or did not answer in time."""


_BY_REASON: dict[str, type[ApiError]] = {
    "NotFound": NotFound,
    "Conflict": Conflict,
    "AlreadyExists": AlreadyExists,
    "Gone": Gone,
    "Expired": Gone,
    "Invalid": Invalid,
}
_status_decoder = msgspec.json.Decoder(Status)


def error_of(code: int, body: bytes) -> ApiError:
    """The exception for an error response, whatever its body is."""
    try:
        status = _status_decoder.decode(body)
    except msgspec.DecodeError:
        status = Status(message=body.decode(errors="replace").strip()[:500])
    kind = _BY_REASON.get(status.reason, NotFound if code == 404 else ApiError)
    return kind(status.code or code, status.reason, status.message or f"the server answered {code}")


@dataclass(frozen=True)
class Listing(Generic[K]):
    """The answer to a list: objects as of one revision, from which a watch goes on."""

    items: tuple[K, ...]
    resource_version: str


@dataclass(frozen=True)
class WatchEvent(Generic[K]):
    """ADDED, MODIFIED or DELETED with the object, or BOOKMARK with just a revision in its metadata."""

    type: str
    object: K


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _ListMeta(msgspec.Struct):
    metadata: Meta
    items: list[msgspec.Raw] | None = None


_event_decoder = msgspec.json.Decoder(_Event)
_list_decoder = msgspec.json.Decoder(_ListMeta)
_decoders: dict[type, Any] = {}


def _decoder(cls: type[K]) -> "msgspec.json.Decoder[K]":
    if cls not in _decoders:
        _decoders[cls] = msgspec.json.Decoder(cls)
    return _decoders[cls]  # type: ignore[no-any-return]


def _socket(address: Any) -> socket.socket:
    """A TCP socket that notices a cut link within seconds, idle (keepalive) or not (user timeout, RFC 5482)."""
    family, kind, protocol = address[:3]
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, DEAD_PEER_SECONDS - 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_SECONDS * 1000)
    return sock


class Client:
    """A connection to one API server under one identity. Make it inside a running event loop; `close` it."""

    def __init__(self, access: Access, user_agent: str) -> None:
        self.access = access
        self._base = access.server.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=access.ssl, keepalive_timeout=60, socket_factory=_socket),
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT),
            auto_decompress=True,
        )

    @classmethod
    def from_kubeconfig(cls, path: str | Path, user_agent: str = "knet", context: str = "") -> "Client":
        return cls(from_kubeconfig(path, context), user_agent)

    @classmethod
    def in_cluster(cls, user_agent: str = "knet") -> "Client":
        """The client of a pod, by its service account."""
        return cls(in_cluster(), user_agent)

    async def close(self) -> None:
        await self._session.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- typed verbs -----------------------------------------------------------------------------------------

    async def get(self, cls: type[K], name: str, namespace: str = "") -> K:
        return _decoder(cls).decode(await self.raw("GET", cls.resource.path(namespace, name)))

    async def list(
        self, cls: type[K], namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> Listing[K]:
        """All objects of a kind, in one namespace or all; raises Gone, Unavailable, ApiError."""
        params = _selection(label_selector, field_selector)
        found = _list_decoder.decode(await self.raw("GET", cls.resource.path(namespace), params=params))
        decode = _decoder(cls).decode
        return Listing(tuple(decode(item) for item in found.items or ()), found.metadata.resourceVersion)

    async def create(self, cls: type[K], body: JSON, namespace: str = "", name: str = "", subresource: str = "") -> K:
        """Create an object, or (with name and subresource: binding, token, eviction) post to a subresource.

        The answer is decoded as ``cls``; raises AlreadyExists, Invalid, NotFound (the namespace), …
        """
        row = cls.resource
        body = {"apiVersion": row.api_version, "kind": row.kind, **body}
        path = row.path(namespace or body.get("metadata", {}).get("namespace", ""), name, subresource)
        return _decoder(cls).decode(await self.raw("POST", path, body))

    async def replace(self, cls: type[K], body: JSON, namespace: str = "", subresource: str = "") -> K:
        """PUT; with metadata.resourceVersion set, Conflict if somebody else wrote since."""
        row, meta = cls.resource, body["metadata"]
        body = {"apiVersion": row.api_version, "kind": row.kind, **body}
        path = row.path(namespace or meta.get("namespace", ""), meta["name"], subresource)
        return _decoder(cls).decode(await self.raw("PUT", path, body))

    async def patch(
        self,
        cls: type[K],
        name: str,
        body: Any,
        namespace: str = "",
        subresource: str = "",
        kind: str = MERGE,
    ) -> K:
        """PATCH with MERGE (RFC 7386), STRATEGIC or JSON_PATCH (RFC 6902).

        A metadata.resourceVersion in a merge patch makes it conditional (Conflict otherwise).
        """
        path = cls.resource.path(namespace, name, subresource)
        return _decoder(cls).decode(await self.raw("PATCH", path, body, content_type=kind))

    async def delete(
        self,
        cls: type[K],
        name: str,
        namespace: str = "",
        grace_period: int | None = None,
        propagation: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """Delete an object; ``uid`` guards against deleting its successor of the same name (Conflict).

        ``resource_version`` guards against any change since it was read.
        """
        options: JSON = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        if propagation:
            options["propagationPolicy"] = propagation
        guards = {"uid": uid, "resourceVersion": resource_version}
        if any(guards.values()):
            options["preconditions"] = {name: value for name, value in guards.items() if value}
        await self.raw("DELETE", cls.resource.path(namespace, name), options)

    async def watch(
        self,
        cls: type[K],
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 0,
    ) -> AsyncIterator[WatchEvent[K]]:
        """Changes after a revision, in order, with bookmarks; ends when the server ends it; raises Gone."""
        params = _selection(label_selector, field_selector)
        params |= {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resource_version}
        if timeout_seconds:
            params["timeoutSeconds"] = str(timeout_seconds)
        decode = _decoder(cls).decode
        async for line in self.lines(cls.resource.path(namespace), params):
            event = _event_decoder.decode(line)
            if event.type == "ERROR":
                raise error_of(500, bytes(event.object))
            yield WatchEvent(event.type, decode(event.object))

    # ---- bytes -----------------------------------------------------------------------------------------------

    async def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """One request; the body of a 2xx answer, else ApiError; Unavailable where no answer comes."""
        headers = {**self._authorization(), **(headers or {})}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            headers["Content-Type"] = content_type
        try:
            async with self._session.request(
                method, self._base + path, data=data, params=params, headers=headers
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {self._base}{path}: {str(error) or type(error).__name__}") from error
        if response.status >= 300:
            raise error_of(response.status, answer)
        return answer

    async def lines(self, path: str, params: dict[str, str] | None = None) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on (watch, log -f); Unavailable where the connection breaks."""
        timeout = aiohttp.ClientTimeout(total=None, connect=REQUEST_TIMEOUT)
        try:
            async with self._session.get(
                self._base + path, params=params, headers=self._authorization(), timeout=timeout
            ) as response:
                if response.status >= 300:
                    raise error_of(response.status, await response.read())
                rest = b""
                async for chunk in response.content.iter_any():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line
                if rest:
                    yield rest
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"GET {self._base}{path}: {str(error) or type(error).__name__}") from error

    def websocket(self, path: str, params: Any, protocols: tuple[str, ...]) -> Any:
        """A WebSocket (exec, attach) as aiohttp's context manager."""
        return self._session.ws_connect(
            self._base + path, params=params, protocols=protocols, headers=self._authorization(), max_msg_size=0
        )

    def _authorization(self) -> dict[str, str]:
        if self.access.token_file is None:
            return {}
        return {"Authorization": f"Bearer {self.access.token_file.read_text().strip()}"}


def _selection(label_selector: str, field_selector: str) -> dict[str, str]:
    params = {}
    if label_selector:
        params["labelSelector"] = label_selector
    if field_selector:
        params["fieldSelector"] = field_selector
    return params
