"""Worlds in which an object is there, is another, or is not, and what the controllers make of that.  Pure.

A Service's EndpointSlices follow from its pods, and a load balancer's address from the pool; who explains a Service, or
a pod, explains them as well.  What nobody
can know beforehand (which addresses new pods get, where they will run) is left as it is.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from knet.api.ingress import Ingress
from knet.api.load_balancers import AddressPool, held, is_ours
from knet.api.names import SERVICE_NAME_LABEL, SLICE_MANAGED_BY_LABEL
from knet.api.networking import NetworkPolicy
from knet.api.objects import (
    JSON,
    EndpointSlice,
    KubeObject,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Namespace,
    Node,
    Pod,
    Secret,
    Service,
)
from knet.api.selectors import from_labels
from knet.client.controller import Key, key_of
from knet.controllers.endpointslice import topology
from knet.controllers.endpointslice.members import Member, members
from knet.controllers.endpointslice.slices import MANAGER, create_body, plan
from knet.controllers.loadbalancer.assignment import assign
from knet.inspect.world import World

#: kind → which part of a world its objects are, and what they are read as
KINDS: Mapping[str, tuple[str, type[KubeObject]]] = {
    "Namespace": ("namespaces", Namespace),
    "Node": ("nodes", Node),
    "Pod": ("pods", Pod),
    "Service": ("services", Service),
    "EndpointSlice": ("slices", EndpointSlice),
    "NetworkPolicy": ("policies", NetworkPolicy),
    "Ingress": ("ingresses", Ingress),
    "Secret": ("secrets", Secret),
}


def find(world: World, kind: str, key: Key) -> KubeObject | None:
    """The object in a world; None where it is not, or of a kind that no packet depends on."""
    rows = _rows(world, kind)
    return rows.get(_name(kind, key))


def names(world: World, kind: str) -> list[Key]:
    """Which objects of a kind there are."""
    return [key_of(row) for row in _rows(world, kind).values()]


def with_object(world: World, kind: str, manifest: JSON) -> World:
    """With that object in it, in the place of the one of its name; ValueError where it cannot be read."""
    if kind not in KINDS:
        return world
    row = msgspec.convert(manifest, KINDS[kind][1])
    return _with_rows(world, kind, {**_rows(world, kind), _name(kind, key_of(row)): row})


def without_object(world: World, kind: str, key: Key) -> World:
    """Without it; of a namespace, without what is in it."""
    if kind == "Namespace":
        for inside in KINDS.keys() - {"Namespace", "Node"}:
            kept = {name: row for name, row in _rows(world, inside).items() if row.namespace != key.name}
            world = _with_rows(world, inside, kept)
    rows = {name: row for name, row in _rows(world, kind).items() if name != _name(kind, key)}
    return _with_rows(world, kind, rows) if kind in KINDS else world


def only(world: World, services: Collection[Key]) -> World:
    """With these Services and no others."""
    there = {key: world.services[key] for key in services if key in world.services}
    slices = {key_of(row): row for key in services for row in world.slices_of.get(key, ())}
    return replace(world, services=there, slices=slices)


def _rows(world: World, kind: str) -> Mapping[Any, KubeObject]:
    found: Mapping[Any, KubeObject] = getattr(world, KINDS[kind][0]) if kind in KINDS else {}
    return found


def _with_rows(world: World, kind: str, rows: Mapping[Any, Any]) -> World:
    part: dict[str, Any] = {KINDS[kind][0]: rows}
    return replace(world, **part)


def _name(kind: str, key: Key) -> Key | str:
    """By what a world knows it."""
    return key.name if kind in ("Namespace", "Node") else key


# ---- what controllers make of it -------------------------------------------------------------------------------------


def settled(before: World, after: World) -> World:
    """``after`` once the controllers have seen what is different from ``before``."""
    return _sliced(before, _balanced(before, after))


def _balanced(before: World, after: World) -> World:
    """With the addresses of load balancers that are new, or are none any more."""
    rows, pool = dict(after.services), AddressPool.parse(after.settings.load_balancers)
    for key, service in after.services.items():
        if before.services.get(key) == service:
            continue
        wanted: tuple[str, ...] = ()
        if is_ours(service):
            taken = {address for other, row in rows.items() if other != key for address in held(row)}
            with suppress(LookupError):  # it waits until one is free
                wanted = assign(service, pool, taken)
        elif service.spec.type == "LoadBalancer":
            continue
        if wanted != held(service):
            ingress = tuple(LoadBalancerIngress(ip=address, ipMode="VIP") for address in wanted)
            status = msgspec.structs.replace(service.status, loadBalancer=LoadBalancerStatus(ingress=ingress))
            rows[key] = msgspec.structs.replace(service, status=status)
    return replace(after, services=rows)


def _sliced(before: World, after: World) -> World:
    """With the EndpointSlices that follow."""
    rows = dict(after.slices)
    for key, row in before.slices.items():
        owner = _owner(row)
        if owner and owner not in after.services:
            rows.pop(key, None)
    for key, service in after.services.items():
        if not service.spec.selector or service.spec.type == "ExternalName":
            continue
        wanted = behind(after, service)
        if before.services.get(key) == service and behind(before, service) == wanted:
            continue
        existing = [row for row in after.slices.values() if _owner(row) == key]
        changes = plan(service, existing, wanted)
        for gone in changes.delete:
            del rows[key_of(gone)]
        for update in changes.update:
            rows[key_of(update.slice)] = msgspec.structs.replace(
                update.slice, ports=update.ports, endpoints=update.endpoints
            )
        for number, create in enumerate(changes.create):
            row = msgspec.convert(create_body(service, create), EndpointSlice)
            name = f"{service.name}-new{number}"
            rows[Key(service.namespace, name)] = msgspec.structs.replace(
                row, metadata=msgspec.structs.replace(row.metadata, name=name)
            )
    return replace(after, slices=rows)


def behind(world: World, service: Service) -> list[Member]:
    """The endpoints of a Service with a selector, as its controller counts them."""
    found = members(service, selected(world, service.namespace, service.spec.selector), world.nodes.get)
    if not topology.wanted(service):
        return found
    families = ([row for row in found if row.address_type == family] for family in service.spec.ipFamilies or ("IPv4",))
    shares = topology.shares(world.nodes.values())
    return [row for rows in families for row in topology.hinted(rows, shares)[0]]


def selected(world: World, namespace: str, labels: Mapping[str, str]) -> Iterable[Pod]:
    """The pods with an address that a Service's selector picks, in the controller's order."""
    here = world.once("pods by namespace", lambda: _by_namespace(world.pods.values())).get(namespace, ())
    selector = from_labels(dict(labels))
    found = [pod for pod in here if pod.status.podIP and selector.matches(pod.metadata.labels)]
    return sorted(found, key=lambda pod: (pod.status.podIP, pod.name))


def _by_namespace(pods: Iterable[Pod]) -> Mapping[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        found.setdefault(pod.namespace, []).append(pod)
    return found


def _owner(row: EndpointSlice) -> Key | None:
    """The Service of a slice that the controller manages."""
    labels = row.metadata.labels
    managed = labels.get(SLICE_MANAGED_BY_LABEL) == MANAGER and SERVICE_NAME_LABEL in labels
    return Key(row.namespace, labels[SERVICE_NAME_LABEL]) if managed else None
