"""Keeps objects and the network alike, whichever of the two somebody changes.

An object's spec has been answered if its status names its generation.  One that has not been is a wish: it is carried
out, or refused with a message.  Otherwise the network is right, and the spec follows: ``knet link`` and ``knet
machine`` do not ask the API server, which may be what they have just cut off.  After ``knet up`` the network is as the
topology declares it, and so are the specs, whatever was wished before.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from knet.api.objects import JSON
from knet.client import AlreadyExists, Client, Informer, NotFound, Result
from knet.client.client import JSON_PATCH
from knet.client.controller import Key
from knet.cluster import channel
from knet.cluster.errors import KnetError
from knet.cluster.lab import translate
from knet.cluster.lab.definitions import LabObject, Link, Machine
from knet.cluster.lab.translate import Seen
from knet.underlay.plan import CONTROL_PLANE
from knet.underlay.state import LinkState

log = logging.getLogger(__name__)

L = TypeVar("L", bound=LabObject)


@dataclass(frozen=True)
class Kind(Generic[L]):
    """What is particular to Links, and to Machines."""

    cls: type[L]
    wish: Callable[[JSON, Seen], Any]
    """a spec's, in the form in which wishes are compared; ValueError where it makes no sense"""
    requests: Callable[[str, Any, Any], list[JSON]]
    """name, wish, what is → what the supervisor is asked for"""


LINK = Kind(
    Link,
    lambda spec, seen: translate.link_wish(spec, [end for end, _impairment in seen.wish[1]]),
    lambda _name, wish, now: translate.link_requests(wish, now),
)
MACHINE = Kind(Machine, lambda spec, _seen: translate.machine_wish(spec), translate.machine_requests)

Changed = Callable[[type[LabObject], str], None]


class Network:
    """The network as the supervisor last told it; ``changed`` is called for each link and machine that is different."""

    def __init__(self, supervisor: str, changed: Changed) -> None:
        self._supervisor = supervisor
        self._changed = changed
        self._turn = asyncio.Lock()
        self.cluster = ""
        """the life of the cluster"""
        self.seen: dict[type[LabObject], dict[str, Seen]] = {Link: {}, Machine: {}}

    async def refresh(self) -> None:
        """Ask again; KnetError if nobody answers."""
        async with self._turn:
            answer = await self.ask({"op": "status"})
            self.cluster = answer["life"]
            fresh = {
                Link: translate.links(msgspec.convert(answer["links"], list[LinkState])),
                Machine: translate.machines(answer["machines"], answer["components"], answer["partitions"]),
            }
            before, self.seen = self.seen, fresh
        for cls, now in fresh.items():
            for name in now.keys() | before[cls].keys():
                if now.get(name) != before[cls].get(name):
                    self._changed(cls, name)

    async def ask(self, request: JSON) -> JSON:
        """KnetError, in the supervisor's words, if it refuses."""
        answer, _fds = await asyncio.to_thread(channel.request, self._supervisor, request)
        return answer


class LabReconciler(Generic[L]):
    """A Reconciler of one kind."""

    def __init__(self, kind: Kind[L], client: Client, objects: Informer[L], network: Network) -> None:
        self._kind = kind
        self._client = client
        self._objects = objects
        self._network = network
        self._agreed: dict[str, Any] = {}
        """the wish at which an object and the network were last alike, or the network's when it was refused"""

    async def reconcile(self, key: Key) -> Result | None:
        seen, found = self._seen(key.name), self._objects.get("", key.name)
        if seen is None:
            if found is not None:
                await self._explain(found)
        elif found is None:
            try:
                found = await self._client.create(self._kind.cls, {"metadata": {"name": key.name}, "spec": seen.spec})
            except AlreadyExists:
                return Result(0.1)  # it comes by the watch
            self._agreed[key.name] = seen.wish
            await self._tell(found, seen, "")
        elif not found.deleting:
            await self._settle(found, seen)
        return None

    async def _settle(self, found: L, seen: Seen) -> None:
        """One step: carry the object's wish out, or let its spec follow the network."""
        name, message = found.name, found.seen.message
        if found.seen.cluster == self._network.cluster and found.metadata.generation != found.seen.observedGeneration:
            if seen.status.get("role") == CONTROL_PLANE:  # where we run ourselves: later might be too late
                await self._tell(found, seen, message)
            message = await self._fulfil(found, seen)
            seen = self._seen(name) or seen
        else:
            if name not in self._agreed or found.seen.cluster != self._network.cluster:
                refused = message and found.seen.cluster == self._network.cluster
                self._agreed[name] = seen.wish if refused else self._wish(found, seen)
            if self._agreed[name] != seen.wish:
                found, message = await self._follow(found, seen), ""
                self._agreed[name] = seen.wish
        await self._tell(found, seen, message)

    async def _fulfil(self, found: L, seen: Seen) -> str:
        """Do what the object's spec wishes; why that could not be, "" if it could."""
        message = ""
        wish = None
        try:
            wish = self._kind.wish(found.spec, seen)
            for request in self._kind.requests(found.name, wish, seen.wish):
                await self._network.ask(request)
        except (ValueError, KnetError) as error:
            message = str(error)
            log.info("%s %s: %s", self._kind.cls.resource.singular, found.name, message)
        await self._network.refresh()
        now = self._seen(found.name)
        self._agreed[found.name] = now.wish if message and now else wish
        return message

    async def _follow(self, found: L, seen: Seen) -> L:
        """Let the spec be what the network is; Conflict if somebody has just changed it."""
        patch = [
            {"op": "add", "path": "/metadata/resourceVersion", "value": found.metadata.resourceVersion},
            {"op": "add", "path": "/spec", "value": seen.spec},
        ]
        written = await self._client.patch(self._kind.cls, found.name, patch, kind=JSON_PATCH)
        self._objects.assume(written)
        return written

    async def _tell(self, found: L, seen: Seen, message: str) -> None:
        """Write what is seen into the status, if it does not say so."""
        told = {**seen.status, "cluster": self._network.cluster, "message": message}
        told = {name: value for name, value in told.items() if value != ""}
        told["observedGeneration"] = found.metadata.generation
        if found.status != told:
            gone = dict.fromkeys(found.status.keys() - told.keys())
            await self._status(found, {**gone, **told})

    async def _explain(self, found: L) -> None:
        """The object of something that is not there: away with it if it was once, else it is told so."""
        self._agreed.pop(found.name, None)
        if found.seen.cluster:
            try:
                await self._client.delete(self._kind.cls, found.name, uid=found.uid)
            except NotFound:
                pass
        else:
            there = ", ".join(self._network.seen[self._kind.cls])
            what = self._kind.cls.resource.singular
            message = f"there is no {what} {found.name}; a topology declares them. There are: {there}"
            if found.seen.message != message:
                await self._status(found, {"message": message})

    async def _status(self, found: L, status: JSON) -> None:
        written = await self._client.patch(self._kind.cls, found.name, {"status": status}, subresource="status")
        self._objects.assume(written)

    def _seen(self, name: str) -> Seen | None:
        return self._network.seen[self._kind.cls].get(name)

    def _wish(self, found: L, seen: Seen) -> Any:
        try:
            return self._kind.wish(found.spec, seen)
        except ValueError:
            return None
