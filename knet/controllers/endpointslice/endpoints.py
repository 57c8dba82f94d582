"""The loop that keeps the Endpoints object of each Service."""

import msgspec

from knet.api.names import HEADLESS_LABEL
from knet.api.objects import JSON, Endpoints, EndpointSubset, Service
from knet.client import AlreadyExists, ApiError, Controller, Key, NotFound, key_of
from knet.controllers.context import Context
from knet.controllers.endpointslice.selection import Selection
from knet.controllers.endpointslice.subsets import MAX_ADDRESSES, subsets

#: tells our Endpoints from those that a user wrote by hand for a Service without selector
MANAGED_LABEL = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
#: seconds between two passes over one Service: nothing in knet forwards packets by this object
REST = 0.05


def build(context: Context) -> Controller:
    reconciler = EndpointsReconciler(context)
    controller = Controller("endpoints", reconciler, workers=2, rest=REST)
    reconciler.subscribe(controller)
    return controller


class EndpointsReconciler:
    """One object per Service, of the Service's name."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._selection = Selection(context)
        self._endpoints = context.informers.of(Endpoints)

    def subscribe(self, controller: Controller) -> None:
        def endpoints_changed(old: Endpoints | None, new: Endpoints | None) -> None:
            changed = new or old
            assert changed is not None
            controller.enqueue(key_of(changed))

        self._selection.subscribe(controller.enqueue)
        self._endpoints.subscribe(endpoints_changed)

    async def reconcile(self, key: Key) -> None:
        service = self._selection.service(key)
        current = self._endpoints.get(*key)
        if service is None:
            await self._remove_orphan(current)
            return
        if service.deleting or not service.spec.selector or service.spec.type == "ExternalName":
            return
        pods = self._selection.pods(service)
        body = endpoints_body(service, current, subsets(service, pods), over_capacity=len(pods) > MAX_ADDRESSES)
        if body is None:
            return
        try:
            if current is None:
                self._endpoints.assume(await self._client.create(Endpoints, body, key.namespace))
            else:
                self._endpoints.assume(await self._client.patch(Endpoints, key.name, body, key.namespace))
        except (NotFound, AlreadyExists):  # gone or made meanwhile: the event of that brings the key back
            return
        except ApiError as error:
            if error.code != 403 or "because it is being terminated" not in error.message:
                raise

    async def _remove_orphan(self, current: Endpoints | None) -> None:
        """Endpoints carry no ownerReference (upstream neither); they go with the Service that we made them for."""
        if current is None or current.deleting or MANAGED_LABEL not in current.metadata.labels:
            return
        try:
            await self._client.delete(Endpoints, current.name, current.namespace, uid=current.uid)
        except NotFound:
            return


def endpoints_body(service: Service, current: Endpoints | None, rows: list[JSON], over_capacity: bool) -> JSON | None:
    """What to create, or the merge patch to send; None if the object says all this already."""
    labels = {name: text for name, text in service.metadata.labels.items() if name != HEADLESS_LABEL}
    labels[MANAGED_LABEL] = "endpoint-controller"
    if service.headless:
        labels[HEADLESS_LABEL] = ""
    annotations = {OVER_CAPACITY: "truncated"} if over_capacity else {}
    if current is None:
        metadata = {"name": service.name, "labels": labels, "annotations": annotations}
        return {"metadata": metadata, "subsets": rows}
    marked = OVER_CAPACITY in current.metadata.annotations
    if (
        current.metadata.labels == labels
        and current.subsets == msgspec.convert(rows, tuple[EndpointSubset, ...])
        and marked == over_capacity
    ):
        return None
    gone = {name: None for name in current.metadata.labels if name not in labels}
    return {
        "metadata": {
            "resourceVersion": current.metadata.resourceVersion,
            "labels": {**labels, **gone},
            "annotations": {OVER_CAPACITY: "truncated" if over_capacity else None},
        },
        "subsets": rows or None,
    }
