"""One request on its way through the handlers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from knet.apiserver.context import Context
from knet.apiserver.http import Answer, Request
from knet.apiserver.negotiation import Form
from knet.apiserver.options import Query
from knet.apiserver.routes import Target
from knet.apiserver.user import User, Writer, manager_of


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler needs to know; ``request`` gives body and connection."""

    request: Request
    context: Context
    target: Target
    form: Form
    query: Query
    user: User

    @property
    def writer(self) -> Writer:
        """In whose name this request writes."""
        agent = self.request.headers.get("User-Agent")
        return Writer(self.user, manager_of(self.query.get("fieldManager", ""), agent))


Handler = Callable[[Call], Awaitable[Answer]]
