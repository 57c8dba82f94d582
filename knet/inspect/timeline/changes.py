"""A write to the API in words: what was created, what of an object changed, who is to go.  Pure.

What is told of a change depends on the kind (`_TOLD`); where a kind has nothing to say, the fields that differ are.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from knet.api.names import SERVICE_NAME_LABEL
from knet.api.resources import RESOURCES
from knet.inspect.timeline.event import ref

JSON = dict[str, Any]

_SINGULAR = {(row.api_version, row.kind): row.singular for row in RESOURCES}
_RESTARTED = "kubectl.kubernetes.io/restartedAt"
#: what changes with everything
_SILENT = frozenset(
    ("managedFields", "resourceVersion", "generation", "observedGeneration", "uid", "creationTimestamp")
)
#: characters of a field's value that are told
_SHORT = 32
#: numbers in a status
_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "active", "succeeded", "failed")


def ref_of(value: JSON) -> str:
    """How events name this object."""
    metadata = value["metadata"]
    kind = _SINGULAR.get((value.get("apiVersion", ""), value.get("kind", "")), value.get("kind", "").lower())
    return ref(kind, metadata.get("namespace", ""), metadata["name"])


def concerned(value: JSON, previous: JSON | None) -> Iterator[str]:
    """The objects that a write concerns besides: a slice's Service, and the pods that come, change or go in it."""
    if value.get("kind") == "EndpointSlice":
        namespace = value["metadata"]["namespace"]
        if service := value["metadata"].get("labels", {}).get(SERVICE_NAME_LABEL):
            yield ref("service", namespace, service)
        before, now = _endpoints(previous), _endpoints(value)
        for address in now.keys() | before.keys():
            found = now.get(address) or before[address]
            target = found.get("targetRef") or {}
            if target.get("kind") == "Pod" and now.get(address) != before.get(address):
                yield ref("pod", namespace, target["name"])
    elif value.get("kind") == "Pod" and previous is not None:
        node = value.get("spec", {}).get("nodeName")
        if node and not previous.get("spec", {}).get("nodeName"):
            yield ref("node", "", node)


def told(type_: str, value: JSON, previous: JSON | None) -> tuple[str, ...]:
    """What a write did, phrase by phrase; nothing for one that is no news (a heartbeat)."""
    kind = value.get("kind", "")
    if type_ == "DELETED":
        return ("gone",)
    if type_ == "ADDED" or previous is None:
        return ("created", *_TOLD.get(kind, _nothing)({}, value))
    phrases = [*_ending(previous, value), *_TOLD.get(kind, _nothing)(previous, value)]
    if not phrases:
        phrases = list(_fields(previous, value, ("status",) if kind in _TOLD else ()))
    return tuple(dict.fromkeys(phrases))


# ---- what all kinds have ---------------------------------------------------------------------------------------------


def _nothing(old: JSON, new: JSON) -> Iterable[str]:
    return ()


def _ending(old: JSON, new: JSON) -> Iterator[str]:
    before, now = old["metadata"], new["metadata"]
    if now.get("deletionTimestamp") and not before.get("deletionTimestamp"):
        grace = now.get("deletionGracePeriodSeconds")
        yield "is to end" + (f" within {grace} s" if grace is not None else "")
    held = now.get("finalizers") or ()
    for name in before.get("finalizers") or ():
        if name not in held:
            yield f"finalizer {name} done"


def _fields(old: JSON, new: JSON, without: tuple[str, ...] = ()) -> Iterator[str]:
    """The fields that differ, where nothing better is known of them: ``spec.ports``, ``data``."""
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key), new.get(key)
        if before == now or key in without:
            continue
        if isinstance(before, dict) and isinstance(now, dict) and key in ("metadata", "spec", "status"):
            names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
            for name in names:
                if name not in _SILENT:
                    yield f"{key}.{name}{_values(before.get(name), now.get(name))}"
        else:
            yield key


def _values(old: Any, new: Any) -> str:
    """Those of a field, where they are short: `` true → false``."""
    if all(isinstance(value, str | int | float) and len(str(value)) <= _SHORT for value in (old, new)):
        return " {} → {}".format(*(str(value).lower() if isinstance(value, bool) else value for value in (old, new)))
    return ""


# ---- by kind ---------------------------------------------------------------------------------------------------------


def _conditions(old: JSON, new: JSON) -> Iterator[str]:
    before = {row["type"]: row.get("status") for row in _status(old).get("conditions") or ()}
    for row in _status(new).get("conditions") or ():
        was = before.get(row["type"])
        if was != row.get("status") and not (was is None and row.get("status") == "False"):
            reason = f" ({row['reason']})" if row.get("reason") and row.get("status") != "True" else ""
            yield f"{row['type']}={row.get('status')}{reason}"


def _workload(old: JSON, new: JSON) -> Iterator[str]:
    before, now = old.get("spec", {}), new.get("spec", {})
    if before.get("replicas") != now.get("replicas"):
        was = f"{before['replicas']} → " if before.get("replicas") is not None else ""
        yield f"replicas {was}{now.get('replicas')}"
    if before and before.get("template") != now.get("template"):
        yield from _template(before.get("template") or {}, now.get("template") or {})
    counts, were = _status(new), _status(old)
    for name in _COUNTS:
        if old and counts.get(name, 0) != were.get(name, 0):
            yield f"{name} {were.get(name, 0)} → {counts.get(name, 0)}"
    yield from _conditions(old, new)


