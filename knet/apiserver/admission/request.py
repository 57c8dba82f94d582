"""What admission is told of a request (k8s.io/apiserver/pkg/admission's Attributes)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeVar

from knet.api.resources import Resource
from knet.apiserver.options import DeleteOptions, WriteOptions
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError, forbidden
from knet.apiserver.user import User
from knet.store import Object, Record

if TYPE_CHECKING:  # the context holds the plugins that read it
    from knet.apiserver.context import Context

T = TypeVar("T")

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@lru_cache(maxsize=1024)
def shared(record: Record) -> Object:
    """A record decoded once for all who only look: classes, quotas, webhooks, which every request consults."""
    return record.decode()


@dataclass(frozen=True, slots=True)
class Request:
    """One write (or connection) on its way to the store.

    ``value`` is the new object, which mutating plugins change in place; None for DELETE.  ``old`` is the present one;
    None for CREATE and CONNECT.  ``body`` is the kind of ``value`` where that is not the target's own: the Scale,
    Binding or Eviction that a subresource is sent, the options of a connection.
    """

    context: Context
    target: Target
    operation: Operation
    value: Object | None
    old: Object | None
    options: WriteOptions | DeleteOptions
    body: Resource | None = None
    #: what plugins have to do once it is known whether the object has been stored
    settling: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def resource(self) -> Resource:
        return self.target.kind.resource

    @property
    def kind(self) -> Resource:
        """The registry row of the object's kind."""
        return self.body or self.target.kind.resource

    @property
    def name(self) -> str:
        """Empty for a create by generateName."""
        if self.target.name or self.value is None:
            return self.target.name
        return str(self.value["metadata"].get("name") or "")

    @property
    def namespace(self) -> str:
        """A Namespace is, to admission, in itself."""
        return self.name if self.resource.kind == "Namespace" else self.target.namespace

    @property
    def user(self) -> User:
        return self.options.writer.user

    @property
    def new(self) -> Object:
        """``value``, where the operation has one."""
        assert self.value is not None
        return self.value

    def find(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """An object as it is stored now; shared, so not to be changed."""
        record = self.context.store.get(self.context.kinds[resource].key(namespace, name))
        return shared(record) if record else None

    def derive(self, resource: Resource, make: Callable[[list[Object]], T], namespace: str = "") -> T:
        """A pure function of all objects of a kind (in a namespace); its result is shared, so not to be changed."""
        return self.context.admission.derived.get(self.context, resource, make, namespace)

    async def settle(self) -> None:
        """What was admitted has been stored, or has not been: tell those who wait for the one or the other."""
        while self.settling:
            await self.settling.pop()()

    def warn(self, text: str) -> None:
        """Tell the client, by a Warning header."""
        self.options.warnings.append(text)

    def forbidden(self, why: str) -> StatusError:
        """403 about the object of the request."""
        name = self.name or (self.value or {}).get("metadata", {}).get("generateName") or "Unknown"
        return forbidden(self.resource, str(name), why)
