"""metrics.k8s.io: what nodes and pods use, from the kubelets' own figures; upstream's metrics-server in one module.

Every kubelet keeps readings of its own and answers with rates, so nothing has to be gathered before somebody asks.
Those who ask at the same time share an answer.  A node that does not answer soon is left out, as by upstream.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from knet.api.resources import NODES, PODS, Resource
from knet.api.schema import canonical_quantity
from knet.apiserver.call import Call
from knet.apiserver.context import now
from knet.apiserver.http import Response
from knet.apiserver.list_options import list_options
from knet.apiserver.reach import Reach
from knet.apiserver.reads import find, select
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError, not_found
from knet.apiserver.subresources import computed
from knet.store import Object

log = logging.getLogger(__name__)

#: seconds that a client waits for kubelets, and that a kubelet has (metrics-server: --kubelet-request-timeout)
PATIENCE, TIMEOUT = 1.0, 10.0
_SUMMARY = "/stats/summary?only_cpu_and_memory=true"


class _Cpu(msgspec.Struct, frozen=True):
    time: str
    usageNanoCores: int


class _Memory(msgspec.Struct, frozen=True):
    workingSetBytes: int


class _Part(msgspec.Struct, frozen=True):
    """A container, or the node as a whole."""

    cpu: _Cpu
    memory: _Memory
    name: str = ""

    @property
    def usage(self) -> Object:
        return {
            "cpu": canonical_quantity(f"{self.cpu.usageNanoCores}n"),
            "memory": canonical_quantity(f"{self.memory.workingSetBytes // 1024}Ki"),
        }


class _Reference(msgspec.Struct, frozen=True):
    uid: str


class _Pod(msgspec.Struct, frozen=True):
    podRef: _Reference
    containers: tuple[_Part, ...]


class Summary(msgspec.Struct, frozen=True):
    """What is read of a kubelet's /stats/summary."""

    node: _Part
    pods: tuple[_Pod, ...] = ()


class Metrics:
    """The handlers."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._asking: dict[str, asyncio.Task[Summary | None]] = {}

    async def nodes(self, call: Call) -> Response:
        """GET of NodeMetrics."""
        nodes = {value["metadata"]["name"]: value for value in await _subjects(call, NODES)}
        summaries = await self._summaries(nodes)
        found = [
            _measured(call, nodes[name], summary.node.cpu.time) | {"usage": summary.node.usage}
            for name, summary in summaries.items()
        ]
        return _answer(call, found, call.target.name)

    async def pods(self, call: Call) -> Response:
        """GET of PodMetrics: of pods in which something runs."""
        pods = {value["metadata"]["uid"]: value for value in await _subjects(call, PODS)}
        summaries = await self._summaries({value["spec"].get("nodeName", "") for value in pods.values()} - {""})
        running = {row.podRef.uid: row for summary in summaries.values() for row in summary.pods if row.containers}
        found = [
            _measured(call, pod, running[uid].containers[0].cpu.time)
            | {"containers": [{"name": row.name, "usage": row.usage} for row in running[uid].containers]}
            for uid, pod in pods.items()
            if uid in running
        ]
        return _answer(call, found, f"{call.target.namespace}/{call.target.name}")

    async def _summaries(self, nodes: Iterable[str]) -> dict[str, Summary]:
        """The figures of nodes, in the same order, without those that are not to be had now."""
        asked = {name: self._ask(name) for name in nodes}
        if asked:
            await asyncio.wait(asked.values(), timeout=PATIENCE)
        answers = {name: task.result() for name, task in asked.items() if task.done()}
        return {name: answer for name, answer in answers.items() if answer is not None}

    def _ask(self, node: str) -> "asyncio.Task[Summary | None]":
        task = self._asking.get(node)
        if task is None:
            task = self._asking[node] = asyncio.create_task(self._read(node))
            task.add_done_callback(lambda _: self._asking.pop(node))
        return task

    async def _read(self, node: str) -> Summary | None:
        try:
            async with asyncio.timeout(TIMEOUT):
                data = await self._reach.fetch(self._reach.kubelet(node), _SUMMARY)
            return msgspec.json.decode(data, type=Summary)
        except (StatusError, ConnectionError, TimeoutError, msgspec.DecodeError) as error:
            log.info("no figures of node %s: %s", node, error)
            return None


async def _subjects(call: Call, resource: Resource) -> list[Object]:
    """The nodes or pods that a request is about; StatusError 404."""
    target = Target(call.context.kinds[resource], call.target.namespace, call.target.name)
    if target.name:
        return [find(call.context, target).decode()]
    # pages would have to be of the figures, and there are none of those
    options = replace(list_options(call.query, call.target.kind), limit=0, continues=None)
    return [record.decode() for record in (await select(call.context, target, options))[0]]


def _measured(call: Call, subject: Object, timestamp: str) -> Object:
    resource, metadata = call.target.kind.resource, subject["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": {**kept, "creationTimestamp": now()},
        "timestamp": timestamp,
        "window": f"{call.context.timing.metric_resolution:g}s",
    }


def _answer(call: Call, values: list[Object], name: str) -> Response:
    if not call.target.name:
        return computed.answer_list(call, values, {})
    if not values:
        resource = call.target.kind.resource
        raise not_found(replace(resource, plural=resource.singular), name)
    return computed.answer_one(call, values[0])
