"""Services, Nodes, ConfigMaps, Secrets, Events, Endpoints, EndpointSlices and Leases.

pkg/apis/{core,discovery,coordination}/validation of Kubernetes.
"""

import base64
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

import orjson

from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation import metadata as metadata_validation
from knet.store import Object

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
#: a ConfigMap's or Secret's limit on the sum of its values
_DATA_LIMIT = 1024 * 1024
_INVALID_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def is_ipv4(text: str) -> bool:
    """Whether the text is an IPv4 address, the one family knet has."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


# ---- Service ---------------------------------------------------------------------------------------------


def validate_service(value: Object) -> Errors:
    """A Service; whether its address and node ports can be had is decided by `knet.apiserver.addresses`."""
    spec = value["spec"]
    kind = spec.get("type", "")
    address = spec.get("clusterIP", "")
    errors: Errors = []
    if kind not in _TYPES:
        errors.append(field.not_supported("spec.type", kind, _TYPES))
    if spec.get("sessionAffinity") not in ("ClientIP", "None"):
        errors.append(
            field.not_supported("spec.sessionAffinity", spec.get("sessionAffinity", ""), ("ClientIP", "None"))
        )
    if kind == "ExternalName":
        if not spec.get("externalName"):
            errors.append(field.required("spec.externalName"))
        elif wrong := formats.dns_subdomain(spec["externalName"].rstrip(".")):
            errors.append(field.invalid("spec.externalName", spec["externalName"], wrong))
        if address and address != "None":
            errors.append(field.forbidden("spec.clusterIPs[0]", "may not be set when `type` is 'ExternalName'"))
    elif address == "None":
        if kind in ("NodePort", "LoadBalancer"):
            errors.append(field.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    elif address and not is_ipv4(address):
        errors.append(field.invalid("spec.clusterIPs[0]", address, _INVALID_IP))
    if address and spec.get("clusterIPs") and spec["clusterIPs"][0] != address:
        errors.append(field.invalid("spec.clusterIPs", spec["clusterIPs"], "first value must match `clusterIP`"))
    if not spec.get("ports") and kind != "ExternalName" and address != "None":
        errors.append(field.required("spec.ports"))
    errors += _service_ports(spec.get("ports", ()), kind)
    errors += metadata_validation.labels(spec.get("selector", {}), "spec.selector")
    for key, supported in (
        ("internalTrafficPolicy", ("Cluster", "Local")),
        ("externalTrafficPolicy", ("Cluster", "Local")),
    ):
        if key in spec and spec[key] not in supported:
            errors.append(field.not_supported(f"spec.{key}", spec[key], supported))
    for index, text in enumerate(spec.get("externalIPs", ())):
        if not is_ipv4(text):
            errors.append(field.invalid(f"spec.externalIPs[{index}]", text, _INVALID_IP))
    return errors


def _service_ports(ports: Iterable[Object], kind: str) -> Errors:
    errors: Errors = []
    rows = list(ports)
    names: set[str] = set()
    pairs: set[tuple[str, int]] = set()
    for index, port in enumerate(rows):
        here = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name and len(rows) > 1:
            errors.append(field.required(f"{here}.name"))
        elif name:
            if wrong := formats.dns_label(name):
                errors.append(field.invalid(f"{here}.name", name, wrong))
            elif name in names:
                errors.append(field.duplicate(f"{here}.name", name))
            names.add(name)
        number, protocol = port.get("port", 0), port.get("protocol", "")
        if wrong := formats.port_number(number):
            errors.append(field.invalid(f"{here}.port", number, wrong))
        if protocol not in _PROTOCOLS:
            errors.append(field.not_supported(f"{here}.protocol", protocol, _PROTOCOLS))
        target = port.get("targetPort", 0)
        wrong = formats.port_name(target) if isinstance(target, str) else formats.port_number(target)
        if wrong:
            errors.append(field.invalid(f"{here}.targetPort", target, wrong))
        if port.get("nodePort") and kind in ("ClusterIP", "ExternalName"):
            errors.append(field.forbidden(f"{here}.nodePort", f"may not be used when `type` is '{kind}'"))
        if (protocol, number) in pairs:
            spelled = field.Go(f'core.ServicePort{{Name:"{name}", Protocol:"{protocol}", Port:{number}}}')
            errors.append(field.duplicate(here, spelled))
        pairs.add((protocol, number))
    return errors


def validate_service_update(value: Object, old: Object) -> Errors:
    """The cluster address stays, unless the Service becomes or ceases to be an ExternalName."""
    spec, before = value["spec"], old["spec"]
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return []
    if before.get("clusterIP") and spec.get("clusterIP") != before["clusterIP"]:
        return [field.invalid("spec.clusterIPs[0]", [spec.get("clusterIP", "")], "may not change once set")]
    return []


# ---- Node ------------------------------------------------------------------------------------------------


def validate_node(value: Object) -> Errors:
    """A Node's taints and pod networks."""
    errors: Errors = []
    spec = value.get("spec", {})
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("taints", ())):
        here = f"spec.taints[{index}]"
        if wrong := formats.qualified_name(taint.get("key", "")):
            errors.append(field.invalid(f"{here}.key", taint.get("key", ""), wrong))
        if wrong := formats.label_value(taint.get("value", "")):
            errors.append(field.invalid(f"{here}.value", taint["value"], wrong))
        if taint.get("effect") not in _EFFECTS:
            errors.append(field.not_supported(f"{here}.effect", taint.get("effect", ""), _EFFECTS))
        pair = taint.get("key", ""), taint.get("effect", "")
        if pair in seen:
            errors.append(FieldDuplicateTaint(here, pair))
        seen.add(pair)
    for index, cidr in enumerate(spec.get("podCIDRs", ())):
        try:
            IPv4Network(cidr)
        except ValueError:
            errors.append(
                field.invalid(f"spec.podCIDRs[{index}]", cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24)")
            )
    return errors


