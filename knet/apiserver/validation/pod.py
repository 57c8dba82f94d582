"""Pods and pod templates (pkg/apis/core/validation/validation.go)."""

from collections.abc import Callable, Iterable
from typing import Any

from knet.api.quantity import parse_quantity
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation import metadata as metadata_validation
from knet.store import Object

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")

_IMMUTABLE_SPEC = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod(value: Object) -> Errors:
    """A Pod."""
    return pod_spec(value["spec"], "spec")


def validate_pod_update(value: Object, old: Object) -> Errors:
    """What may change in a running Pod: images, deadline, additional tolerations."""
    spec, before = value["spec"], old["spec"]
    errors: Errors = []
    for key in ("containers", "initContainers"):
        if len(spec.get(key, ())) != len(before.get(key, ())):
            errors.append(field.forbidden(f"spec.{key}", "pod updates may not add or remove containers"))
    if errors:
        return errors
    tolerations = spec.get("tolerations", [])
    if any(row not in tolerations for row in before.get("tolerations", ())):
        errors.append(
            field.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        )
    if _fixed_part(spec) != _fixed_part(before):
        errors.append(field.forbidden("spec", _IMMUTABLE_SPEC))
    return errors


def _fixed_part(spec: Object) -> Object:
    loose = ("containers", "initContainers", "activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
    fixed = {key: item for key, item in spec.items() if key not in loose and key != "serviceAccount"}
    for key in ("containers", "initContainers"):
        fixed[key] = [{name: item for name, item in row.items() if name != "image"} for row in spec.get(key, ())]
    return fixed


def pod_template(template: Object, path: str) -> Errors:
    """A template's labels and spec."""
    errors = metadata_validation.common(template.get("metadata", {}), f"{path}.metadata")
    return errors + pod_spec(template.get("spec", {}), f"{path}.spec")


def pod_spec(spec: Object, path: str) -> Errors:
    """The spec of a Pod or of a template."""
    errors, volumes = _volumes(spec.get("volumes", ()), f"{path}.volumes")
    names: set[str] = set()
    if not spec.get("containers"):
        errors.append(field.required(f"{path}.containers"))
    host_network = bool(spec.get("hostNetwork"))
    for key in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(key, ())):
            errors += _container(container, f"{path}.{key}[{index}]", names, volumes, host_network)
    errors += _host_ports(spec.get("containers", ()), f"{path}.containers")
    for key, supported in (("restartPolicy", _RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        if spec.get(key) not in supported:
            errors.append(field.not_supported(f"{path}.{key}", spec.get(key, ""), supported))
    grace = spec.get("terminationGracePeriodSeconds", 0)
    if grace < 0:
        errors.append(field.invalid(f"{path}.terminationGracePeriodSeconds", grace, _AT_LEAST_0))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        errors.append(
            field.invalid(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    for key, check in _NAME_CHECKS.items():
        if spec.get(key) and (wrong := check(spec[key])):
            errors.append(field.invalid(f"{path}.{key}", spec[key], wrong))
    errors += metadata_validation.labels(spec.get("nodeSelector", {}), f"{path}.nodeSelector")
    errors += _tolerations(spec.get("tolerations", ()), f"{path}.tolerations")
    return errors + _affinity(spec.get("affinity", {}), f"{path}.affinity")


_AT_LEAST_0 = "must be greater than or equal to 0"
_NAME_CHECKS: dict[str, Callable[[str], str]] = {
    "serviceAccountName": formats.dns_subdomain,
    "nodeName": formats.dns_subdomain,
    "hostname": formats.dns_label,
    "subdomain": formats.dns_label,
}


# ---- volumes ---------------------------------------------------------------------------------------------


def _volumes(volumes: Iterable[Object], path: str) -> tuple[Errors, set[str]]:
    errors: Errors = []
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        here = f"{path}[{index}]"
        name = volume.get("name", "")
        errors += _name(name, here, names, formats.dns_label)
        sources = [key for key in volume if key != "name"]
        if not sources:
            errors.append(field.required(here, "must specify a volume type"))
        for extra in sources[1:]:
            errors.append(field.forbidden(f"{here}.{extra}", "may not specify more than 1 volume type"))
        for key, inner in (("secret", "secretName"), ("configMap", "name"), ("hostPath", "path")):
            if key in volume and not volume[key].get(inner):
                errors.append(field.required(f"{here}.{key}.{inner}"))
    return errors, names


def _name(name: str, path: str, seen: set[str], check: Callable[[str], str]) -> Errors:
    """A list element's name: there, well-formed, and nobody else's."""
    if not name:
        return [field.required(f"{path}.name")]
    if wrong := check(name):
        return [field.invalid(f"{path}.name", name, wrong)]
    if name in seen:
        return [field.duplicate(f"{path}.name", name)]
    seen.add(name)
    return []


# ---- containers ------------------------------------------------------------------------------------------


def _container(container: Object, path: str, names: set[str], volumes: set[str], host_network: bool) -> Errors:
    errors = _name(container.get("name", ""), path, names, formats.dns_label)
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


def _host_ports(containers: Iterable[Object], path: str) -> Errors:
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
                errors.append(field.invalid(here, quantity, _AT_LEAST_0))
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
            errors.append(field.invalid(f"{path}.{key}", probe[key], _AT_LEAST_0))
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


# ---- placement -------------------------------------------------------------------------------------------


def _tolerations(tolerations: Iterable[Object], path: str) -> Errors:
    errors: Errors = []
    for index, row in enumerate(tolerations):
        here = f"{path}[{index}]"
        operator = row.get("operator") or "Equal"
        if row.get("key") and (wrong := formats.qualified_name(row["key"])):
            errors.append(field.invalid(f"{here}.key", row["key"], wrong))
        if not row.get("key") and operator != "Exists":
            errors.append(
                field.invalid(
                    f"{here}.operator",
                    operator,
                    'operator must be Exists when `key` is empty, which means "match all values and all keys"',
                )
            )
        if operator not in ("Equal", "Exists"):
            errors.append(field.not_supported(f"{here}.operator", operator, ("Equal", "Exists")))
        elif operator == "Exists" and row.get("value"):
            errors.append(
                field.invalid(f"{here}.operator", operator, "value must be empty when `operator` is 'Exists'")
            )
        effect = row.get("effect", "")
        if effect and effect not in _EFFECTS:
            errors.append(field.not_supported(f"{here}.effect", effect, _EFFECTS))
        if "tolerationSeconds" in row and effect != "NoExecute":
            errors.append(
                field.invalid(f"{here}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
            )
    return errors


_NODE_OPERATORS = ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")


def _affinity(affinity: Object, path: str) -> Errors:
    """Node affinity terms, and the topology keys of pod (anti-)affinity."""
    errors: Errors = []
    node = affinity.get("nodeAffinity", {})
    here = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    needed = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if needed is not None:
        terms = needed.get("nodeSelectorTerms", [])
        if not terms:
            errors.append(field.required(f"{here}.nodeSelectorTerms", "must have at least one node selector term"))
        for index, term in enumerate(terms):
            errors += _expressions(term, f"{here}.nodeSelectorTerms[{index}]")
    for index, row in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution", ())):
        here = f"{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        if not 1 <= row.get("weight", 0) <= 100:
            errors.append(field.invalid(f"{here}.weight", row.get("weight", 0), "must be in the range 1-100"))
        errors += _expressions(row.get("preference", {}), f"{here}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        rows = affinity.get(kind, {})
        for index, term in enumerate(rows.get("requiredDuringSchedulingIgnoredDuringExecution", ())):
            if not term.get("topologyKey"):
                errors.append(
                    field.required(
                        f"{path}.{kind}.requiredDuringSchedulingIgnoredDuringExecution[{index}].topologyKey",
                        "can not be empty",
                    )
                )
    return errors


def _expressions(term: Object, path: str) -> Errors:
    errors: Errors = []
    for index, row in enumerate(term.get("matchExpressions", ())):
        here = f"{path}.matchExpressions[{index}]"
        operator = row.get("operator", "")
        values = row.get("values", [])
        if operator not in _NODE_OPERATORS:
            errors.append(field.invalid(f"{here}.operator", operator, "not a valid selector operator"))
        elif operator in ("In", "NotIn") and not values:
            errors.append(field.required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist") and values:
            errors.append(
                field.forbidden(f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            )
        elif operator in ("Gt", "Lt") and len(values) != 1:
            errors.append(
                field.required(f"{here}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
            )
        if wrong := formats.qualified_name(row.get("key", "")):
            errors.append(field.invalid(f"{here}.key", row.get("key", ""), wrong))
    return errors
