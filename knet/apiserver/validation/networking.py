"""Ingresses, IngressClasses and NetworkPolicies (pkg/apis/networking/validation)."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation.rules import Required, each, fixed, form, numbered, one_of, shape
from knet.apiserver.validation.selectors import is_empty, label_selector
from knet.store import Object

_WILDCARD = re.compile(rf"\*(\.{formats.LABEL})+")
_WILDCARD_HELP = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower"
    " case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used"
    rf" for validation is '\*\.{formats.SUBDOMAIN}')"
)
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")


def _host(text: str, path: str) -> Errors:
    if "*" in text:
        return [] if _WILDCARD.fullmatch(text) else [field.invalid(path, text, _WILDCARD_HELP)]
    if formats.ip_address(text) == "":
        return [field.invalid(path, text, "must be a DNS name, not an IP address")]
    wrong = formats.dns_subdomain(text)
    return [field.invalid(path, text, wrong)] if wrong else []


def _backend(value: Object, path: str) -> Errors:
    """A Service and one of its ports, or some other object."""
    service, resource = value.get("service"), value.get("resource")
    if service is not None and resource is not None:
        return [field.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return shape({"kind": Required(), "name": Required()})(resource, f"{path}.resource")
    if service is None:
        return [field.required(path, "port name or number is required")]
    here = f"{path}.service"
    errors: Errors = []
    if not service.get("name"):
        errors.append(field.required(f"{here}.name"))
    elif wrong := formats.dns_1035_label(service["name"]):
        errors.append(field.invalid(f"{here}.name", service["name"], wrong))
    name, number = (service.get("port", {}).get(key) for key in ("name", "number"))
    if name and number:
        errors.append(field.invalid(here, "", "cannot set both port name & port number"))
    elif name and (wrong := formats.port_name(name)):
        errors.append(field.invalid(f"{here}.port.name", name, wrong))
    elif number and (wrong := formats.port_number(number)):
        errors.append(field.invalid(f"{here}.port.number", number, wrong))
    elif not name and not number:
        errors.append(field.required(here, "port name or number is required"))
    return errors


def _path(row: Object, path: str) -> Errors:
    kind, text = row.get("pathType"), row.get("path", "")
    errors: Errors = []
    if not kind:
        return [field.required(f"{path}.pathType", "pathType must be specified")]
    if kind not in _PATH_TYPES:
        return [field.not_supported(f"{path}.pathType", kind, _PATH_TYPES)]
    if kind != "ImplementationSpecific":
        if not text.startswith("/"):
            errors.append(field.invalid(f"{path}.path", text, "must be an absolute path"))
        for bad in _BAD_SEQUENCES:
            if bad in text:
                errors.append(field.invalid(f"{path}.path", text, f"must not contain '{bad}'"))
        for bad in ("/..", "/."):
            if text.endswith(bad):
                errors.append(field.invalid(f"{path}.path", text, f"cannot end with '{bad}'"))
    elif text and not text.startswith("/"):
        errors.append(field.invalid(f"{path}.path", text, "must be an absolute path"))
    return errors + _backend(row.get("backend", {}), f"{path}.backend")


_INGRESS = shape(
    {
        "ingressClassName": form(formats.dns_subdomain),
        "tls": each(shape({"hosts": each(_host), "secretName": form(formats.dns_subdomain)})),
        "rules": each(shape({"host": _host, "http": shape({"paths": Required(each(_path))})})),
        "defaultBackend": _backend,
    }
)


def validate_ingress(value: Object) -> Errors:
    """An Ingress: rules, or somewhere for everything."""
    spec = value.get("spec", {})
    errors: Errors = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        errors.append(
            field.invalid(
                "spec", field.Go(_go_list(spec.get("rules"))), "either `defaultBackend` or `rules` must be specified"
            )
        )
    return errors + _INGRESS(spec, "spec")


def _go_list(rows: Any) -> str:
    return "[]networking.IngressRule(nil)" if rows is None else "[]networking.IngressRule{}"


def _controller(text: str, path: str) -> Errors:
    if len(text) > 250:
        return [field.too_long(path, 250)]
    wrong = formats.domain_prefixed_path(text)
    return [field.invalid(path, text, wrong)] if wrong else []


_CLASS = shape(
    {
        "controller": Required(_controller),
        "parameters": shape(
            {
                "apiGroup": form(formats.dns_subdomain),
                "kind": Required(),
                "name": Required(),
                "scope": one_of("Cluster", "Namespace"),
            }
        ),
    }
)


def validate_ingress_class(value: Object) -> Errors:
    """An IngressClass."""
    return _CLASS(value.get("spec", {}), "spec")


#: who serves a class never changes
validate_ingress_class_update = fixed("spec.controller")


# ---- network policies ------------------------------------------------------------------------------------


_NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """What Go's net.ParseCIDR makes of a text: bits of a host are overlooked, a mask in place of a length is not."""
    address, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdecimal()) or "%" in address:
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _ip_block(block: Object, path: str) -> Errors:
    text = block.get("cidr", "")
    if not text:
        return [field.required(f"{path}.cidr")]
    outer = _network(text)
    if outer is None:
        return [field.invalid(f"{path}.cidr", text, _NO_CIDR)]
    errors: Errors = []
    for part, here in numbered(block.get("except", ()), f"{path}.except"):
        inner = _network(part)
        if inner is None:
            errors.append(field.invalid(here, part, _NO_CIDR))
        elif inner.version != outer.version or inner == outer or not inner.subnet_of(outer):  # type: ignore[arg-type]
            errors.append(field.invalid(here, part, "must be a strict subset of `cidr`"))
    return errors


