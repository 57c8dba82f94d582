"""The environment of a container: pure functions from the spec and what it refers to.

Order and precedence are upstream's: envFrom in its order, then env (each value may refer to those before it), then
the variables of services, which never override what the spec says.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from knet.api.families import host_port
from knet.api.objects import (
    ConfigMap,
    Container,
    ObjectFieldSelector,
    Pod,
    ResourceFieldSelector,
    ResourceRequirements,
    Secret,
    Service,
)
from knet.api.quantity import milli, parse_quantity, whole
from knet.kubelet.expansion import expand

#: the service that every pod sees, whatever its namespace
MASTER_NAMESPACE, MASTER_SERVICE = "default", "kubernetes"


class ConfigError(ValueError):
    """The container cannot be configured: upstream's message; ``reason`` is the status' word for it."""

    reason = "CreateContainerConfigError"


class CreateError(ConfigError):
    """Its configuration is complete, but no runtime could make a container of it."""

    reason = "CreateContainerError"


@dataclass(frozen=True)
class Facts:
    """What field references may ask for besides the pod itself; ``allocatable`` is the node's."""

    node_ips: tuple[str, ...]
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """The ConfigMaps and Secrets of the pod's namespace that it names, by name; missing ones are left out."""

    config_maps: Mapping[str, ConfigMap] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)


def environment(
    pod: Pod, container: Container, facts: Facts, sources: Sources, services: Iterable[Service]
) -> dict[str, str]:
    """A container's variables, without those of its image; raises ConfigError."""
    service_variables = services_environment(services, pod.namespace, pod.spec.enableServiceLinks)
    result: dict[str, str] = {}
    for source in container.envFrom:
        if source.configMapRef is not None:
            config_map = sources.config_maps.get(source.configMapRef.name)
            if config_map is None and not source.configMapRef.optional:
                raise ConfigError(f'configmap "{source.configMapRef.name}" not found')
            rows: Mapping[str, str] = config_map.data if config_map else {}
        elif source.secretRef is not None:
            secret = sources.secrets.get(source.secretRef.name)
            if secret is None and not source.secretRef.optional:
                raise ConfigError(f'secret "{source.secretRef.name}" not found')
            rows = {key: _text(value) for key, value in secret.data.items()} if secret else {}
        else:
            continue
        result |= {source.prefix + key: value for key, value in rows.items()}
    for variable in container.env:
        if variable.valueFrom is None:
            result[variable.name] = expand(variable.value, {**service_variables, **result})
            continue
        value = _referred(pod, container, variable.valueFrom.fieldRef, variable.valueFrom.resourceFieldRef, facts)
        if value is None and variable.valueFrom.configMapKeyRef is not None:
            ref = variable.valueFrom.configMapKeyRef
            value = _config_map_key(sources, pod.namespace, ref.name, ref.key, ref.optional)
        elif value is None and variable.valueFrom.secretKeyRef is not None:
            ref = variable.valueFrom.secretKeyRef
            value = _secret_key(sources, pod.namespace, ref.name, ref.key, ref.optional)
        if value is not None:
            result[variable.name] = value
    return {**service_variables, **result}


def _referred(
    pod: Pod,
    container: Container,
    field_ref: ObjectFieldSelector | None,
    resource_ref: ResourceFieldSelector | None,
    facts: Facts,
) -> str | None:
    if field_ref is not None:
        return field_value(pod, field_ref.fieldPath, facts)
    if resource_ref is not None:
        return resource_value(pod, resource_ref, container.name, facts)
    return None


def field_value(pod: Pod, path: str, facts: Facts) -> str:
    """The downward API's fieldRef; raises ConfigError for a path that it does not offer."""
    meta = pod.metadata
    for name, table in (("metadata.labels", meta.labels), ("metadata.annotations", meta.annotations)):
        if path.startswith(name + "['") and path.endswith("']"):
            return table.get(path[len(name) + 2 : -2], "")
        if path == name:
            return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(table.items()))
    values = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": pod.spec.nodeName,
        "spec.serviceAccountName": pod.spec.serviceAccountName,
        "status.hostIP": facts.node_ips[0],
        "status.hostIPs": ",".join(facts.node_ips),
        "status.podIP": next(iter(facts.pod_ips), ""),
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path not in values:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return values[path]


