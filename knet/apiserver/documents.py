"""Everything below the API's roots that is no resource: discovery and OpenAPI documents, built when first asked for.

Documents change only with the kinds that are served, so each is encoded, and its ETag reckoned, once.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson

from knet.api.resources import Resource
from knet.apiserver import discovery, openapi
from knet.apiserver.http import Request, Response
from knet.apiserver.negotiation import JSON, encoded, form_for
from knet.apiserver.registry import Registry
from knet.apiserver.status import not_acceptable

#: what answers for a path
Document = Callable[[Request], Response]

_SPEC = "application/com.github.proto-openapi.spec.v2"
#: media types under which an OpenAPI document is asked for → what it is then, and what is appended to its path
_V3 = dict.fromkeys((JSON, "application/*", "*/*"), (JSON, ""))
_V2 = {
    **_V3,
    # ("@" may not stand in a media type, but old clients write it)
    **dict.fromkeys((f"{_SPEC}@v1.0+protobuf", f"{_SPEC}.v1.0+protobuf"), (f"{_SPEC}.v1.0+protobuf", ".pb")),
}


class _Encoded:
    """A document's bytes and their hash, by which clients and their caches know it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.hash = hashlib.sha256(data).hexdigest().upper()

    def answer(self, request: Request, media: str, cache: str = "public") -> Response:
        """With an ETag; 304 for a client that has it already."""
        tag = f'"{self.hash}"'
        headers = [("ETag", tag), ("Vary", "Accept")]
        if request.headers.get("If-None-Match") == tag:
            return Response(status=304, content_type="", headers=headers, cache=cache)
        return Response(self.data, content_type=media, headers=headers, cache=cache)


class Documents:
    """The documents of one server."""

    def __init__(self, kinds: Registry, fixed: Mapping[str, tuple[str, bytes]]) -> None:
        """``fixed``: path → media type and content of what depends on no kind."""
        self._kinds = kinds
        self._fixed = fixed
        self._plain: dict[str, object] = {}
        self._aggregated: dict[tuple[str, str], _Encoded] = {}
        self._openapi: dict[str, _Encoded] = {}
        kinds.subscribe(self._renew)
        self._renew()

    def _renew(self) -> None:
        self._plain = discovery.documents(self._resources, self._fixed)
        self._aggregated = {}
        self._openapi = {}

    @property
    def _resources(self) -> list[Resource]:
        return discovery.ordered(self._kinds)

    def find(self, path: str) -> Document | None:
        """The document at a path, None where there is none."""
        path = path.rstrip("/") or "/"
        if path in self._plain:
            return lambda request: self._discovery(request, path)
        if path == "/openapi/v2":
            return self._second
        if found := self._fixed.get(path):
            media, data = found
            return lambda _: Response(data, content_type=media, cache="public, max-age=3600")
        if path.startswith("/openapi/v3") and path in self._built:
            return lambda request: self._third(request, path)
        return None

    def _discovery(self, request: Request, path: str) -> Response:
        accept = request.headers.get("Accept")
        if path in ("/api", "/apis") and (version := discovery.wants_aggregated(accept)):
            media = f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            return self._whole(path, version).answer(request, media)
        data, media = encoded(orjson.dumps(self._plain[path]), form_for(request))
        return Response(data, content_type=media)

    def _whole(self, path: str, version: str) -> _Encoded:
        found = self._aggregated.get((path, version))
        if found is None:
            listing = discovery.aggregated(self._resources, path == "/api", version)
            found = self._aggregated[path, version] = _Encoded(orjson.dumps(listing))
        return found

    @property
    def _built(self) -> Mapping[str, _Encoded]:
        if not self._openapi:
            more = {name: item for kind in self._kinds.values() for name, item in kind.definitions.items()}
            documents = openapi.documents(list(self._kinds), more)
            self._openapi = {path: _Encoded(data) for path, data in documents.items()}
            hashes = {path: row.hash for path, row in self._openapi.items() if path.startswith("/openapi/v3/")}
            self._openapi["/openapi/v3"] = _Encoded(openapi.index(hashes))
        return self._openapi

    def _second(self, request: Request) -> Response:
        media, suffix = _chosen(request, _V2)
        return self._built["/openapi/v2" + suffix].answer(request, media)

    def _third(self, request: Request, path: str) -> Response:
        """With the hash that the index names, a document that never changes; with another, the way to that one."""
        media, _ = _chosen(request, _V3)
        found = self._built[path]
        wanted = request.query.get("hash", "")
        if not wanted or path == "/openapi/v3":
            return found.answer(request, media)
        if wanted != found.hash:
            return Response(status=301, content_type="", headers=[("Location", f"{path}?hash={found.hash}")])
        answer = found.answer(request, media, "public, immutable")
        in_a_year = datetime.now(UTC) + timedelta(days=365)
        answer.headers.append(("Expires", format_datetime(in_a_year, usegmt=True)))
        return answer


def _chosen(request: Request, offers: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """The first offer that the client accepts; StatusError 406."""
    accept = request.headers.get("Accept") or "*/*"
    for entry in accept.split(","):
        if offer := offers.get(entry.partition(";")[0].strip()):
            return offer
    raise not_acceptable(", ".join(dict.fromkeys(media for media, _ in offers.values())))
