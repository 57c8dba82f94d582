"""Services (pkg/apis/core/validation)."""

from collections.abc import Iterable

from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation import metadata as metadata_validation
from knet.apiserver.validation.service_traffic import traffic, traffic_update
from knet.store import Object

#: transport protocols of ports
PROTOCOLS = ("SCTP", "TCP", "UDP")
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def validate_service(value: Object) -> Errors:
    """A Service; its addresses and node ports are the matter of `knet.apiserver.addresses`."""
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
        for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(key):
                errors.append(field.forbidden(f"spec.{key}", "may not be set for ExternalName services"))
    elif address == "None" and kind in ("NodePort", "LoadBalancer"):
        errors.append(field.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if not spec.get("ports") and kind != "ExternalName" and address != "None":
        errors.append(field.required("spec.ports"))
    errors += _service_ports(spec.get("ports", ()), kind)
    errors += metadata_validation.labels(spec.get("selector", {}), "spec.selector")
    for index, text in enumerate(spec.get("externalIPs", ())):
        if wrong := formats.ip_address(text):
            errors.append(field.invalid(f"spec.externalIPs[{index}]", text, wrong))
    return errors + traffic(spec, value["metadata"].get("annotations") or {})


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
        if protocol not in PROTOCOLS:
            errors.append(field.not_supported(f"{here}.protocol", protocol, PROTOCOLS))
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
    """What may not change, but for addresses."""
    return traffic_update(value["spec"], old["spec"])
