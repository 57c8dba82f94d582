"""Nodes, pods and a cluster for tests of the scheduler's decisions: no API, no loop."""

from collections.abc import Mapping
from typing import Any

import msgspec

from knet.api.objects import JSON, Node, Pod
from knet.scheduler.cluster import Cluster
from knet.scheduler.configuration import Profile, with_plugins
from knet.scheduler.framework import Framework
from knet.scheduler.plugin import POINTS, Handle, Plugin
from knet.scheduler.pod import PodInfo

GI = 2**30
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def node(name: str, zone: str = "", cpu: str = "4", pods: str = "110", **more: Any) -> Node:
    """4 cores, 8 GiB; ``labels``, ``allocatable`` and ``images`` (name → bytes) on top, all else is spec."""
    labels = {HOSTNAME: name, **({ZONE: zone} if zone else {}), **more.pop("labels", {})}
    allocatable = {"cpu": cpu, "memory": "8Gi", "pods": pods, **more.pop("allocatable", {})}
    images = [{"names": [image], "sizeBytes": size} for image, size in more.pop("images", {}).items()]
    status = {"allocatable": allocatable, "images": images}
    return msgspec.convert({"metadata": {"name": name, "labels": labels}, "spec": more, "status": status}, Node)


def pod(name: str = "new", requests: dict[str, str] | None = None, owner: str = "", port: int = 0, **spec: Any) -> Pod:
    """One container; ``labels`` (app: NAME), ``annotations``, ``status``, ``deleting`` on top; all else is spec."""
    container: JSON = {"name": "c", "image": spec.pop("image", ""), "resources": {"requests": requests or {}}}
    if port:
        container["ports"] = [{"containerPort": 80, "hostPort": port}]
    meta: JSON = {"name": name, "namespace": "default", "uid": name, "labels": spec.pop("labels", {"app": name})}
    meta["annotations"] = spec.pop("annotations", {})
    if owner:
        meta["ownerReferences"] = [{"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}]
    if spec.pop("deleting", False):
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    body = {"metadata": meta, "status": spec.pop("status", {}), "spec": {"containers": [container], **spec}}
    return msgspec.convert(body, Pod)


def cluster(*nodes: Node, running: Mapping[str, list[Pod]] | None = None) -> Cluster:
    made = Cluster()
    for row in nodes:
        made.set_node(row)
    for name, pods in (running or {}).items():
        for row in pods:
            made.assume(PodInfo(row), name)
    return made


def framework(on: Cluster, args: Mapping[str, JSON] | None = None, *more: type[Plugin]) -> Framework:
    """The default profile, with further plugins."""
    registry = with_plugins(more)
    profile = Profile("default-scheduler", dict.fromkeys(POINTS, tuple(registry)), {}, args or {}, 0)
    return profile.framework(registry, Handle(on))


def decided(subject: Pod, by: Framework) -> str:
    """The node's name, or the message."""
    decision = by.decide(PodInfo(subject))
    if decision.node is not None:
        return decision.node.name
    decision.diagnosis.addition = by.nomination(decision).message
    return decision.diagnosis.message


def place(subject: Pod, on: Cluster, args: Mapping[str, JSON] | None = None) -> str:
    return decided(subject, framework(on, args))
