"""The scheduler's picture of the cluster: nodes, what runs on each, and what has just been placed there.

A placed pod is assumed here before its bind has even been sent, so the next decision reckons with it; the informer
confirms it later, or the failed bind takes it back.  Sums are kept by addition and subtraction: a decision over a
thousand nodes reads them and adds up nothing.
"""

from collections import Counter
from typing import NamedTuple

from knet.api.objects import Node, Pod, Taint
from knet.client import Key, key_of
from knet.scheduler.requests import Amounts, Requests, amounts, pod_requests

#: pods per node where a Node does not say
DEFAULT_MAX_PODS = 110


class HostPort(NamedTuple):
    ip: str
    protocol: str
    port: int

    def conflicts(self, other: "HostPort") -> bool:
        """Same port and protocol, on the same address or with one of them on all addresses."""
        if (self.port, self.protocol) != (other.port, other.protocol):
            return False
        return self.ip == other.ip or "0.0.0.0" in (self.ip, other.ip)


def host_ports(pod: Pod) -> tuple[HostPort, ...]:
    sidecars = [row for row in pod.spec.initContainers if row.restartPolicy == "Always"]
    return tuple(
        HostPort(port.hostIP or "0.0.0.0", port.protocol, port.hostPort)
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports
        if port.hostPort
    )


class Placed(NamedTuple):
    """A pod on a node, with what is needed to take it off again."""

    pod: Pod
    requests: Requests
    ports: tuple[HostPort, ...]
    owner: str


def owner_uid(pod: Pod) -> str:
    """The uid of its controller; "" for a pod of its own."""
    holder = pod.controller()
    return holder.uid if holder is not None else ""


class NodeInfo:
    """One node: its object, its sums, its pods. Only `Cluster` changes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.node = Node()
        self.allocatable: Amounts = {}
        self.max_pods = 0
        self.repelling: tuple[Taint, ...] = ()
        self.discouraging: tuple[Taint, ...] = ()
        self.requested: Amounts = {}
        self.scored_cpu = 0
        self.scored_memory = 0
        self.pods: dict[Key, Placed] = {}
        self.ports: Counter[HostPort] = Counter()
        #: how many pods of each controller run here, for spreading
        self.owners: Counter[str] = Counter()

    @property
    def labels(self) -> dict[str, str]:
        return self.node.metadata.labels

    def set_node(self, node: Node) -> None:
        self.node = node
        self.allocatable = amounts(node.status.allocatable)
        self.max_pods = self.allocatable.pop("pods", DEFAULT_MAX_PODS)
        self.repelling = tuple(taint for taint in node.spec.taints if taint.effect in ("NoSchedule", "NoExecute"))
        self.discouraging = tuple(taint for taint in node.spec.taints if taint.effect == "PreferNoSchedule")

    def put(self, placed: Placed) -> None:
        key = key_of(placed.pod)
        if key in self.pods:
            self.take(key)
        self.pods[key] = placed
        self._count(placed, 1)

    def take(self, key: Key) -> None:
        self._count(self.pods.pop(key), -1)

    def _count(self, placed: Placed, sign: int) -> None:
        requests = placed.requests
        for name, value in requests.asked.items():
            self.requested[name] = self.requested.get(name, 0) + sign * value
        self.scored_cpu += sign * requests.scored[0]
        self.scored_memory += sign * requests.scored[1]
        for port in placed.ports:
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]
        self.owners[placed.owner] += sign
        if not self.owners[placed.owner]:
            del self.owners[placed.owner]


class Cluster:
    """All nodes in the order in which they came, and the node of every placed pod."""

    def __init__(self) -> None:
        self._infos: dict[str, NodeInfo] = {}
        self._home: dict[Key, str] = {}
        self._assumed: set[Key] = set()
        self.namespaces: dict[str, dict[str, str]] = {}
        #: nodes that exist; a NodeInfo may outlive (or precede) its Node for the sake of pods bound to it
        self.nodes: list[NodeInfo] = []
        #: pods whose own (anti-)affinity other pods have to respect
        self.with_affinity: dict[Key, Placed] = {}

    # ---- nodes -----------------------------------------------------------------------------------------------

    def set_node(self, node: Node) -> None:
        info = self._info(node.name)
        info.set_node(node)
        if info not in self.nodes:
            self.nodes.append(info)

    def remove_node(self, name: str) -> None:
        info = self._info(name)
        if info in self.nodes:
            self.nodes.remove(info)
        if not info.pods:
            del self._infos[name]

    def _info(self, name: str) -> NodeInfo:
        if name not in self._infos:
            self._infos[name] = NodeInfo(name)
        return self._infos[name]

    # ---- pods ------------------------------------------------------------------------------------------------

    def node_of(self, key: Key) -> NodeInfo | None:
        """Where a pod runs or is about to."""
        home = self._home.get(key)
        return self._infos.get(home) if home is not None else None

    def assume(self, pod: Pod, node: str) -> None:
        """Count a pod as running on a node whose bind is only on its way."""
        self._place(pod, node)
        self._assumed.add(key_of(pod))

    def confirm(self, pod: Pod) -> None:
        """The API says that a pod is bound: right where it was assumed, or anywhere."""
        self._assumed.discard(key_of(pod))
        self._place(pod, pod.spec.nodeName)

    def forget(self, key: Key) -> None:
        """The bind failed: take the pod back, unless the API has confirmed it all the same."""
        if key in self._assumed:
            self.remove(key)

    def remove(self, key: Key) -> bool:
        """A pod is gone or finished; whether it was placed at all."""
        self._assumed.discard(key)
        self.with_affinity.pop(key, None)
        home = self._home.pop(key, None)
        if home is None:
            return False
        info = self._infos[home]
        info.take(key)
        if not info.pods and info not in self.nodes:
            del self._infos[home]
        return True

    def _place(self, pod: Pod, node: str) -> None:
        key = key_of(pod)
        if self._home.get(key, node) != node:
            self.remove(key)
        placed = Placed(pod, pod_requests(pod), host_ports(pod), owner_uid(pod))
        self._home[key] = node
        self._info(node).put(placed)
        affinity = pod.spec.affinity
        if affinity.podAffinity != _NO_TERMS or affinity.podAntiAffinity != _NO_TERMS:
            self.with_affinity[key] = placed


_NO_TERMS = Pod().spec.affinity.podAffinity
