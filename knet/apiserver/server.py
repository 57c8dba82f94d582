"""The HTTP side: connection, identity, the way to the right handler, and errors as Status objects.

`knet.apiserver.http` has the connection, `routes` knows every path.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

import orjson

from knet.api.resources import Resource
from knet.apiserver import creating, deleting, history, patching, reads, updating, watching
from knet.apiserver.authentication import Authenticator, impersonation
from knet.apiserver.authorization.attributes import of_path, of_target, refusal
from knet.apiserver.call import Call, Handler
from knet.apiserver.context import Context
from knet.apiserver.health import ENDPOINTS, Health, version
from knet.apiserver.http import Answer, Request, Response
from knet.apiserver.kind import Kind
from knet.apiserver.list_options import list_options
from knet.apiserver.negotiation import PLAIN, encoded, form_for
from knet.apiserver.representation import warned
from knet.apiserver.routes import Routes, Target
from knet.apiserver.status import (
    StatusError,
    bad_request,
    internal_error,
    method_not_allowed,
    no_such_path,
    unavailable,
)
from knet.apiserver.subresources import scale
from knet.apiserver.user import User
from knet.store import Unavailable

log = logging.getLogger(__name__)

#: path → answer, for what is not a resource: discovery, OpenAPI documents
Document = Callable[[Request], Response]


async def _collection_get(call: Call) -> Answer:
    options = list_options(call.query, call.target.kind)
    return await (watching.watch(call, options) if options.watch else reads.list_(call, options))


async def _watch_path(call: Call) -> Answer:
    options = list_options(call.query, call.target.kind, watch=True)
    if name := call.target.name:
        options = replace(options, selection=options.selection.named(name))
    return await watching.watch(call, options)


def _part(name: str) -> Mapping[str, Handler]:
    """Method → handler, of a subresource that writes a part of an object."""

    async def put(call: Call) -> Answer:
        return await updating.update(call, name)

    async def patch(call: Call) -> Answer:
        return await patching.patch(call, name)

    return {"GET": reads.get, "PUT": put, "PATCH": patch}


#: method → verb and handler
_COLLECTION: Mapping[str, tuple[str, Handler]] = {
    "GET": ("list", _collection_get),
    "POST": ("create", creating.create),
    "DELETE": ("deletecollection", deleting.delete_collection),
}
_OBJECT: Mapping[str, tuple[str, Handler]] = {
    "GET": ("get", reads.get),
    "PUT": ("update", updating.update),
    "PATCH": ("patch", patching.patch),
    "DELETE": ("delete", deleting.delete),
}
#: deprecated paths that begin with "watch"
_WATCH: Mapping[str, tuple[str, Handler]] = {"GET": ("watch", _watch_path)}
#: subresources that work alike for every kind
_GENERIC: Mapping[str, Mapping[str, Handler]] = {
    "status": _part("status"),
    "scale": {"GET": scale.get, "PUT": scale.update, "PATCH": scale.patch},
}


def _warning(handler: Handler, text: str) -> Handler:
    """A handler whose answers say that what was asked is deprecated."""

    async def handle(call: Call) -> Answer:
        answer = await handler(call)
        answer.headers += warned((text,))
        return answer

    return handle


class ApiServer:
    """Answers requests; `handle` is what `knet.apiserver.http.HttpServer` calls."""

    def __init__(
        self,
        context: Context,
        authenticator: Authenticator,
        handlers: Mapping[tuple[Resource, str], Mapping[str, Handler]],
        documents: Callable[[str], Document | None],
    ) -> None:
        """``handlers``: (resource, subresource) → method → handler; ``documents`` finds what is no resource.

        The subresource "" stands for a whole resource that is not stored but computed or acted upon.
        """
        self._context = context
        self._authenticator = authenticator
        self._handlers = handlers
        self._methods: dict[tuple[Kind, str, bool, bool], Mapping[str, Handler]] = {}
        self._documents = documents
        self.routes = Routes(context.kinds.by_plural)
        context.kinds.subscribe(self._methods.clear)
        self.ready = False
        self._health = Health(
            {"etcd": lambda: context.store.trouble},
            dict.fromkeys(
                ("poststarthook/bootstrap-controller", "poststarthook/rbac/bootstrap-roles"),
                lambda: "" if self.ready else "not finished",
            ),
        )

    async def handle(self, request: Request) -> Answer:
        """Any request: never raises for what a client did."""
        try:
            return await self._dispatch(request)
        except StatusError as error:
            return _error(request, error)
        except Unavailable as error:
            return _error(request, unavailable(f"the store cannot be written: {error}"))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            if _too_deep(error):
                return _error(request, bad_request("the object is nested too deeply"))
            # the last resort: log it, and answer like upstream
            log.exception("%s %s?%s", request.method, request.path, request.raw_query)
            return _error(request, internal_error(f"{type(error).__name__}: {error}"))

    async def _dispatch(self, request: Request) -> Answer:
        authorizer = self._context.authorizer
        user = self._authenticator.user_of(request)
        if acting := request.headers.prefixed(impersonation.PREFIX):
            user = impersonation.impersonated(user, acting, authorizer)
        target = self.routes.find(request.path)
        wanted = of_target(user, request, target) if target is not None else of_path(user, request)
        decision = authorizer.decide(wanted)
        if not decision.allowed:
            raise refusal(wanted, decision.reason)
        if target is not None:
            return await self._handler(request, target, user)
        return self._document(request)

    def _document(self, request: Request) -> Answer:
        """What is no resource."""
        path = request.path
        if path.startswith(ENDPOINTS):
            answer = self._health.answer(path, request.raw_query)
            if answer is not None:
                return answer
        document = self._own_document(path)
        if document is None and self.routes.serves(path):
            raise no_such_path()
        if document is None:
            return _NOTHING_HERE
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        return document(request)

    def _own_document(self, path: str) -> Callable[[Request], Answer] | None:
        """What is neither a resource nor derived from those that are served."""
        if path in ("/version", "/version/"):
            return lambda _: version()
        if path == history.PATH:
            return functools.partial(history.answer, self._context.store)
        return self._documents(path)

    async def _handler(self, request: Request, target: Target, user: User) -> Answer:
        if not target.name and target.kind.resource.namespaced and not target.namespace and request.method != "GET":
            raise method_not_allowed()
        what = target.kind, target.subresource, bool(target.name), target.watch
        methods = self._methods.get(what)
        if methods is None:
            methods = self._methods_of(*what)
            if text := target.kind.strategy.deprecation:
                methods = {method: _warning(handler, text) for method, handler in methods.items()}
            self._methods[what] = methods
        handler = methods.get(request.method)
        if handler is None:
            raise method_not_allowed()
        form = form_for(request)
        return await handler(Call(request, self._context, target, form, request.query, user))

    def _methods_of(self, kind: Kind, subresource: str, named: bool, watch: bool) -> Mapping[str, Handler]:
        """Method → handler, of a subresource, of an object, or of a collection."""
        own = self._handlers.get((kind.resource, subresource))
        if own is not None and not watch:
            return own
        if subresource in kind.stored.strategy.parts:
            return _part(subresource)
        if subresource:
            return _GENERIC.get(subresource, {})
        methods = _WATCH if watch else _OBJECT if named else _COLLECTION
        return {method: handler for method, (verb, handler) in methods.items() if verb in kind.resource.verbs}


#: what Go's multiplexer says of a path below which nothing is served
_NOTHING_HERE = Response(
    b"404 page not found\n", 404, "text/plain; charset=utf-8", [("X-Content-Type-Options", "nosniff")]
)


def _too_deep(error: Exception) -> bool:
    """Whether it says that an object has more levels than Python's stack or the encoder (254) can take."""
    return isinstance(error, RecursionError) or (
        isinstance(error, orjson.JSONEncodeError) and str(error) == "Recursion limit reached"
    )


def _error(request: Request, error: StatusError) -> Response:
    headers = [("WWW-Authenticate", 'Bearer realm="knet"')] if error.code == 401 else []
    if seconds := (error.details or {}).get("retryAfterSeconds"):
        headers.append(("Retry-After", str(seconds)))
    headers += warned(error.warnings)
    try:
        form = form_for(request)
    except StatusError:
        form = PLAIN
    body, media = encoded(orjson.dumps(error.body()), form)
    return Response(body, error.code, media, headers)
