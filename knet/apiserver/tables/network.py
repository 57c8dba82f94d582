"""Services and their endpoints, Ingresses, IngressClasses and NetworkPolicies."""

from collections.abc import Mapping

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.tables.column import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Column,
    Columns,
    labels,
    selector,
    shortened,
    text,
    wide,
)
from knet.store import Object

_HOSTS_SHOWN = 3


def service_address(value: Object) -> str:
    """The cluster address; ``None`` for headless Services, ``<none>`` for external names."""
    return (value.get("spec", {}).get("clusterIPs") or [value.get("spec", {}).get("clusterIP")])[0] or NONE


def service_external(value: Object) -> str:
    """What the type promises outside the cluster."""
    spec = value.get("spec", {})
    external = spec.get("externalIPs", [])
    kind = spec.get("type")
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        return ",".join([*_load_balancer(value), *external]) or "<pending>"
    return ",".join(external) or (NONE if kind in ("ClusterIP", "NodePort") else UNKNOWN)


def _load_balancer(value: Object) -> list[str]:
    rows = value.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    return sorted({row.get("ip") or row.get("hostname", "") for row in rows} - {""})


def service_ports(value: Object) -> str:
    """``80:30080/TCP,443/TCP``."""
    parts = []
    for row in value.get("spec", {}).get("ports", ()):
        node_port = f":{row['nodePort']}" if row.get("nodePort") else ""
        parts.append(f"{row.get('port', 0)}{node_port}/{row.get('protocol', 'TCP')}")
    return ",".join(parts) or NONE


def endpoints(value: Object) -> str:
    """``10.244.1.2:80,10.244.2.3:80 + 1 more...``."""
    parts = []
    for subset in value.get("subsets", ()):
        addresses = subset.get("addresses", ())
        ports = subset.get("ports", ())
        if not ports:
            parts += [row.get("ip", "") for row in addresses]
        parts += [f"{_host(row.get('ip', ''))}:{port.get('port', 0)}" for port in ports for row in addresses]
    return shortened(parts)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def slice_ports(value: Object) -> str:
    """``80,443``; the name of a port without number, ``*`` for all."""
    ports = value.get("ports") or ()
    return shortened([str(row.get("port", row.get("name", "*"))) for row in ports], UNSET)


def slice_endpoints(value: Object) -> str:
    """The endpoints' addresses."""
    return shortened([address for row in value.get("endpoints") or () for address in row.get("addresses", ())], UNSET)


def ingress_hosts(value: Object) -> str:
    """``a.example,b.example``; ``*`` for any.  Only the first rules are looked at, as upstream does."""
    rules = value.get("spec", {}).get("rules") or []
    hosts: list[str] = []
    more = False
    for row in rules:
        more = more or len(hosts) == _HOSTS_SHOWN
        if not more and row.get("host"):
            hosts.append(row["host"])
    return (",".join(hosts) or "*") + (f" + {len(rules) - _HOSTS_SHOWN} more..." if more else "")


def class_parameters(value: Object) -> str:
    """``IngressParameters.example.com/main``."""
    row = value.get("spec", {}).get("parameters")
    if row is None:
        return NONE
    group = f".{row['apiGroup']}" if "apiGroup" in row else ""
    return f"{row.get('kind', '')}{group}/{row.get('name', '')}"


COLUMNS: Mapping[Resource, Columns] = {
    resources.SERVICES: (
        NAME,
        Column("Type", text("spec.type")),
        Column("Cluster-IP", service_address),
        Column("External-IP", service_external),
        Column("Port(s)", service_ports),
        AGE,
        wide("Selector", labels("spec.selector")),
    ),
    resources.ENDPOINTS: (NAME, Column("Endpoints", endpoints), AGE),
    resources.ENDPOINTSLICES: (
        NAME,
        Column("AddressType", text("addressType")),
        Column("Ports", slice_ports),
        Column("Endpoints", slice_endpoints),
        AGE,
    ),
    resources.INGRESSES: (
        NAME,
        Column("Class", text("spec.ingressClassName", NONE)),
        Column("Hosts", ingress_hosts),
        Column("Address", lambda value: ",".join(_load_balancer(value))),
        Column("Ports", lambda value: "80, 443" if value.get("spec", {}).get("tls") else "80"),
        AGE,
    ),
    resources.INGRESSCLASSES: (
        NAME,
        Column("Controller", text("spec.controller")),
        Column("Parameters", class_parameters),
        AGE,
    ),
    resources.NETWORKPOLICIES: (NAME, Column("Pod-Selector", selector("spec.podSelector")), AGE),
}