def resource_value(pod: Pod, ref: ResourceFieldSelector, default_container: str, facts: Facts) -> str:
    """The downward API's resourceFieldRef, in units of its divisor, rounded up.

    A container without a limit may use all of the node: then that is its limit.
    """
    name = ref.containerName or default_container
    resources = next(
        (row.resources for row in (*pod.spec.containers, *pod.spec.initContainers) if row.name == name),
        ResourceRequirements(),
    )
    group, _, kind = ref.resource.partition(".")
    if group == "limits":
        amount = resources.limits.get(kind, facts.allocatable.get(kind, "0"))
    elif group == "requests":
        amount = resources.requests.get(kind, resources.limits.get(kind, 0))
    else:
        raise ConfigError(f"unsupported container resource : {ref.resource}")
    divisor = parse_quantity(ref.divisor) or parse_quantity(1)
    if kind == "cpu":
        return str(-(-milli(amount) // milli(str(divisor))))
    return str(-(-whole(amount) // whole(str(divisor))))


def _config_map_key(sources: Sources, namespace: str, name: str, key: str, optional: bool) -> str | None:
    config_map = sources.config_maps.get(name)
    if config_map is None:
        if optional:
            return None
        raise ConfigError(f'configmap "{name}" not found')
    if key not in config_map.data:
        if optional:
            return None
        raise ConfigError(f"couldn't find key {key} in ConfigMap {namespace}/{name}")
    return config_map.data[key]


def _secret_key(sources: Sources, namespace: str, name: str, key: str, optional: bool) -> str | None:
    secret = sources.secrets.get(name)
    if secret is None:
        if optional:
            return None
        raise ConfigError(f'secret "{name}" not found')
    if key not in secret.data:
        if optional:
            return None
        raise ConfigError(f"couldn't find key {key} in Secret {namespace}/{name}")
    return _text(secret.data[key])


def referenced(container: Container) -> tuple[set[str], set[str]]:
    """Names of the ConfigMaps and Secrets that a container's environment needs."""
    config_maps, secrets = set(), set()
    for source in container.envFrom:
        if source.configMapRef is not None:
            config_maps.add(source.configMapRef.name)
        if source.secretRef is not None:
            secrets.add(source.secretRef.name)
    for variable in container.env:
        if variable.valueFrom is not None and variable.valueFrom.configMapKeyRef is not None:
            config_maps.add(variable.valueFrom.configMapKeyRef.name)
        if variable.valueFrom is not None and variable.valueFrom.secretKeyRef is not None:
            secrets.add(variable.valueFrom.secretKeyRef.name)
    return config_maps, secrets


def services_environment(services: Iterable[Service], namespace: str, links: bool) -> dict[str, str]:
    """Docker-links style variables: NAME_SERVICE_HOST, NAME_PORT_80_TCP_ADDR, …

    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    """
    result: dict[str, str] = {}
    for service in services:
        master = (service.namespace, service.name) == (MASTER_NAMESPACE, MASTER_SERVICE)
        if not master and (service.namespace != namespace or not links):
            continue
        if service.spec.clusterIP in ("", "None") or not service.spec.ports:
            continue
        result |= _service_variables(service)
    return result


def _service_variables(service: Service) -> dict[str, str]:
    name = service.name.upper().replace("-", "_")
    address, first = service.spec.clusterIP, service.spec.ports[0]
    rows = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(first.port)}
    for port in service.spec.ports:
        if port.name:
            rows[f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    rows[f"{name}_PORT"] = f"{first.protocol.lower()}://{host_port(address, first.port)}"
    for port in service.spec.ports:
        prefix = f"{name}_PORT_{port.port}_{port.protocol.upper()}"
        rows[prefix] = f"{port.protocol.lower()}://{host_port(address, port.port)}"
        rows[f"{prefix}_PROTO"] = port.protocol.lower()
        rows[f"{prefix}_PORT"] = str(port.port)
        rows[f"{prefix}_ADDR"] = address
    return rows


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
