"""What cannot be told beforehand of an object that is to be applied, in a line each: what is not final, what follows.

A Deployment's pods have no addresses yet; which Services they will be behind, and which policies will isolate them, is
known by their labels.  Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from knet.api.load_balancers import held
from knet.api.objects import JSON, LabelSelector
from knet.api.selectors import from_label_selector, from_labels
from knet.client.controller import Key
from knet.inspect import desired
from knet.inspect.explain.ingress import served
from knet.inspect.explain.objects import KINDS, selected
from knet.inspect.world import World

#: kinds with a template for pods → how many there will be
WORKLOADS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController")


def notes(kind: str, written: JSON, becomes: JSON, world: World, new: bool) -> list[str]:
    """Of an object as it was ``written`` and as the API server would make it; ``world`` is the one with it."""
    rows: list[str] = []
    if kind in _NOTES:
        rows += _NOTES[kind](written, becomes, world, new)
    elif kind in WORKLOADS:
        rows += _workload(kind, becomes, world)
    elif kind not in KINDS:
        rows.append(f"no packet depends on a {kind}")
    return rows


def _service(written: JSON, becomes: JSON, world: World, new: bool) -> Iterator[str]:
    said, spec = written.get("spec") or {}, becomes["spec"]
    address = spec.get("clusterIP", "None")
    if new and address != "None" and not said.get("clusterIP"):
        yield f"the ClusterIP {address} is not final: it is taken from the free ones when the Service is created"
    asked = {row.get("port"): row.get("nodePort") for row in said.get("ports") or ()}
    ports = [
        str(row["nodePort"]) for row in spec.get("ports") or () if row.get("nodePort") and not asked.get(row["port"])
    ]
    if new and ports:
        yield f"{_count(len(ports), 'node port')} likewise: {', '.join(ports)}"
    balanced = ((becomes.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if spec.get("type") == "LoadBalancer" and not balanced:
        service = world.services.get(Key(becomes["metadata"]["namespace"], becomes["metadata"]["name"]))
        if service and (addresses := held(service)):
            listed = ", ".join(addresses)
            yield f"its load balancer's address is given after that: {listed}, the lowest that is free now"
        else:
            yield "its load balancer has no address: none is free, or it is for another controller to give one"
    if spec.get("type") == "ExternalName":
        return
    if selector := spec.get("selector"):
        pods = list(selected(world, becomes["metadata"]["namespace"], selector))
        if not pods:
            yield f"it selects no pod that has an address ({_labels(selector)}): connections are refused until it does"
    else:
        yield "it has no selector: its endpoints are the EndpointSlices that somebody else writes"


def _pod(written: JSON, becomes: JSON, world: World, new: bool) -> Iterator[str]:
    if not (becomes.get("status") or {}).get("podIP"):
        meta = becomes["metadata"]
        follows = _of_pods(meta["namespace"], meta.get("labels") or {}, world)
        yield f"it has no address until it runs; then: {follows}"


def _policy(written: JSON, becomes: JSON, world: World, new: bool) -> Iterator[str]:
    key = Key(becomes["metadata"]["namespace"], becomes["metadata"]["name"])
    policy = desired.meanings(world).get(key)
    if world.settings.policy == "none":
        yield "nobody enforces it: the cluster was brought up with --policy none"
    elif policy is not None:
        count = sum(row.namespace == key.namespace and policy.pods.matches(dict(row.labels)) for row in _pods(world))
        directions = " and ".join(sorted(policy.rules, key=("ingress", "egress").index))
        yield f"isolates {_count(count, 'pod')} ({directions})" if count else "it selects no pod that has an address"


def _pods(world: World) -> Iterable[Any]:
    return world.endpoints.values()


def _node(written: JSON, becomes: JSON, world: World, new: bool) -> Iterator[str]:
    name = becomes["metadata"]["name"]
    if not any(name in desired.leases(world, family) for family in world.settings.families):
        yield "other machines have routes to it when its flanneld has announced its part of the pod network"


def _ingress(written: JSON, becomes: JSON, world: World, new: bool) -> Iterator[str]:
    if not any(row.metadata.labels.get("app.kubernetes.io/name") == "ingress-nginx" for row in world.pods.values()):
        yield "no Ingress controller runs here (knet up --ingress nginx): this is what one would be configured with"
    name = f"{becomes['metadata']['namespace']}/{becomes['metadata']['name']}"
    yield from (why for who, why in served(world).faults if who == name)


def _secret(written: JSON, becomes: JSON, world: World, new: bool) -> Iterator[str]:
    name, namespace = becomes["metadata"]["name"], becomes["metadata"]["namespace"]
    rows = [key for key, row in world.ingresses.items() if any(tls.secretName == name for tls in row.spec.tls)]
    using = [f"Ingress {key}" for key in rows if key.namespace == namespace]
    yield f"the certificate of {', '.join(using)}" if using else "no Ingress has it for its certificate"


_NOTES = {
    "Service": _service,
    "Pod": _pod,
    "NetworkPolicy": _policy,
    "Node": _node,
    "Ingress": _ingress,
    "Secret": _secret,
}


def _workload(kind: str, becomes: JSON, world: World) -> Iterator[str]:
    spec = becomes.get("spec") or {}
    template = (spec.get("template") or {}).get("metadata") or {}
    if kind == "DaemonSet":
        count = len(world.nodes)
    else:
        count = spec.get("parallelism" if kind == "Job" else "replicas", 1)
    more = count - len(pods_of(becomes, world))
    follows = _of_pods(becomes["metadata"]["namespace"], template.get("labels") or {}, world)
    if more == count:
        yield f"{_count(count, 'pod')}, whose addresses nobody knows yet → {follows}"
    elif more > 0:
        yield f"{_count(more, 'pod')} more, whose addresses nobody knows yet → {follows}"
    elif more < 0:
        yield f"{_count(-more, 'pod')} fewer; which ones, its controller decides → {follows}"
    else:
        yield f"{_count(count, 'pod')} as before, or others in their place if the template is another → {follows}"


def _of_pods(namespace: str, labels: Mapping[str, str], world: World) -> str:
    """What pods with these labels will be a part of."""
    services = [
        f"endpoints of Service {key}"
        for key, service in world.services.items()
        if key.namespace == namespace and service.spec.selector and from_labels(service.spec.selector).matches(labels)
    ]
    isolating = [
        f"isolated by NetworkPolicy {key}"
        for key, policy in desired.meanings(world).items()
        if key.namespace == namespace and policy.pods.matches(labels)
    ]
    return ", ".join([*services, *isolating]) or "no Service selects them, no NetworkPolicy isolates them"


def pods_of(becomes: JSON, world: World) -> list[Key]:
    """The pods that a workload's selector matches."""
    meta, selector = becomes["metadata"], (becomes.get("spec") or {}).get("selector")
    if not selector:
        return []
    matches = from_label_selector(msgspec.convert(selector, LabelSelector)).matches
    there = world.pods.items()
    return [key for key, pod in there if key.namespace == meta["namespace"] and matches(pod.metadata.labels)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _labels(selector: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in selector.items())
