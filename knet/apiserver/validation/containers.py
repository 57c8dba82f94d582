"""Containers: their ports, environment, mounts, resources and probes (pkg/apis/core/validation)."""

from collections.abc import Callable, Iterable
from typing import Any

from knet.api.quantity import parse_quantity
from knet.apiserver import field, formats
from knet.apiserver.field import AT_LEAST_0, Errors
from knet.store import Object

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


def element_name(name: str, path: str, seen: set[str], check: Callable[[str], str]) -> Errors:
    """A list element's name: there, well-formed, and nobody else's."""
    if not name:
        return [field.required(f"{path}.name")]
    if wrong := check(name):
        return [field.invalid(f"{path}.name", name, wrong)]
    if name in seen:
        return [field.duplicate(f"{path}.name", name)]
    seen.add(name)
    return []


def container_errors(container: Object, path: str, names: set[str], volumes: set[str], host_network: bool) -> Errors:
    errors = element_name(container.get("name", ""), path, names, formats.dns_label)
    image = container.get("image", "")
    if not image:
        errors.append(field.required(f"{path}.image"))
    elif image != image.strip():
        errors.append(field.invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    for key, supported in (("imagePullPolicy", _PULL_POLICIES), ("terminationMessagePolicy", _MESSAGE_POLICIES)):
        if container.get(key, supported[0]) not in supported:
            errors.append(field.not_supported(f"{path}.{key}", container[key], supported))
    errors += _ports(container.get("ports", ()), f"{path}.ports", host_network)
    errors += _env(container.get("env", ()), f"{path}.env")
    errors += _mounts(container.get("volumeMounts", ()), f"{path}.volumeMounts", volumes)
    errors += _resources(container.get("resources", {}), f"{path}.resources")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if key in container:
            errors += _probe(container[key], f"{path}.{key}", key != "readinessProbe")
    for key, hook in container.get("lifecycle", {}).items():
        if isinstance(hook, dict):
            errors += _handler(hook, f"{path}.lifecycle.{key}")
    return errors


def _ports(ports: Iterable[Object], path: str, host_network: bool) -> Errors:
    errors: Errors = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        if name := port.get("name"):
            if wrong := formats.port_name(name):
                errors.append(field.invalid(f"{here}.name", name, wrong))
            elif name in names:
                errors.append(field.duplicate(f"{here}.name", name))
            names.add(name)
        number = port.get("containerPort", 0)
        if not number:
            errors.append(field.required(f"{here}.containerPort"))
        elif wrong := formats.port_number(number):
            errors.append(field.invalid(f"{here}.containerPort", number, wrong))
        host_port = port.get("hostPort", 0)
        if host_port:
            if wrong := formats.port_number(host_port):
                errors.append(field.invalid(f"{here}.hostPort", host_port, wrong))
            elif host_network and host_port != number:
                errors.append(
                    field.invalid(
                        f"{here}.hostPort", host_port, "must match `containerPort` when `hostNetwork` is true"
                    )
                )
        if port.get("protocol") not in _PROTOCOLS:
            errors.append(field.not_supported(f"{here}.protocol", port.get("protocol", ""), sorted(_PROTOCOLS)))
    return errors


def host_ports(containers: Iterable[Object], path: str) -> Errors:
    """One host port can be had once per pod."""
    errors: Errors = []
    taken: set[tuple[str, str, int]] = set()
    for place, container in enumerate(containers):
        for index, port in enumerate(container.get("ports", ())):
            number = port.get("hostPort", 0)
            claim = port.get("protocol", ""), port.get("hostIP", ""), number
            if number and claim in taken:
                text = f"{claim[0]}/{claim[1]}/{number}"
                errors.append(field.duplicate(f"{path}[{place}].ports[{index}].hostPort", text))
            taken.add(claim)
    return errors


def _env(variables: Iterable[Object], path: str) -> Errors:
    errors: Errors = []
    for index, variable in enumerate(variables):
        here = f"{path}[{index}]"
        name = variable.get("name", "")
        if not name:
            errors.append(field.required(f"{here}.name"))
        elif wrong := formats.env_name(name):
            errors.append(field.invalid(f"{here}.name", name, wrong))
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            errors.append(field.invalid(f"{here}.valueFrom", "", "may not be specified when `value` is not empty"))
        if len(source) != 1:
            detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            if source:
                detail = "may not have more than one field specified at a time"
            errors.append(field.invalid(f"{here}.valueFrom", "", detail))
        for key in ("configMapKeyRef", "secretKeyRef"):
            if key in source and not source[key].get("key"):
                errors.append(field.required(f"{here}.valueFrom.{key}.key"))
    return errors


def _mounts(mounts: Iterable[Object], path: str, volumes: set[str]) -> Errors:
    errors: Errors = []
    places: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{path}[{index}]"
        name = mount.get("name", "")
        if not name:
            errors.append(field.required(f"{here}.name"))
        elif name not in volumes:
            errors.append(field.missing(f"{here}.name", name))
        place = mount.get("mountPath", "")
        if not place:
            errors.append(field.required(f"{here}.mountPath"))
        elif place in places:
            errors.append(field.invalid(f"{here}.mountPath", place, "must be unique"))
        places.add(place)
    return errors


def _resources(resources: Object, path: str) -> Errors:
    errors: Errors = []
    limits = resources.get("limits", {})
    for kind in ("limits", "requests"):
        for name, quantity in resources.get(kind, {}).items():
            here = f"{path}.{kind}[{name}]" if "/" in name else f"{path}.{kind}.{name}"
            amount = parse_quantity(quantity)
            if amount < 0:
                errors.append(field.invalid(here, quantity, AT_LEAST_0))
            elif kind == "requests" and name in limits and amount > parse_quantity(limits[name]):
                errors.append(
                    field.invalid(
                        f"{path}.requests", quantity, f"must be less than or equal to {name} limit of {limits[name]}"
                    )
                )
    return errors


def _probe(probe: Object, path: str, success_is_one: bool) -> Errors:
    errors = _handler(probe, path)
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if probe.get(key, 0) < 0:
            errors.append(field.invalid(f"{path}.{key}", probe[key], AT_LEAST_0))
    if success_is_one and probe.get("successThreshold", 1) != 1:
        errors.append(field.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    return errors


def _handler(handler: Object, path: str) -> Errors:
    kinds = [key for key in _HANDLERS if key in handler]
    if not kinds:
        return [field.required(path, "must specify a handler type")]
    errors = [field.forbidden(f"{path}.{key}", "may not specify more than 1 handler type") for key in kinds[1:]]
    kind = kinds[0]
    inner = handler[kind]
    if kind == "exec" and not inner.get("command"):
        errors.append(field.required(f"{path}.exec.command"))
    if kind in ("httpGet", "tcpSocket"):
        errors += _port_or_name(inner.get("port"), f"{path}.{kind}.port")
    if kind == "httpGet" and inner.get("scheme") not in ("HTTP", "HTTPS"):
        errors.append(field.not_supported(f"{path}.httpGet.scheme", inner.get("scheme", ""), ("HTTP", "HTTPS")))
    return errors


def _port_or_name(port: Any, path: str) -> Errors:
    wrong = formats.port_name(port) if isinstance(port, str) and port else ""
    if not isinstance(port, str):
        wrong = formats.port_number(port or 0)
    elif not port:
        wrong = "must be between 1 and 65535, inclusive"
    return [field.invalid(path, port or 0, wrong)] if wrong else []
