"""Containers: their ports, environment, mounts, resources and probes (pkg/apis/core/validation)."""

from collections.abc import Callable, Iterable
from typing import Any

from knet.api.quantity import parse_quantity
from knet.apiserver import field, formats
from knet.apiserver.field import AT_LEAST_0, Errors
from knet.apiserver.validation.downward import ENV_FIELDS, field_ref, resource_field_ref
from knet.apiserver.validation.rules import Required, each, form, numbered, one_of, shape
from knet.apiserver.validation.security import container_security
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
    errors += _env(container.get("env", ()), f"{path}.env") + _ENV_FROM(container.get("envFrom", ()), f"{path}.envFrom")
    errors += _mounts(container.get("volumeMounts", ()), f"{path}.volumeMounts", volumes)
    errors += _resources(container.get("resources", {}), f"{path}.resources")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if key in container:
            errors += _probe(container[key], f"{path}.{key}", key != "readinessProbe")
    for key, hook in container.get("lifecycle", {}).items():
        if isinstance(hook, dict):
            errors += _handler(hook, f"{path}.lifecycle.{key}")
    return errors + _MORE(container, path)


_RESTARTABLE = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")


def init_errors(container: Object, path: str) -> Errors:
    """Init containers end, unless they are sidecars; only those can be probed."""
    policy = container.get("restartPolicy")
    if policy is not None:
        return [] if policy == "Always" else [field.not_supported(f"{path}.restartPolicy", policy, ("Always",))]
    detail = "may not be set for init containers without restartPolicy=Always"
    return [field.forbidden(f"{path}.{key}", detail) for key in _RESTARTABLE if container.get(key)]


def main_errors(container: Object, path: str) -> Errors:
    """The restart policy of the other containers is the Pod's."""
    if container.get("restartPolicy") is None:
        return []
    return [field.forbidden(f"{path}.restartPolicy", "may not be set for non-init containers")]


_NOT_EPHEMERAL = ("ports", *_RESTARTABLE, "resources", "resizePolicy", "restartPolicy")


def ephemeral_errors(containers: Iterable[Object], path: str, names: set[str], volumes: set[str]) -> Errors:
    """Containers for debugging: no ports, probes, hooks or resources."""
    errors: Errors = []
    others = set(names)
    for container, here in numbered(containers, path):
        errors += container_errors(container, here, names, volumes, False)
        target = container.get("targetContainerName")
        if target and target not in others:
            errors.append(field.missing(f"{here}.targetContainerName", target))
        for key in _NOT_EPHEMERAL:
            if container.get(key):
                errors.append(field.forbidden(f"{here}.{key}", "cannot be set for an Ephemeral Container"))
        for mount, place in numbered(container.get("volumeMounts", ()), f"{here}.volumeMounts"):
            for key in ("subPath", "subPathExpr"):
                if mount.get(key):
                    errors.append(field.forbidden(f"{place}.{key}", "cannot be set for an Ephemeral Container"))
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
        errors += _VALUE_FROM(source, f"{here}.valueFrom")
    return errors


_KEY = shape({"key": Required(form(formats.config_key))})
_VALUE_FROM = shape(
    {
        "fieldRef": field_ref(ENV_FIELDS),
        "resourceFieldRef": resource_field_ref(in_file=False),
        "configMapKeyRef": _KEY,
        "secretKeyRef": _KEY,
    }
)


def _one_source(source: Object, path: str) -> Errors:
    given = [key for key in ("configMapRef", "secretRef") if key in source]
    if not given:
        return [field.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")]
    return [field.invalid(path, "", "may not have more than one field specified at a time")] * (len(given) > 1)


_NAMED = shape({"name": Required(form(formats.dns_subdomain))})
_ENV_FROM = each(shape({"prefix": form(formats.env_name), "configMapRef": _NAMED, "secretRef": _NAMED}, _one_source))


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
        for key in ("subPath", "subPathExpr"):
            if mount.get(key):
                errors += _sub_path(mount[key], f"{here}.{key}")
        if mount.get("subPath") and mount.get("subPathExpr"):
            detail = "subPathExpr and subPath are mutually exclusive"
            errors.append(field.invalid(f"{here}.subPathExpr", mount["subPathExpr"], detail))
        propagation = mount.get("mountPropagation")
        if propagation and propagation not in _PROPAGATIONS:
            errors.append(field.not_supported(f"{here}.mountPropagation", propagation, _PROPAGATIONS))
    return errors


_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def _sub_path(text: str, path: str) -> Errors:
    if text.startswith("/"):
        return [field.invalid(path, text, "must be a relative path")]
    return [field.invalid(path, text, "must not contain '..'")] * (".." in text.split("/"))


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
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.append(field.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if grace is not None and path.endswith("readinessProbe"):
        detail = "must not be set for readinessProbes"
        errors.append(field.invalid(f"{path}.terminationGracePeriodSeconds", grace, detail))
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
    if kind == "grpc" and (wrong := formats.port_number(inner.get("port", 0))):
        errors.append(field.invalid(f"{path}.grpc.port", inner.get("port", 0), wrong))
    for header, here in numbered(inner.get("httpHeaders", ()), f"{path}.httpGet.httpHeaders"):
        if wrong := formats.http_header_name(header.get("name", "")):
            errors.append(field.invalid(f"{here}.name", header.get("name", ""), wrong))
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


_MORE = shape(
    {
        "resizePolicy": each(
            shape(
                {
                    "resourceName": Required(one_of("cpu", "memory")),
                    "restartPolicy": Required(one_of("NotRequired", "RestartContainer")),
                }
            )
        ),
        "volumeDevices": each(shape({"name": Required(), "devicePath": Required()})),
        "securityContext": container_security,
    }
)
