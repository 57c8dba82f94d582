"""One request on its way through the handlers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from knet.apiserver.authentication import User
from knet.apiserver.context import Context
from knet.apiserver.negotiation import Form
from knet.apiserver.options import Query
from knet.apiserver.routes import Target


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler needs to know; ``request`` gives body and connection."""

    request: web.BaseRequest
    context: Context
    target: Target
    form: Form
    query: Query
    user: User


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
