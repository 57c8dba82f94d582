"""DefaultBinder: tells the API which node a pod is to run on."""

import asyncio

from knet.api.objects import JSON, Pod
from knet.client import Client
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import Handle, Plugin
from knet.scheduler.pod import PodInfo

#: binds under way together: the API server is one process, more only queue there
CONCURRENT = 16


class DefaultBinder(Plugin):
    _client: Client | None = None

    def setup(self, handle: Handle, args: JSON) -> None:
        self._client = handle.client
        self._gate = asyncio.Semaphore(CONCURRENT)

    async def bind(self, pod: PodInfo, node: NodeInfo) -> None:
        """Raises ApiError, Unavailable."""
        assert self._client is not None
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node.name},
        }
        async with self._gate:
            await self._client.raw("POST", Pod.resource.path(pod.namespace, pod.name, "binding"), body)
