"""The scheduler's picture of the cluster: nodes, what runs on each, and what has just been placed there.

A placed pod is assumed here before its bind has even been sent, so the next decision reckons with it; the informer
confirms it later, or the failed bind takes it back.  Pods that are alike are counted together by node, so affinity
and spreading look at a handful of groups and not at thousands of pods.
"""

from collections import Counter
from collections.abc import Iterator

from knet.api.objects import Affinity, Node, Pod, Service
from knet.api.policy import PodDisruptionBudget
from knet.api.selectors import Selector
from knet.client import Key
from knet.scheduler.node import NodeInfo
from knet.scheduler.pod import Likeness, PodInfo
from knet.scheduler.storage import Storage

#: changes of nodes that are kept for those who remember something of nodes
_LOG = 4096


class Group:
    """Pods that are alike, and how many of them run on which node."""

    def __init__(self, pod: PodInfo) -> None:
        self.likeness = pod.likeness
        self.namespace = pod.namespace
        self.labels = pod.labels
        self.affinity: Affinity = pod.spec.affinity
        self.nodes: dict[NodeInfo, int] = {}
        self._domains: dict[str, Counter[str]] = {}

    def domains(self, key: str) -> Counter[str]:
        """How many run where a node label has which value; kept up to date once it was asked for."""
        found = self._domains.get(key)
        if found is None:
            found = self._domains[key] = Counter()
            for info, number in self.nodes.items():
                if (value := info.labels.get(key)) is not None:
                    found[value] += number
        return found

    def count(self, info: NodeInfo, by: int) -> None:
        """One more on a node, or one less."""
        number = self.nodes.get(info, 0) + by
        if number:
            self.nodes[info] = number
        else:
            del self.nodes[info]
        for key, domain in self._domains.items():
            if (value := info.labels.get(key)) is not None:
                domain[value] += by

    def relabelled(self, info: NodeInfo) -> None:
        if info in self.nodes:
            self._domains.clear()


