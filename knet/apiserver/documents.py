"""Everything below the API's roots that is no resource: discovery and OpenAPI documents, built when first asked for.

Documents change only with the kinds that are served, so each is encoded once.
"""

import hashlib
from collections.abc import Callable

import orjson

from knet.apiserver import discovery, openapi
from knet.apiserver.http import Request, Response
from knet.apiserver.negotiation import JSON, YAML, form_of, to_yaml
from knet.apiserver.registry import Registry

Document = Callable[[Request], Response]
#: as old clients ask for it, and as it is: "@" may not stand in a media type
_ASKED_V2 = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0",
)
_PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class Documents:
    """The documents of one server."""

    def __init__(self, kinds: Registry) -> None:
        self._kinds = kinds
        self._plain: dict[str, object] = {}
        self._aggregated: dict[str, object] = {}
        self._openapi: dict[str, bytes] = {}
        kinds.subscribe(self._renew)
        self._renew()

    def _renew(self) -> None:
        resources = discovery.ordered(self._kinds)
        self._plain = discovery.documents(resources)
        self._aggregated = {
            "/api": discovery.aggregated(resources, core=True),
            "/apis": discovery.aggregated(resources, core=False),
        }
        self._openapi = {}

    def find(self, path: str) -> Document | None:
        """The document at a path, None where there is none."""
        path = path.rstrip("/") or "/"
        if path in self._plain:
            return lambda request: self._discovery(request, path)
        if path == "/openapi/v2" or path.startswith("/openapi/v3"):
            if not self._openapi:
                self._openapi = self._build()
            if path in self._openapi:
                return lambda request: self._schema(request, path)
        return None

    def _discovery(self, request: Request, path: str) -> Response:
        accept = request.headers.get("Accept")
        if path in self._aggregated and (media := discovery.wants_aggregated(accept)):
            return _cacheable(request, orjson.dumps(self._aggregated[path]), media)
        data = orjson.dumps(self._plain[path])
        if form_of(accept).yaml:
            return Response(to_yaml(data), content_type=YAML)
        return Response(data)

    def _build(self) -> dict[str, bytes]:
        more = {name: item for kind in self._kinds.values() for name, item in kind.definitions.items()}
        built = openapi.documents(list(self._kinds), more)
        built["/openapi/v3"] = openapi.index(built)
        return built

    def _schema(self, request: Request, path: str) -> Response:
        data = self._openapi[path]
        if path == "/openapi/v2" and request.headers.get("Accept").startswith(_ASKED_V2):
            return _cacheable(request, self._openapi["/openapi/v2.pb"], _PROTOBUF_V2)
        return _cacheable(request, data, JSON)


def _cacheable(request: Request, data: bytes, media: str) -> Response:
    """With an ETag; 304 for a client that has it already."""
    tag = f'"{hashlib.sha256(data).hexdigest()[:32].upper()}"'
    headers = [("ETag", tag), ("Vary", "Accept")]
    if request.headers.get("If-None-Match") == tag:
        return Response(status=304, content_type="", headers=headers)
    return Response(data, content_type=media, headers=headers)