def _template(old: JSON, new: JSON) -> Iterator[str]:
    annotations = new.get("metadata", {}).get("annotations") or {}
    if annotations.get(_RESTARTED) != (old.get("metadata", {}).get("annotations") or {}).get(_RESTARTED):
        yield "to be restarted"
    before, now = _images(old), _images(new)
    changed = [name for name in now if before.get(name) not in (None, now[name])]
    yield from (f"{name}'s image {before[name]} → {now[name]}" for name in changed)
    if not changed and _without_restart(old) != _without_restart(new):
        yield "new template"


def _images(template: JSON) -> dict[str, str]:
    return {row["name"]: row.get("image", "") for row in template.get("spec", {}).get("containers") or ()}


def _without_restart(template: JSON) -> JSON:
    metadata = template.get("metadata", {})
    annotations = {key: row for key, row in (metadata.get("annotations") or {}).items() if key != _RESTARTED}
    return {**template, "metadata": {**metadata, "annotations": annotations, "creationTimestamp": None}}


def _pod(old: JSON, new: JSON) -> Iterator[str]:
    node = new.get("spec", {}).get("nodeName")
    if old and node and not old.get("spec", {}).get("nodeName"):
        yield f"bound to {node}"
        return
    before, now = _status(old), _status(new)
    if old and before.get("phase") != now.get("phase"):
        yield str(now.get("phase"))
    if now.get("podIP") and before.get("podIP") != now["podIP"]:
        yield now["podIP"]
    were = {row["name"]: row for row in before.get("containerStatuses") or ()}
    for row in now.get("containerStatuses") or ():
        yield from _container(were.get(row["name"]) or {}, row)
    ready = {row["type"]: row.get("status") for row in before.get("conditions") or ()}.get("Ready")
    for row in now.get("conditions") or ():
        if row["type"] == "Ready" and row.get("status") != ready and (ready or row.get("status") == "True"):
            yield "Ready" if row.get("status") == "True" else f"not Ready ({row.get('reason', 'Unknown')})"


def _container(old: JSON, new: JSON) -> Iterator[str]:
    if new.get("restartCount", 0) > old.get("restartCount", 0):
        yield f"{new['name']} restarted ({new['restartCount']})"
    for state, row in (new.get("state") or {}).items():
        reason = (row or {}).get("reason", "")
        was = ((old.get("state") or {}).get(state) or {}).get("reason", "")
        if reason and reason != was and reason != "ContainerCreating":
            yield f"{new['name']}: {reason}"


def _slice(old: JSON, new: JSON) -> Iterator[str]:
    before, now = _endpoints(old), _endpoints(new)
    for address in sorted(now.keys() - before.keys()):
        yield f"+{address}{_condition(now[address])}"
    for address in sorted(now.keys() & before.keys()):
        if _condition(now[address]) != _condition(before[address]):
            yield f"{address}{_condition(now[address]) or ' ready'}"
    for address in sorted(before.keys() - now.keys()):
        yield f"−{address}"
    if before and now and old.get("ports") != new.get("ports"):
        yield "ports"


def _condition(endpoint: JSON) -> str:
    """ "" for a ready one."""
    row = endpoint.get("conditions") or {}
    if row.get("terminating"):
        return " terminating" + (", serving" if row.get("serving") else "")
    return "" if row.get("ready", True) else " not ready"


def _endpoints(value: JSON | None) -> dict[str, JSON]:
    rows = (value or {}).get("endpoints") or ()
    return {row["addresses"][0]: row for row in rows if row.get("addresses")}


def _service(old: JSON, new: JSON) -> Iterator[str]:
    spec, before = new.get("spec", {}), old.get("spec", {})
    if not old:
        yield f"{spec.get('type', 'ClusterIP')} {spec.get('clusterIP', '')}".rstrip()
    ingress = [row.get("ip", "") for row in (_status(new).get("loadBalancer") or {}).get("ingress") or ()]
    were = [row.get("ip", "") for row in (_status(old).get("loadBalancer") or {}).get("ingress") or ()]
    if ingress != were:
        yield f"load balancer at {', '.join(ingress) or 'no address'}"
    if old and spec != before:
        yield from _fields({"spec": before}, {"spec": spec})


def _node(old: JSON, new: JSON) -> Iterator[str]:
    spec, before = new.get("spec", {}), old.get("spec", {})
    taints, were = ({f"{row['key']}:{row['effect']}" for row in part.get("taints") or ()} for part in (spec, before))
    yield from (f"taint {name}" for name in sorted(taints - were))
    yield from (f"taint {name} gone" for name in sorted(were - taints))
    if spec.get("podCIDR") != before.get("podCIDR"):
        yield f"podCIDR {spec.get('podCIDR')}"
    if bool(spec.get("unschedulable")) != bool(before.get("unschedulable")):
        yield "cordoned" if spec.get("unschedulable") else "uncordoned"
    yield from _conditions(old, new)


def _status(value: JSON) -> JSON:
    return value.get("status") or {}


#: what is told of a kind; their status is told by that alone, or is a heartbeat
_TOLD: Mapping[str, Callable[[JSON, JSON], Iterable[str]]] = {
    **dict.fromkeys(
        ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController"), _workload
    ),
    "Pod": _pod,
    "EndpointSlice": _slice,
    "Service": _service,
    "Node": _node,
}
