"""Pods and pod templates (pkg/apis/core/validation/validation.go)."""

from collections.abc import Callable, Iterable

from knet.apiserver import field, formats
from knet.apiserver.field import AT_LEAST_0, Errors
from knet.apiserver.validation import metadata as metadata_validation
from knet.apiserver.validation.containers import container_errors, element_name, host_ports
from knet.apiserver.validation.placement import affinity_errors, toleration_errors
from knet.store import Object

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
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
            errors += container_errors(container, f"{path}.{key}[{index}]", names, volumes, host_network)
    errors += host_ports(spec.get("containers", ()), f"{path}.containers")
    for key, supported in (("restartPolicy", _RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        if spec.get(key) not in supported:
            errors.append(field.not_supported(f"{path}.{key}", spec.get(key, ""), supported))
    grace = spec.get("terminationGracePeriodSeconds", 0)
    if grace < 0:
        errors.append(field.invalid(f"{path}.terminationGracePeriodSeconds", grace, AT_LEAST_0))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        errors.append(
            field.invalid(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    for key, check in _NAME_CHECKS.items():
        if spec.get(key) and (wrong := check(spec[key])):
            errors.append(field.invalid(f"{path}.{key}", spec[key], wrong))
    errors += metadata_validation.labels(spec.get("nodeSelector", {}), f"{path}.nodeSelector")
    errors += toleration_errors(spec.get("tolerations", ()), f"{path}.tolerations")
    return errors + affinity_errors(spec.get("affinity", {}), f"{path}.affinity")


_NAME_CHECKS: dict[str, Callable[[str], str]] = {
    "serviceAccountName": formats.dns_subdomain,
    "nodeName": formats.dns_subdomain,
    "hostname": formats.dns_label,
    "subdomain": formats.dns_label,
}


def _volumes(volumes: Iterable[Object], path: str) -> tuple[Errors, set[str]]:
    errors: Errors = []
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        here = f"{path}[{index}]"
        name = volume.get("name", "")
        errors += element_name(name, here, names, formats.dns_label)
        sources = [key for key in volume if key != "name"]
        if not sources:
            errors.append(field.required(here, "must specify a volume type"))
        for extra in sources[1:]:
            errors.append(field.forbidden(f"{here}.{extra}", "may not specify more than 1 volume type"))
        for key, inner in (("secret", "secretName"), ("configMap", "name"), ("hostPath", "path")):
            if key in volume and not volume[key].get(inner):
                errors.append(field.required(f"{here}.{key}.{inner}"))
    return errors, names
