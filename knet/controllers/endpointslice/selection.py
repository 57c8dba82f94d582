"""From a changed pod, node or Service to the Services whose endpoints may be others now."""

from collections.abc import Callable, Iterable

from knet.api.names import ZONE_LABEL
from knet.api.objects import Node, Pod, Service
from knet.api.selectors import from_labels
from knet.client import Index, Key, key_of
from knet.controllers.context import Context
from knet.controllers.endpointslice.topology import capacity, wanted


class Selection:
    """Services and their pods, found by each other."""

    def __init__(self, context: Context) -> None:
        self._services = context.informers.of(Service)
        self._pods = context.informers.of(Pod)
        self._nodes = context.informers.of(Node)
        self._by_namespace = Index(self._services, lambda row: (row.namespace,))
        self._pods_by_namespace = Index(self._pods, lambda row: (row.namespace,))

    def service(self, key: Key) -> Service | None:
        return self._services.get(*key)

    def node(self, name: str) -> Node | None:
        return self._nodes.get("", name)

    def nodes(self) -> Iterable[Node]:
        return self._nodes.list()

    def pods(self, service: Service) -> list[Pod]:
        """The pods that its selector matches, by address, so that two passes see them in one order."""
        selector = from_labels(service.spec.selector)
        rows = self._pods_by_namespace.get(service.namespace)
        found = [pod for pod in rows if pod.status.podIP and selector.matches(pod.metadata.labels)]
        return sorted(found, key=lambda pod: (pod.status.podIP, pod.name))

    def subscribe(self, enqueue: Callable[[Key], None]) -> None:
        def service_changed(old: Service | None, new: Service | None) -> None:
            changed = new or old
            assert changed is not None
            enqueue(key_of(changed))

        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            if old is not None and new is not None and _as_endpoint(old) == _as_endpoint(new):
                return
            for key in {key for pod in (old, new) if pod is not None for key in self._selecting(pod)}:
                enqueue(key)

        def node_changed(old: Node | None, new: Node | None) -> None:
            there = [row for row in (old, new) if row is not None]
            moved = len(there) < 2 or len(set(map(_zone, there))) > 1
            if moved or len(set(map(capacity, there))) > 1:
                for service in self._services.list():
                    if moved or wanted(service):
                        enqueue(key_of(service))

        self._services.subscribe(service_changed)
        self._pods.subscribe(pod_changed)
        self._nodes.subscribe(node_changed)

    def _selecting(self, pod: Pod) -> list[Key]:
        if not pod.status.podIP:
            return []
        return [
            key_of(service)
            for service in self._by_namespace.get(pod.namespace)
            if from_labels(service.spec.selector).matches(pod.metadata.labels)
        ]


def _as_endpoint(pod: Pod) -> tuple[object, ...]:
    """All of a pod that its endpoint shows."""
    spec, status = pod.spec, pod.status
    return pod.ready, pod.deleting, pod.finished, status.podIP, status.podIPs, spec.nodeName, pod.metadata.labels


def _zone(node: Node) -> str:
    return node.metadata.labels.get(ZONE_LABEL, "")
