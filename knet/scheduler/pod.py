"""A pod as the scheduler and its plugins see it: its object, and what was worked out of it once."""

from typing import NamedTuple

import msgspec

from knet.api.host_ports import HostPort, host_ports
from knet.api.objects import Affinity, Pod
from knet.client import key_of
from knet.scheduler.requests import pod_requests


class Likeness(NamedTuple):
    """All that (anti-)affinity and spreading ask of a pod that runs; pods of one template are alike.

    ``terms``: its own affinity to other pods, encoded; b"" for none.
    """

    namespace: str
    labels: frozenset[tuple[str, str]]
    owner: str
    deleting: bool
    terms: bytes


class Shape(NamedTuple):
    """All that a pod asks of a node by itself; ``wishes``: node name, selector and affinity, tolerations, encoded."""

    requests: tuple[tuple[str, int], ...]
    scored: tuple[tuple[str, int], ...]
    ports: tuple[HostPort, ...]
    wishes: bytes


class PodInfo:
    """``metadata``, ``spec`` and ``status`` are the object's; ``requests`` by resource (cpu in thousandths)."""

    __slots__ = (
        "claims",
        "key",
        "labels",
        "likeness",
        "metadata",
        "name",
        "namespace",
        "pod",
        "ports",
        "priority",
        "requests",
        "scored",
        "shape",
        "spec",
        "status",
        "uid",
    )

    def __init__(self, pod: Pod) -> None:
        self._take_over(pod)
        asked = pod_requests(pod)
        self.requests = asked.asked
        #: as scores reckon with them: something of cpu and memory also for containers that request nothing
        self.scored = asked.scored
        self.ports = host_ports(pod)
        spec = pod.spec
        wishes = msgspec.json.encode((spec.nodeName, spec.nodeSelector, spec.affinity.nodeAffinity, spec.tolerations))
        self.shape = Shape(tuple(self.requests.items()), tuple(self.scored.items()), self.ports, wishes)
        #: names of the claims that it mounts
        self.claims = tuple(name for row in pod.spec.volumes if (name := row.claim_of(pod.name)))

    def _take_over(self, pod: Pod) -> None:
        self.pod = pod
        self.metadata, self.spec, self.status = pod.metadata, pod.spec, pod.status
        self.key = key_of(pod)
        self.name, self.namespace, self.uid = pod.metadata.name, pod.metadata.namespace, pod.metadata.uid
        self.labels = pod.metadata.labels
        self.priority = pod.spec.priority
        self.likeness = _likeness(pod)

    def renewed(self, pod: Pod) -> "PodInfo":
        """The same for a later state of the object, without reckoning anew what cannot have changed."""
        same = self.spec.containers == pod.spec.containers if pod.spec.nodeName else self.spec == pod.spec
        if not same:
            return PodInfo(pod)
        fresh = object.__new__(PodInfo)
        fresh._take_over(pod)
        fresh.requests, fresh.scored, fresh.shape = self.requests, self.scored, self.shape
        fresh.ports, fresh.claims = self.ports, self.claims
        return fresh


_NO_TERMS = Affinity().podAffinity


def has_terms(pod: Pod) -> bool:
    """Whether it has any (anti-)affinity to other pods."""
    affinity = pod.spec.affinity
    return affinity.podAffinity != _NO_TERMS or affinity.podAntiAffinity != _NO_TERMS


def _likeness(pod: Pod) -> Likeness:
    meta = pod.metadata
    holder = pod.controller() if meta.ownerReferences else None
    terms = msgspec.json.encode(pod.spec.affinity) if has_terms(pod) else b""
    owner = holder.uid if holder is not None else ""
    return Likeness(meta.namespace, frozenset(meta.labels.items()), owner, meta.deletionTimestamp is not None, terms)
