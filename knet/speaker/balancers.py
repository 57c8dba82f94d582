"""What the API says about load balancers, as far as speakers go by it."""

import asyncio
import logging
from collections.abc import Callable

from knet.api.load_balancers import held
from knet.api.objects import EndpointSlice, KubeObject, Node, Service
from knet.client import Client, EventRecorder, Informer
from knet.kernel.recorder import record
from knet.speaker.ranking import homes

log = logging.getLogger(__name__)


class Balancers:
    """Services of type LoadBalancer, Nodes and, from the first Service on that ``needs`` them, EndpointSlices.

    ``changed`` is called when something is different that matters here.  ``protocol`` is for Events: "layer2", "bgp".
    """

    def __init__(
        self, client: Client, node: str, protocol: str, needs: Callable[[Service], bool], changed: Callable[[], None]
    ) -> None:
        self.services = Informer(client, Service, field_selector="spec.type=LoadBalancer")
        self.nodes = Informer(client, Node)
        self._slices: Informer[EndpointSlice] | None = None
        self._client = client
        self._events = EventRecorder(client, "speaker", node)
        self._told = f'announcing from node "{node}" with protocol "{protocol}"'
        self._needs = needs
        self._notify = changed

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Return once everything is known."""
        for informer in (self.services, self.nodes):
            informer.subscribe(self._changed)
            tasks.create_task(informer.run())
        tasks.create_task(self._events.run())
        await self.services.synced.wait()
        await self.nodes.synced.wait()
        await self.follow(tasks)

    async def follow(self, tasks: asyncio.TaskGroup) -> None:
        """After a change: see to it that EndpointSlices are known if they are needed now."""
        if self._slices is None and any(self._needs(service) for service in self.services.list()):
            self._slices = Informer(self._client, EndpointSlice)
            self._slices.subscribe(self._changed)
            tasks.create_task(self._slices.run())
            await self._slices.synced.wait()

    def homes(self) -> dict[tuple[str, str], set[str]]:
        """Namespace and name of a Service → the nodes of its ready endpoints."""
        return homes(self._slices.list()) if self._slices is not None else {}

    def announced(self, address: str) -> None:
        """An address is announced from here now: told in the log and to who looks at its Service."""
        log.info("%s: announced from here", address)
        for service in self._having(address):
            record("speaker", "routes", (service.ref,), "%s announced from here", address)
            self._events.event(service, "Normal", "nodeAssigned", self._told)

    def withdrawn(self, address: str) -> None:
        """It no longer is."""
        log.info("%s: no longer announced from here", address)
        about = tuple(service.ref for service in self._having(address))
        record("speaker", "routes", about, "%s no longer announced from here", address)

    def _having(self, address: str) -> list[Service]:
        return [service for service in self.services.list() if address in held(service)]

    def _changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        if _essence(old) != _essence(new):
            self._notify()


def _essence(row: KubeObject | None) -> object:
    """What matters of it here: Nodes and Services change all the time."""
    if isinstance(row, Node):
        return row.uid, row.metadata.labels, row.deleting, row.ready, row.status.addresses
    if isinstance(row, Service):
        return held(row), row.spec.externalTrafficPolicy, row.spec.loadBalancerClass
    if isinstance(row, EndpointSlice):
        return row.metadata.labels, [(entry.nodeName, entry.conditions.ready) for entry in row.endpoints]
    return None
