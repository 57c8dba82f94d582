"""Endpoints and EndpointSlices (pkg/apis/core/validation, pkg/apis/discovery/validation)."""

from collections.abc import Iterable
from typing import Any

from knet.api.families import FAMILIES, family_of
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation.service import PROTOCOLS
from knet.store import Object


def validate_endpoints(value: Object) -> Errors:
    """Addresses and ports of every subset."""
    errors: Errors = []
    for index, subset in enumerate(value.get("subsets", ())):
        here = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(field.required(here, "must specify `addresses` or `notReadyAddresses`"))
        for key in ("addresses", "notReadyAddresses"):
            for place, row in enumerate(subset.get(key, ())):
                if wrong := formats.ip_address(row.get("ip", "")):
                    errors.append(field.invalid(f"{here}.{key}[{place}].ip", row.get("ip", ""), wrong))
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
            if kind in FAMILIES and (formats.ip_address(text) or family_of(text) != kind):
                errors.append(field.invalid(f"{here}[{place}]", text, f"must be a valid {kind} address"))
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
        if port.get("protocol") not in PROTOCOLS:
            errors.append(field.not_supported(f"{path}[{index}].protocol", port.get("protocol", ""), PROTOCOLS))
    return errors