def FieldDuplicateTaint(path: str, pair: tuple[str, str]) -> field.FieldError:
    return field.duplicate(path, field.Go(f'core.Taint{{Key:"{pair[0]}", Effect:"{pair[1]}"}}'))


def validate_node_update(value: Object, old: Object) -> Errors:
    """Pod networks are given once; the rest of a Node's spec but taints and unschedulable is fixed."""
    spec, before = value.get("spec", {}), old.get("spec", {})
    errors: Errors = []
    if before.get("podCIDRs") and spec.get("podCIDRs") != before["podCIDRs"]:
        errors.append(field.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        errors.append(
            field.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
        )
    return errors


# ---- ConfigMap, Secret -----------------------------------------------------------------------------------


def validate_config_map(value: Object) -> Errors:
    """A ConfigMap's keys and size."""
    errors: Errors = []
    size = 0
    for part in ("data", "binaryData"):
        for key, item in value.get(part, {}).items():
            size += len(item)
            if wrong := formats.config_key(key):
                errors.append(field.invalid(f"{part}[{key}]", key, wrong))
            if part == "binaryData" and key in value.get("data", {}):
                errors.append(field.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    return errors + _size(size, "")


def validate_secret(value: Object) -> Errors:
    """A Secret's keys, size and what its type demands."""
    errors: Errors = []
    data = value.get("data", {})
    for key in data:
        if wrong := formats.config_key(key):
            errors.append(field.invalid(f"data[{key}]", key, wrong))
    for key in _SECRET_KEYS.get(value.get("type", ""), ()):
        if key not in data:
            errors.append(field.required(f"data[{key}]"))
    if value.get("type") == "kubernetes.io/dockerconfigjson" and ".dockerconfigjson" in data:
        try:
            orjson.loads(base64.b64decode(data[".dockerconfigjson"]))
        except ValueError as error:
            errors.append(field.invalid("data[.dockerconfigjson]", "<secret contents redacted>", str(error)))
    return errors + _size(sum(len(item) * 3 // 4 for item in data.values()), "data")


_SECRET_KEYS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def _size(size: int, path: str) -> Errors:
    if size <= _DATA_LIMIT:
        return []
    return [field.FieldError(path, "FieldValueTooLong", f"Too long: may not be more than {_DATA_LIMIT} bytes")]


def validate_config_map_update(value: Object, old: Object) -> Errors:
    """An immutable one stays as it is."""
    return _immutable_data(value, old, ("data", "binaryData"))


def validate_secret_update(value: Object, old: Object) -> Errors:
    """The type never changes."""
    errors = _immutable_data(value, old, ("data",))
    if value.get("type") != old.get("type"):
        errors.append(field.immutable("type", value.get("type", "")))
    return errors


def _immutable_data(value: Object, old: Object, parts: tuple[str, ...]) -> Errors:
    if not old.get("immutable"):
        return []
    return [
        field.forbidden(part, "field is immutable when `immutable` is set")
        for part in (*parts, "immutable")
        if value.get(part) != old.get(part)
    ]


# ---- the rest --------------------------------------------------------------------------------------------


def validate_event(value: Object) -> Errors:
    """An Event lies in the namespace of what it is about (cluster-scoped: ``default``, or kube-system)."""
    namespace = value["metadata"].get("namespace", "")
    about = value.get("involvedObject", {}).get("namespace", "")
    if about == namespace or (not about and namespace in ("default", "kube-system")):
        return []
    return [field.invalid("involvedObject.namespace", about, "does not match event.namespace")]


def validate_endpoints(value: Object) -> Errors:
    """Addresses and ports of every subset."""
    errors: Errors = []
    for index, subset in enumerate(value.get("subsets", ())):
        here = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(field.required(here, "must specify `addresses` or `notReadyAddresses`"))
        for key in ("addresses", "notReadyAddresses"):
            for place, row in enumerate(subset.get(key, ())):
                if not is_ipv4(row.get("ip", "")):
                    errors.append(field.invalid(f"{here}.{key}[{place}].ip", row.get("ip", ""), _INVALID_IP))
        errors += _ports(subset.get("ports", ()), f"{here}.ports", len(subset.get("ports", ())) > 1)
    return errors


def validate_endpoint_slice(value: Object) -> Errors:
    """One to a hundred addresses per endpoint, of the slice's type."""
    errors: Errors = []
    kind = value.get("addressType", "")
    if not kind:
        errors.append(field.required("addressType"))
    elif kind not in ("FQDN", "IPv4", "IPv6"):
        errors.append(field.not_supported("addressType", kind, ("FQDN", "IPv4", "IPv6")))
    endpoints = value.get("endpoints") or []
    if len(endpoints) > 1000:
        errors.append(field.FieldError("endpoints", "FieldValueTooMany", "Too many: must have at most 1000 items"))
    for index, endpoint in enumerate(endpoints):
        here = f"endpoints[{index}].addresses"
        addresses = endpoint.get("addresses", [])
        if not addresses:
            errors.append(field.required(here, "must contain at least 1 address"))
        for place, text in enumerate(addresses):
            if kind == "IPv4" and not is_ipv4(text):
                errors.append(field.invalid(f"{here}[{place}]", text, "must be a valid IPv4 address"))
    return errors + _ports(value.get("ports") or (), "ports", False)


def validate_endpoint_slice_update(value: Object, old: Object) -> Errors:
    """The address type never changes."""
    if value.get("addressType") == old.get("addressType"):
        return []
    return [field.immutable("addressType", value.get("addressType", ""))]


def _ports(ports: Iterable[Object], path: str, named: bool) -> Errors:
    errors: Errors = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name", "")
        if named and not name:
            errors.append(field.required(f"{path}[{index}].name"))
        elif name in names:
            errors.append(field.duplicate(f"{path}[{index}].name", name))
        names.add(name)
        number: Any = port.get("port")
        if number is not None and (wrong := formats.port_number(number)):
            errors.append(field.invalid(f"{path}[{index}].port", number, wrong))
        if port.get("protocol") not in _PROTOCOLS:
            errors.append(field.not_supported(f"{path}[{index}].protocol", port.get("protocol", ""), _PROTOCOLS))
    return errors


def validate_lease(value: Object) -> Errors:
    """Durations and counts of a Lease."""
    spec = value.get("spec", {})
    errors: Errors = []
    if "leaseDurationSeconds" in spec and spec["leaseDurationSeconds"] <= 0:
        errors.append(
            field.invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
        )
    if spec.get("leaseTransitions", 0) < 0:
        errors.append(
            field.invalid("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")
        )
    return errors
