"""The loop that keeps the EndpointSlices of each Service."""

from knet.api.names import SERVICE_NAME_LABEL, SLICE_MANAGED_BY_LABEL
from knet.api.objects import EndpointSlice
from knet.client import AlreadyExists, ApiError, Controller, Index, Key, NotFound
from knet.controllers.context import Context
from knet.controllers.endpointslice.members import members
from knet.controllers.endpointslice.selection import Selection
from knet.controllers.endpointslice.slices import MANAGER, Changes, create_body, plan, update_body

#: seconds between two passes over one Service; every slice written goes to every kube-proxy
REST = 0.005


def build(context: Context) -> Controller:
    reconciler = SliceReconciler(context)
    controller = Controller("endpointslice", reconciler, workers=5, rest=REST)
    reconciler.subscribe(controller)
    return controller


class SliceReconciler:
    """Writes what `slices.plan` says; reads its own writes back at once, so a burst never makes a slice twice."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("endpoint-slice-controller")
        self._selection = Selection(context)
        self._slices = context.informers.of(EndpointSlice)
        self._by_service = Index(self._slices, _service_of)

    def subscribe(self, controller: Controller) -> None:
        def slice_changed(old: EndpointSlice | None, new: EndpointSlice | None) -> None:
            for row in (old, new):
                for namespace, name in _service_of(row) if row is not None else ():
                    controller.enqueue(Key(namespace, name))

        self._selection.subscribe(controller.enqueue)
        self._slices.subscribe(slice_changed)

    async def reconcile(self, key: Key) -> None:
        service = self._selection.service(key)
        if service is None or service.deleting or not service.spec.selector or service.spec.type == "ExternalName":
            return
        existing = [row for row in self._by_service.get((key.namespace, key.name)) if not row.deleting]
        wanted = members(service, self._selection.pods(service), self._selection.node)
        changes = plan(service, existing, wanted)
        try:
            await self._apply(key, changes)
        except NotFound:  # the namespace or a slice went meanwhile: its event brings the key back
            return

    async def _apply(self, key: Key, changes: Changes) -> None:
        service = self._selection.service(key)
        if service is None:
            return
        for update in changes.update:
            row = update.slice
            written = await self._client.patch(EndpointSlice, row.name, update_body(service, update), row.namespace)
            self._slices.assume(written)
        for create in changes.create:
            try:
                made = await self._client.create(EndpointSlice, create_body(service, create), service.namespace)
            except AlreadyExists:  # five random characters met twice: the next pass throws again
                raise
            except ApiError as error:
                if error.code == 403 and "because it is being terminated" in error.message:
                    return
                message = f"Error updating Endpoint Slices for Service {key}: {error}"
                self._events.event(service, "Warning", "FailedToUpdateEndpointSlices", message)
                raise
            self._slices.assume(made)
        for row in changes.delete:
            await self._client.delete(EndpointSlice, row.name, row.namespace, uid=row.uid)


def _service_of(row: EndpointSlice) -> tuple[tuple[str, str], ...]:
    """The Service of a slice that we manage; slices of others (a user's, the API server's) are none of our business."""
    labels = row.metadata.labels
    if labels.get(SLICE_MANAGED_BY_LABEL) != MANAGER or SERVICE_NAME_LABEL not in labels:
        return ()
    return ((row.namespace, labels[SERVICE_NAME_LABEL]),)
