"""The loop that keeps the EndpointSlices of each Service."""

from knet.api.names import SERVICE_NAME_LABEL, SLICE_MANAGED_BY_LABEL
from knet.api.objects import EndpointSlice, Service
from knet.client import AlreadyExists, ApiError, Controller, Index, Key, NotFound
from knet.controllers.context import Context
from knet.controllers.endpointslice import topology
from knet.controllers.endpointslice.members import Member, members
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
        #: by Service and address type: what was last told of its topology's hints
        self._told: dict[tuple[Key, str], str] = {}

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
            self._told = {known: text for known, text in self._told.items() if known[0] != key}
            return
        existing = [row for row in self._by_service.get((key.namespace, key.name)) if not row.deleting]
        wanted = members(service, self._selection.pods(service), self._selection.node)
        wanted = self._hinted(key, service, wanted)
        changes = plan(service, existing, wanted)
        try:
            await self._apply(key, changes)
        except NotFound:  # the namespace or a slice went meanwhile: its event brings the key back
            return

    def _hinted(self, key: Key, service: Service, wanted: list[Member]) -> list[Member]:
        """The members as the Service's topology mode has them; whenever that turns out otherwise, an Event says so."""
        asked, found = topology.wanted(service), []
        for family in service.spec.ipFamilies or ("IPv4",):
            rows = [row for row in wanted if row.address_type == family]
            reason = topology.DISABLED
            if asked:
                rows, reason = topology.hinted(rows, topology.shares(self._selection.nodes()))
            found += rows
            if self._told.get((key, family), topology.DISABLED) != reason:
                kind, word = ("Warning", "Disabled") if reason else ("Normal", "Enabled")
                message = f"{reason or topology.ENABLED}, addressType: {family}"
                self._events.event(service, kind, f"TopologyAwareHints{word}", message)
            self._told[key, family] = reason
        return found

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
