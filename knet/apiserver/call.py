"""One request on its way through the handlers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from knet.apiserver.context import Context
from knet.apiserver.field import invalid
from knet.apiserver.http import Answer, Request
from knet.apiserver.negotiation import Form
from knet.apiserver.options import Query
from knet.apiserver.routes import Target
from knet.apiserver.status import bad_request
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
    def include_object(self) -> str:
        """How much of its object each row of a Table shows; StatusError 400.  "" is metadata, as for other forms."""
        wanted = self.query.get("includeObject", "") if self.form.shape == "Table" else ""
        if wanted not in ("", "None", "Metadata", "Object"):
            why = "must be 'Metadata', 'Object', 'None', or empty"
            raise bad_request(f"Unable to convert to Table as requested: {invalid('includeObject', wanted, why)}")
        return wanted

    @property
    def writer(self) -> Writer:
        """In whose name this request writes."""
        agent = self.request.headers.get("User-Agent")
        return Writer(self.user, manager_of(self.query.get("fieldManager", ""), agent))


Handler = Callable[[Call], Awaitable[Answer]]
