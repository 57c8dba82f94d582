"""Every namespace has a ConfigMap ``kube-root-ca.crt``, by which its pods know the API server (KEP-1205)."""

from knet.api.objects import ConfigMap, Namespace
from knet.client import AlreadyExists, ApiError, Controller, Key, NotFound
from knet.controllers.context import Context

NAME = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def build(context: Context) -> Controller:
    reconciler = RootCa(context)
    controller = Controller("root-ca-certificate-publisher", reconciler, workers=1)

    def namespace_changed(old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            controller.enqueue(Key("", new.name))

    def published_changed(old: ConfigMap | None, new: ConfigMap | None) -> None:
        changed = new or old
        assert changed is not None
        controller.enqueue(Key("", changed.namespace))

    context.informers.of(Namespace).subscribe(namespace_changed)
    context.informers.of(ConfigMap, field_selector=f"metadata.name={NAME}").subscribe(published_changed)
    return controller


class RootCa:
    """Keys are namespaces."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._namespaces = context.informers.of(Namespace)
        self._published = context.informers.of(ConfigMap, field_selector=f"metadata.name={NAME}")
        self._data = {"ca.crt": context.client.access.ca.decode()}

    async def reconcile(self, key: Key) -> None:
        namespace = self._namespaces.get("", key.name)
        if namespace is None or namespace.deleting:
            return
        current = self._published.get(key.name, NAME)
        if current is not None and current.data == self._data:
            return
        metadata = {"name": NAME, "annotations": {"kubernetes.io/description": _DESCRIPTION}}
        body = {"metadata": metadata, "data": self._data}
        try:
            if current is None:
                written = await self._client.create(ConfigMap, body, key.name)
            else:
                written = await self._client.replace(ConfigMap, body, key.name)
        except (AlreadyExists, NotFound):
            return
        except ApiError as error:
            if error.code == 403:  # the namespace is going
                return
            raise
        self._published.assume(written)
