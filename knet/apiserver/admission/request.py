"""What admission is told of a request (k8s.io/apiserver/pkg/admission's Attributes)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeVar

import orjson

from knet.api.resources import Resource
from knet.apiserver.decoding import normalise, place
from knet.apiserver.kind import Kind
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


@dataclass(slots=True)
class Reinvocation:
    """Which webhooks the second round of the mutating phase asks again (KEP-492).

    A second round takes place after a webhook has changed the object: all plugins see it again, and of the webhooks
    those whose reinvocationPolicy is IfNeeded, if the object is not what it was when they saw it.
    """

    #: this is the second round; there is no third
    again: bool = False
    #: a webhook has changed the object in the first round
    needed: bool = False
    #: ids of webhooks that want to be asked again and have not been since the last change
    asked: set[str] = field(default_factory=set)
    #: ids of those that have to be
    due: set[str] = field(default_factory=set)
    #: the object as the webhooks left it
    left: bytes = b""

    def changed(self) -> None:
        """The object is not any more what webhooks have seen."""
        self.due |= self.asked
        self.asked = set()


@dataclass(slots=True)
class Request:
    """One write (or connection) on its way to the store.

    ``value`` is the new object, which mutating plugins change in place; None for DELETE.  ``old`` is the present one;
    None for CREATE and CONNECT.  ``body`` is the kind of ``value`` where that is not the target's own: the Scale,
    Binding or Eviction that a subresource is sent, the options of a connection.  ``form`` is the kind in whose form
    the client speaks of the object, where that is not the one in which it is stored.
    """

    context: Context
    target: Target
    operation: Operation
    value: Object | None
    old: Object | None
    options: WriteOptions | DeleteOptions
    body: Resource | None = None
    form: Kind | None = None
    #: what plugins have to do once it is known whether the object has been stored
    settling: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    #: there as soon as a mutating webhook has been asked
    reinvocation: Reinvocation | None = None

    @property
    def resource(self) -> Resource:
        return self.target.kind.resource

    @property
    def kind(self) -> Resource:
        """The registry row of the object's kind."""
        return self.body or self.target.kind.resource

    @property
    def asked(self) -> Kind:
        """The kind that the client names."""
        return self.form or self.target.kind

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

    def shown(self, value: Object | None, form: Kind) -> Object | None:
        """A copy of one of the objects in the form of a kind."""
        if value is None:
            return None
        copy: Object = orjson.loads(orjson.dumps(value))
        return copy if self.body or form is self.target.kind else form.from_stored(copy)

    def replace(self, value: Object, form: Kind) -> None:
        """Take over another new object, in the form of a kind, whose types are right; StatusError 400."""
        if not self.body:
            normalise(form, value)
            if form is not self.target.kind:
                value = self.target.kind.from_stored(form.to_stored(value))
                normalise(self.target.kind, value)
            place(self.target, value["metadata"])
        self.new.clear()
        self.new.update(value)

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
