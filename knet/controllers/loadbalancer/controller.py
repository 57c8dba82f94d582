"""The loop that writes ``status.loadBalancer`` of Services."""

from knet.api.load_balancers import AddressPool, held, is_ours
from knet.api.objects import Service
from knet.client import Controller, Key, NotFound
from knet.client.controller import key_of
from knet.controllers.context import Context
from knet.controllers.loadbalancer.assignment import assign


def build(context: Context) -> Controller:
    # one worker: two Services that are looked at together would be given the same address
    reconciler = Balancers(context)
    controller = Controller("service-lb", reconciler, workers=1)
    reconciler.subscribe(controller)
    return controller


class Balancers:
    """Keys are Services.  Those that found no address wait for one that is given back."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("service-controller")
        self._pool = AddressPool.parse(context.load_balancer_pool)
        self._services = context.informers.of(Service)
        self._waiting: dict[Key, str] = {}

    def subscribe(self, controller: Controller) -> None:
        def changed(old: Service | None, new: Service | None) -> None:
            for row in (old, new):
                if row is not None and (row.spec.type == "LoadBalancer" or held(row)):
                    controller.enqueue(key_of(row))
            if old is not None and (new is None or held(old) != held(new)):
                for key in self._waiting:
                    controller.enqueue(key)

        self._services.subscribe(changed)

    async def reconcile(self, key: Key) -> None:
        service = self._services.get(*key)
        if service is None or service.deleting:
            self._waiting.pop(key, None)
            return
        if not is_ours(service):
            self._waiting.pop(key, None)
            if service.spec.type != "LoadBalancer" and held(service):
                await self._write(service, ())
            return
        taken = {address for row in self._services.list() if key_of(row) != key for address in held(row)}
        try:
            wanted = assign(service, self._pool, taken)
        except LookupError as error:
            await self._fail(service, str(error))
            return
        self._waiting.pop(key, None)
        if wanted != held(service):
            await self._write(service, wanted)
            listed = ", ".join(wanted)
            self._events.event(service, "Normal", "IPAllocated", f"Assigned IP [{listed}]")

    async def _fail(self, service: Service, why: str) -> None:
        key = key_of(service)
        if self._waiting.get(key) != why:
            self._waiting[key] = why
            self._events.event(service, "Warning", "AllocationFailed", f'Failed to allocate IP for "{key}": {why}')
        if held(service):
            await self._write(service, ())

    async def _write(self, service: Service, addresses: tuple[str, ...]) -> None:
        rows = [{"ip": address, "ipMode": "VIP"} for address in addresses]
        patch = {
            "metadata": {"resourceVersion": service.metadata.resourceVersion},
            "status": {"loadBalancer": {"ingress": rows} if rows else {"ingress": None}},
        }
        try:
            written = await self._client.patch(Service, service.name, patch, service.namespace, subresource="status")
        except NotFound:
            return
        self._services.assume(written)