def _peer(row: Object, path: str) -> Errors:
    errors: Errors = []
    selectors = [key for key in ("podSelector", "namespaceSelector") if row.get(key) is not None]
    for key in selectors:
        errors += label_selector(row[key], f"{path}.{key}")
    if row.get("ipBlock") is not None:
        errors += _ip_block(row["ipBlock"], f"{path}.ipBlock")
        if selectors:
            detail = "may not specify both ipBlock and another peer"
            errors.append(field.forbidden(path, detail))
    elif not selectors:
        errors.append(field.required(path, "must specify a peer"))
    return errors


def _port(row: Object, path: str) -> Errors:
    port, end = row.get("port"), row.get("endPort")
    errors = one_of("SCTP", "TCP", "UDP")(row.get("protocol", "TCP"), f"{path}.protocol")
    if isinstance(port, int):
        if wrong := formats.port_number(port):
            errors.append(field.invalid(f"{path}.port", port, wrong))
        if end is not None and end < port:
            errors.append(field.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))
        if end is not None and (wrong := formats.port_number(end)):
            errors.append(field.invalid(f"{path}.endPort", end, wrong))
        return errors
    if end is not None:
        why = "non-numeric" if port is not None else "not specified"
        errors.append(field.invalid(f"{path}.endPort", end, f"may not be specified when `port` is {why}"))
    if port is not None and (wrong := formats.port_name(port)):
        errors.append(field.invalid(f"{path}.port", port, wrong))
    return errors


_POLICY = shape(
    {
        "podSelector": label_selector,
        "ingress": each(shape({"ports": each(_port), "from": each(_peer)})),
        "egress": each(shape({"ports": each(_port), "to": each(_peer)})),
    }
)


def validate_network_policy(value: Object) -> Errors:
    """A NetworkPolicy."""
    spec = value.get("spec", {})
    errors = _POLICY(spec, "spec")
    types = spec.get("policyTypes", [])
    if len(types) > 2:
        shown = field.Go("[]networking.PolicyType{" + ", ".join(f'"{name}"' for name in types) + "}")
        return [*errors, field.invalid("spec.policyTypes", shown, "may not specify more than two policyTypes")]
    for name, here in numbered(types, "spec.policyTypes"):
        errors += one_of("Egress", "Ingress")(name, here)
    return errors


__all__ = [
    "is_empty",
    "validate_ingress",
    "validate_ingress_class",
    "validate_ingress_class_update",
    "validate_network_policy",
]
