"""The namespace loop: empty, tell what is left, come back when that changes, finalize."""

from datetime import UTC, datetime

from knet.api.objects import Namespace, Pod
from knet.client import ApiError, Controller, Key, NotFound, Result, key_of
from knet.controllers.conditions import conditions_json
from knet.controllers.context import Context
from knet.controllers.namespace.conditions import describe
from knet.controllers.namespace.content import Remaining, delete_all

#: the finalizer in spec.finalizers that is ours to remove
FINALIZER = "kubernetes"
#: seconds until content without pods is looked at again: it waits for the finalizers of others
RECHECK = 0.5


def build(context: Context) -> Controller:
    reconciler = NamespaceReconciler(context)
    controller = Controller("namespace", reconciler, workers=10, rest=0.02)
    namespaces = context.informers.of(Namespace)

    def namespace_changed(old: Namespace | None, new: Namespace | None) -> None:
        if new is not None and new.deleting:
            controller.enqueue(key_of(new))

    def pod_changed(old: Pod | None, new: Pod | None) -> None:
        # what a namespace usually waits for is that its last pod has ended
        if new is None and old is not None:
            holder = namespaces.get("", old.namespace)
            if holder is not None and holder.deleting:
                controller.enqueue(key_of(holder))

    namespaces.subscribe(namespace_changed)
    context.informers.of(Pod).subscribe(pod_changed)
    return controller


class NamespaceReconciler:
    """Ends namespaces that are marked for deletion."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._namespaces = context.informers.of(Namespace)

    async def reconcile(self, key: Key) -> Result | None:
        namespace = self._namespaces.get(*key)
        if namespace is None or not namespace.deleting or FINALIZER not in namespace.spec.finalizers:
            return None
        left = await delete_all(self._client, namespace.name)
        try:
            if left:
                await self._tell(namespace, left)
                return Result(RECHECK if not left.grace else 1 + left.grace / 2)
            await self._finalize(namespace)
        except NotFound:
            return None
        return None

    async def _tell(self, namespace: Namespace, left: Remaining) -> None:
        conditions = describe(namespace.status.conditions, left, datetime.now(UTC))
        if conditions != namespace.status.conditions:
            body = {"status": {"conditions": conditions_json(conditions)}}
            self._namespaces.assume(await self._client.patch(Namespace, namespace.name, body, subresource="status"))

    async def _finalize(self, namespace: Namespace) -> None:
        """Nothing is left: take our finalizer away, on which the API server removes the namespace."""
        rest = [name for name in namespace.spec.finalizers if name != FINALIZER]
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace.name, "uid": namespace.uid},
            "spec": {"finalizers": rest},
        }
        try:
            await self._client.raw("PUT", Namespace.resource.path("", namespace.name, "finalize"), body)
        except ApiError as error:
            if error.code != 409:  # another namespace by now, or gone
                raise
