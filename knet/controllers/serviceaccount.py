"""Every namespace has a ServiceAccount ``default``: without one, pods that name none could not be created."""

from knet.api.objects import Namespace, ServiceAccount
from knet.client import AlreadyExists, ApiError, Controller, Key, NotFound
from knet.controllers.context import Context

NAME = "default"


def build(context: Context) -> Controller:
    reconciler = DefaultServiceAccount(context)
    controller = Controller("serviceaccount", reconciler, workers=1)

    def namespace_changed(old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            controller.enqueue(Key("", new.name))

    def account_changed(old: ServiceAccount | None, new: ServiceAccount | None) -> None:
        if new is None and old is not None and old.name == NAME:
            controller.enqueue(Key("", old.namespace))

    context.informers.of(Namespace).subscribe(namespace_changed)
    context.informers.of(ServiceAccount).subscribe(account_changed)
    return controller


class DefaultServiceAccount:
    """Keys are namespaces."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._namespaces = context.informers.of(Namespace)
        self._accounts = context.informers.of(ServiceAccount)

    async def reconcile(self, key: Key) -> None:
        namespace = self._namespaces.get("", key.name)
        if namespace is None or namespace.deleting or self._accounts.get(key.name, NAME) is not None:
            return
        try:
            made = await self._client.create(ServiceAccount, {"metadata": {"name": NAME}}, key.name)
        except (AlreadyExists, NotFound):
            return
        except ApiError as error:
            if error.code == 403:  # the namespace is going
                return
            raise
        self._accounts.assume(made)
