"""The cells of the core kinds, of EndpointSlices and of Leases."""

from collections.abc import Callable, Sequence

from knet.apiserver.tables.times import UNKNOWN, age
from knet.store import Object

NONE = "<none>"
UNSET = "<unset>"
_ROLE_PREFIX = "node-role.kubernetes.io/"
#: endpoints and ports shown before "+ n more..."
_SHOWN = 3


def phase(value: Object) -> str:
    """status.phase."""
    return str(value.get("status", {}).get("phase", ""))


# ---- nodes -----------------------------------------------------------------------------------------------


def node_status(value: Object) -> str:
    """``Ready,SchedulingDisabled``."""
    parts = []
    for condition in value.get("status", {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            parts.append("Ready" if condition.get("status") == "True" else "NotReady")
    parts = parts or ["Unknown"]
    if value.get("spec", {}).get("unschedulable"):
        parts.append("SchedulingDisabled")
    return ",".join(parts)


def node_roles(value: Object) -> str:
    """From the labels node-role.kubernetes.io/ROLE."""
    labels = value["metadata"].get("labels", {})
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    if role := labels.get("kubernetes.io/role"):
        roles.add(role)
    return ",".join(sorted(roles - {""})) or NONE


def node_info(key: str) -> Callable[[Object], str]:
    """A field of status.nodeInfo."""

    def read(value: Object) -> str:
        return value.get("status", {}).get("nodeInfo", {}).get(key) or UNKNOWN

    return read


def node_address(kind: str) -> Callable[[Object], str]:
    """The first address of a type."""

    def read(value: Object) -> str:
        for row in value.get("status", {}).get("addresses") or ():
            if row.get("type") == kind:
                return str(row.get("address", ""))
        return NONE

    return read


# ---- services and endpoints ------------------------------------------------------------------------------


def service_type(value: Object) -> str:
    """ClusterIP, …"""
    return str(value["spec"].get("type", ""))


def service_address(value: Object) -> str:
    """The cluster address; ``None`` for headless Services, ``<none>`` for external names."""
    return value["spec"].get("clusterIP") or NONE


def service_external(value: Object) -> str:
    """What the type promises outside the cluster."""
    spec = value["spec"]
    external = spec.get("externalIPs", [])
    kind = spec.get("type")
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        rows = value.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
        found = [row.get("ip") or row.get("hostname", "") for row in rows]
        return ",".join([*found, *external]) or "<pending>"
    return ",".join(external) or NONE


def service_ports(value: Object) -> str:
    """``80:30080/TCP,443/TCP``."""
    parts = []
    for row in value["spec"].get("ports", ()):
        node_port = f":{row['nodePort']}" if row.get("nodePort") else ""
        parts.append(f"{row['port']}{node_port}/{row.get('protocol', 'TCP')}")
    return ",".join(parts) or NONE


def service_selector(value: Object) -> str:
    """``app=web``."""
    rows = value["spec"].get("selector") or {}
    return ",".join(f"{key}={rows[key]}" for key in sorted(rows)) or NONE


def _shortened(parts: Sequence[str], separator: str = ",") -> str:
    if not parts:
        return NONE
    more = f" + {len(parts) - _SHOWN} more..." if len(parts) > _SHOWN else ""
    return separator.join(parts[:_SHOWN]) + more


def endpoints(value: Object) -> str:
    """``10.244.1.2:80,10.244.2.3:80 + 1 more...``."""
    parts = []
    for subset in value.get("subsets", ()):
        addresses = subset.get("addresses", ())
        ports = subset.get("ports", ())
        if not ports:
            parts += [row["ip"] for row in addresses]
        parts += [f"{row['ip']}:{port['port']}" for port in ports for row in addresses]
    return _shortened(parts)


def address_type(value: Object) -> str:
    """IPv4."""
    return str(value.get("addressType", ""))


def slice_ports(value: Object) -> str:
    """``80,443``; ``*`` for all."""
    ports = value.get("ports")
    if not ports:
        return UNSET
    return _shortened([str(row["port"]) if row.get("port") is not None else "*" for row in ports])


def slice_endpoints(value: Object) -> str:
    """The endpoints' addresses."""
    rows = value.get("endpoints")
    if rows is None:
        return UNSET
    return _shortened([address for row in rows for address in row.get("addresses", ())])


# ---- configuration ---------------------------------------------------------------------------------------


def config_map_size(value: Object) -> str:
    """The number of keys."""
    return str(len(value.get("data", {})) + len(value.get("binaryData", {})))


def secret_type(value: Object) -> str:
    """Opaque, …"""
    return str(value.get("type", ""))


def secret_size(value: Object) -> int:
    """The number of keys."""
    return len(value.get("data", {}))


def secrets(value: Object) -> str:
    """The number of Secrets of a ServiceAccount."""
    return str(len(value.get("secrets", ())))


def lease_holder(value: Object) -> str:
    """Who holds it."""
    return str(value.get("spec", {}).get("holderIdentity") or "")


# ---- events ----------------------------------------------------------------------------------------------


def event_first_seen(value: Object) -> str:
    """Age of the first occurrence."""
    return age(value.get("firstTimestamp") or value.get("eventTime"))


def event_last_seen(value: Object) -> str:
    """Age of the last occurrence."""
    series = value.get("series") or {}
    return age(series.get("lastObservedTime") or value.get("lastTimestamp") or value.get("eventTime"))


def event_type(value: Object) -> str:
    """Normal or Warning."""
    return str(value.get("type", ""))


def event_reason(value: Object) -> str:
    """CamelCase reason."""
    return str(value.get("reason", ""))


def event_object(value: Object) -> str:
    """``pod/web-1``."""
    about = value.get("involvedObject", {})
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def event_subobject(value: Object) -> str:
    """``spec.containers{web}``."""
    return str(value.get("involvedObject", {}).get("fieldPath", ""))


def event_source(value: Object) -> str:
    """``kubelet, n1``."""
    source = value.get("source") or {}
    component = source.get("component") or value.get("reportingComponent", "")
    host = source.get("host") or value.get("reportingInstance", "")
    return f"{component}, {host}" if host else component


def event_message(value: Object) -> str:
    """What happened."""
    return str(value.get("message", "")).strip()


def event_count(value: Object) -> int:
    """How often."""
    series = value.get("series") or {}
    return int(series.get("count") or value.get("count") or 1)
