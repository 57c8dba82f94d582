"""The fewest writes that bring a Service's EndpointSlices from what they say to what is true.

Every kube-proxy of the cluster gets every changed slice, so a pod that becomes ready should change one slice and
not reshuffle all.  Per address type and set of ports (upstream: reconcileByPortMapping):

1. In every existing slice, endpoints that are gone are dropped and changed ones replaced, in place.
2. Slices that have changed anyway are filled with new endpoints up to the limit.
3. What is left goes whole into the fullest unchanged slice that has room for all of it, else into new slices.

A Service without any endpoint has one empty slice, which says so.  A slice that is not needed any more takes over
what would go into a new one (it keeps its name), and is deleted only where there is nothing of that kind.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from knet.api.names import HEADLESS_LABEL, SERVICE_NAME_LABEL, SLICE_MANAGED_BY_LABEL
from knet.api.objects import JSON, Endpoint, EndpointPort, EndpointSlice, Service, owner_reference
from knet.controllers.endpointslice.members import Member, Ports

MANAGER = "endpointslice-controller.k8s.io"
#: --max-endpoints-per-slice
MAX_ENDPOINTS = 100


class Create(NamedTuple):
    address_type: str
    ports: Ports
    endpoints: tuple[Endpoint, ...]


class Update(NamedTuple):
    """Give an existing slice these ports and endpoints (and labels, where the Service's have changed)."""

    slice: EndpointSlice
    ports: Ports
    endpoints: tuple[Endpoint, ...]


class Changes(NamedTuple):
    create: list[Create]
    update: list[Update]
    delete: list[EndpointSlice]


def plan(service: Service, existing: Iterable[EndpointSlice], wanted: Iterable[Member]) -> Changes:
    """What to write; nothing at all if the slices are right."""
    groups: dict[tuple[str, Ports], dict[str, Endpoint]] = defaultdict(dict)
    for family, ports, endpoint in wanted:
        groups[family, ports][_identity(endpoint)] = endpoint
    slices: dict[tuple[str, Ports], list[EndpointSlice]] = defaultdict(list)
    for row in sorted(existing, key=lambda row: row.name):
        slices[row.addressType, row.ports].append(row)
    changes = Changes([], [], [])
    for key in {**slices, **groups}:
        _plan_group(service, key, slices.get(key, []), groups.get(key, {}), changes)
    for family in service.spec.ipFamilies or ("IPv4",):
        if all(family != group for group, _ports in groups):
            _keep_placeholder(service, family, changes)
    return _reuse(changes)


def _keep_placeholder(service: Service, family: str, changes: Changes) -> None:
    """An empty slice says that there are no endpoints of a family, which none would not."""
    right = [row for row in changes.delete if row.addressType == family and _is_placeholder(service, row)]
    if right:
        changes.delete.remove(right[0])
    else:
        changes.create.append(Create(family, (), ()))


def _is_placeholder(service: Service, row: EndpointSlice) -> bool:
    return not row.ports and not row.endpoints and _labelled(service, row)


def _reuse(changes: Changes) -> Changes:
    """Pair what would be made with what would be deleted: an address type cannot change, all else can."""
    create, update, delete = [], list(changes.update), list(changes.delete)
    for wish in changes.create:
        spare = next((row for row in delete if row.addressType == wish.address_type), None)
        if spare is None:
            create.append(wish)
        else:
            delete.remove(spare)
            update.append(Update(spare, wish.ports, wish.endpoints))
    return Changes(create, update, delete)


def _plan_group(
    service: Service,
    key: tuple[str, Ports],
    existing: list[EndpointSlice],
    wanted: dict[str, Endpoint],
    changes: Changes,
) -> None:
    missing = dict(wanted)
    kept: dict[str, list[Endpoint]] = {}
    changed: list[EndpointSlice] = []
    same: list[EndpointSlice] = []
    for row in existing:
        endpoints = [missing.pop(name) for name in map(_identity, row.endpoints) if name in missing]
        kept[row.name] = endpoints
        if not endpoints or tuple(endpoints) != row.endpoints or not _labelled(service, row):
            changed.append(row)
        else:
            same.append(row)
    left = list(missing.values())
    for row in sorted(changed, key=lambda row: -len(kept[row.name])):
        room = MAX_ENDPOINTS - len(kept[row.name])
        kept[row.name] += left[:room]
        left = left[room:]
    if left:
        roomy = [row for row in same if len(kept[row.name]) + len(left) <= MAX_ENDPOINTS]
        if roomy:
            fullest = max(roomy, key=lambda row: len(kept[row.name]))
            kept[fullest.name] += left
            changed.append(fullest)
            left = []
    for row in changed:
        if kept[row.name]:
            changes.update.append(Update(row, row.ports, tuple(kept[row.name])))
        else:
            changes.delete.append(row)
    for start in range(0, len(left), MAX_ENDPOINTS):
        changes.create.append(Create(*key, tuple(left[start : start + MAX_ENDPOINTS])))


def _identity(endpoint: Endpoint) -> str:
    """The pod behind it, else its address: what makes it the same endpoint in another condition."""
    return endpoint.targetRef.uid if endpoint.targetRef is not None else endpoint.addresses[0]


# ---- as JSON ---------------------------------------------------------------------------------------------------


def slice_labels(service: Service) -> dict[str, str]:
    """The Service's own labels, and those by which slices are found and known as ours."""
    labels = {name: text for name, text in service.metadata.labels.items() if name != HEADLESS_LABEL}
    labels |= {SERVICE_NAME_LABEL: service.name, SLICE_MANAGED_BY_LABEL: MANAGER}
    return labels | ({HEADLESS_LABEL: ""} if service.headless else {})


def _labelled(service: Service, row: EndpointSlice) -> bool:
    return row.metadata.labels == slice_labels(service)


def create_body(service: Service, create: Create) -> JSON:
    return {
        "metadata": {
            "generateName": f"{service.name}-",
            "namespace": service.namespace,
            "labels": slice_labels(service),
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": create.address_type,
        "endpoints": [endpoint_json(endpoint) for endpoint in create.endpoints],
        "ports": [port_json(port) for port in create.ports],
    }


def update_body(service: Service, update: Update) -> JSON:
    """A merge patch, conditional on the revision that was seen; labels that the Service has lost become null."""
    wanted = slice_labels(service)
    gone = {name: None for name in update.slice.metadata.labels if name not in wanted}
    return {
        "metadata": {"resourceVersion": update.slice.metadata.resourceVersion, "labels": {**wanted, **gone}},
        "endpoints": [endpoint_json(endpoint) for endpoint in update.endpoints],
        "ports": [port_json(port) for port in update.ports],
    }


def port_json(port: EndpointPort) -> JSON:
    row: JSON = {"name": port.name, "port": port.port, "protocol": port.protocol}
    return row | ({"appProtocol": port.appProtocol} if port.appProtocol is not None else {})


def endpoint_json(endpoint: Endpoint) -> JSON:
    conditions = endpoint.conditions
    row: JSON = {
        "addresses": list(endpoint.addresses),
        "conditions": {
            "ready": conditions.ready,
            "serving": conditions.serving,
            "terminating": conditions.terminating,
        },
    }
    for name in ("hostname", "nodeName", "zone"):
        if value := getattr(endpoint, name):
            row[name] = value
    if endpoint.hints is not None:
        row["hints"] = {"forZones": [{"name": zone.name} for zone in endpoint.hints.forZones]}
    if (target := endpoint.targetRef) is not None:
        row["targetRef"] = {
            "kind": target.kind,
            "namespace": target.namespace,
            "name": target.name,
            "uid": target.uid,
        }
    return row