class Cluster:
    """All nodes in the order in which they came, and the node of every placed pod."""

    def __init__(self) -> None:
        self._infos: dict[str, NodeInfo] = {}
        self._home: dict[Key, NodeInfo] = {}
        self._assumed: set[Key] = set()
        self._nominated: dict[Key, NodeInfo] = {}
        #: nodes that exist; a NodeInfo may outlive (or precede) its Node for the sake of pods bound to it
        self.nodes: list[NodeInfo] = []
        #: of these: cordoned, with taints that keep pods off, with taints that only discourage
        self.unschedulable: set[NodeInfo] = set()
        self.repelling: set[NodeInfo] = set()
        self.discouraging: set[NodeInfo] = set()
        #: image name → the nodes that have it, with its size in bytes
        self.images: dict[str, dict[NodeInfo, int]] = {}
        #: every running pod belongs to one of these
        self.groups: dict[Likeness, Group] = {}
        #: those whose own (anti-)affinity other pods have to respect
        self.with_terms: dict[Likeness, Group] = {}
        self.namespaces: dict[str, dict[str, str]] = {}
        self.services: dict[Key, Service] = {}
        self.budgets: dict[Key, PodDisruptionBudget] = {}
        #: claim → how many running pods mount it
        self.claim_users: Counter[Key] = Counter()
        self.storage = Storage()
        #: nodes that have changed, in order, again and again; emptied when it has grown long, in a new epoch
        self.changed: list[NodeInfo] = []
        self.epoch = 0

    # ---- nodes -----------------------------------------------------------------------------------------------

    def node(self, name: str) -> NodeInfo | None:
        """A node that exists."""
        info = self._infos.get(name)
        return info if info is not None and info.node.name else None

    def set_node(self, node: Node) -> None:
        info = self._info(node.name)
        if not info.node.name:
            self.nodes.append(info)
        if info.node.status.images != node.status.images:
            self._set_images(info, node)
        self._relabel(info, node)
        for members, is_one in (
            (self.unschedulable, node.spec.unschedulable),
            (self.repelling, bool(info.repelling)),
            (self.discouraging, bool(info.discouraging)),
        ):
            (members.add if is_one else members.discard)(info)

    def remove_node(self, name: str) -> None:
        info = self.node(name)
        if info is None:
            return
        self.nodes.remove(info)
        self._set_images(info, Node())
        self._relabel(info, Node())
        for members in (self.unschedulable, self.repelling, self.discouraging):
            members.discard(info)
        self._tidy(info)

    def _relabel(self, info: NodeInfo, node: Node) -> None:
        changed = info.labels != node.metadata.labels
        info.set_node(node)
        self._note(info)
        if changed and info.pods:
            for group in self.groups.values():
                group.relabelled(info)

    def _set_images(self, info: NodeInfo, node: Node) -> None:
        for row in info.node.status.images:
            for name in row.names:
                holders = self.images.get(name, {})
                holders.pop(info, None)
                if not holders:
                    self.images.pop(name, None)
        for row in node.status.images:
            for name in row.names:
                self.images.setdefault(name, {})[info] = row.sizeBytes

    def _info(self, name: str) -> NodeInfo:
        if name not in self._infos:
            self._infos[name] = NodeInfo(name)
        return self._infos[name]

    def _tidy(self, info: NodeInfo) -> None:
        """Forget a node that neither exists nor is named by a pod."""
        if not info.node.name and not info.pods and not info.nominated:
            self._infos.pop(info.name, None)

    # ---- pods ------------------------------------------------------------------------------------------------

    def home(self, key: Key) -> NodeInfo | None:
        """Where a pod runs or is about to."""
        return self._home.get(key)

    def placed(self, key: Key) -> PodInfo | None:
        info = self._home.get(key)
        return info.pods[key] if info is not None else None

    def assume(self, pod: PodInfo, node: str) -> None:
        """Count a pod as running on a node whose bind is only on its way."""
        self._place(pod, node)
        self._assumed.add(pod.key)

    def confirm(self, pod: Pod) -> None:
        """The API says that a pod is bound: right where it was assumed, or anywhere."""
        key = Key(pod.namespace, pod.name)
        self._assumed.discard(key)
        known = self.placed(key)
        self._place(
            known.renewed(pod) if known is not None and known.uid == pod.uid else PodInfo(pod), pod.spec.nodeName
        )

    def forget(self, key: Key) -> None:
        """The bind failed: take the pod back, unless the API has confirmed it all the same."""
        if key in self._assumed:
            self.remove(key)

    def remove(self, key: Key) -> bool:
        """A pod is gone or finished; whether it was placed at all."""
        self._assumed.discard(key)
        info = self._home.get(key)
        if info is None:
            return False
        self.take(info, info.pods[key])
        del self._home[key]
        self._tidy(info)
        return True

    def _place(self, pod: PodInfo, node: str) -> None:
        info = self._info(node)
        known = self.placed(pod.key)
        if known is not None and self._home[pod.key] is info and _counts_the_same(known, pod):
            info.pods[pod.key] = pod
            return
        if known is not None:
            self.remove(pod.key)
        self._home[pod.key] = self._info(node)
        self.put(self._info(node), pod)

    def put(self, info: NodeInfo, pod: PodInfo) -> None:
        """Count a pod on a node."""
        info.put(pod)
        self._note(info)
        for name in pod.claims:
            self.claim_users[Key(pod.namespace, name)] += 1
        group = self.groups.get(pod.likeness)
        if group is None:
            group = self.groups[pod.likeness] = Group(pod)
            if pod.likeness.terms:
                self.with_terms[pod.likeness] = group
        group.count(info, 1)

    def take(self, info: NodeInfo, pod: PodInfo) -> None:
        """Count it no more; `put` may bring it back (a what-if)."""
        info.take(pod)
        self._note(info)
        for name in pod.claims:
            self.claim_users[Key(pod.namespace, name)] -= 1
        group = self.groups[pod.likeness]
        group.count(info, -1)
        if not group.nodes:
            del self.groups[pod.likeness]
            self.with_terms.pop(pod.likeness, None)

    def _note(self, info: NodeInfo) -> None:
        if len(self.changed) >= _LOG:
            self.changed.clear()
            self.epoch += 1
        self.changed.append(info)

    def like(self, namespace: str, selector: Selector) -> Iterator[Group]:
        """The groups of a namespace that a selector finds."""
        for group in self.groups.values():
            if group.namespace == namespace and selector.matches(group.labels):
                yield group

    # ---- nominations -----------------------------------------------------------------------------------------

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Keep room on a node for a pod that waits there for its victims to go; "": no longer."""
        self.withdraw(pod.key)
        if node:
            info = self._info(node)
            info.nominated[pod.key] = pod
            self._nominated[pod.key] = info

    def withdraw(self, key: Key) -> None:
        info = self._nominated.pop(key, None)
        if info is not None:
            del info.nominated[key]
            self._tidy(info)

    @property
    def nominating(self) -> bool:
        """Whether any pod is nominated anywhere."""
        return bool(self._nominated)

    def nomination(self, key: Key) -> str:
        """The node that a pod is nominated to; "" for none."""
        info = self._nominated.get(key)
        return info.name if info is not None else ""


def _counts_the_same(old: PodInfo, new: PodInfo) -> bool:
    return old.likeness == new.likeness and old.requests == new.requests and old.scored == new.scored
