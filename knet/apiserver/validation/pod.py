"""Pods and pod templates (pkg/apis/core/validation/validation.go)."""

from collections.abc import Iterable

from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation import metadata as metadata_validation
from knet.apiserver.validation.containers import (
    container_errors,
    ephemeral_errors,
    host_ports,
    init_errors,
    main_errors,
)
from knet.apiserver.validation.gates import directive_errors, gate_errors, gated_and_placed, without_directives
from knet.apiserver.validation.placement import affinity_errors, toleration_errors
from knet.apiserver.validation.rules import (
    INT32_MAX,
    Required,
    Rule,
    between,
    both,
    each,
    each_value,
    form,
    greater_than_zero,
    not_negative,
    numbered,
    one_of,
    quantity_not_negative,
    shape,
    unique,
    where,
)
from knet.apiserver.validation.security import pod_security
from knet.apiserver.validation.selectors import label_selector
from knet.apiserver.validation.volumes import volume_errors
from knet.store import Object

_IMMUTABLE_SPEC = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod(value: Object) -> Errors:
    """A Pod."""
    spec = value.get("spec", {})
    return pod_spec(spec, "spec") + gated_and_placed(spec)


def validate_new_pod(value: Object) -> Errors:
    """A Pod that is being created, besides what holds for every Pod."""
    if value.get("spec", {}).get("ephemeralContainers"):
        return [field.forbidden("spec.ephemeralContainers", "cannot be set on create")]
    return []


def validate_pod_update(value: Object, old: Object) -> Errors:
    """What may change in a running Pod: images, deadline, additional tolerations; its placement while it is gated."""
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
    errors += gate_errors(spec, before)
    fixed, was = _fixed_part(spec), _fixed_part(before)
    if before.get("schedulingGates"):
        errors += directive_errors(spec, before)
        fixed, was = without_directives(fixed), without_directives(was)
    if fixed != was:
        errors.append(field.forbidden("spec", _IMMUTABLE_SPEC))
    return errors


def validate_ephemeral_containers_update(value: Object, old: Object) -> Errors:
    """Ephemeral containers come, and stay as they are."""
    present = {row["name"]: row for row in value["spec"].get("ephemeralContainers", ())}
    errors: Errors = []
    for row in old["spec"].get("ephemeralContainers", ()):
        name = row["name"]
        if row != present.get(name):
            done = "changed" if name in present else "removed"
            detail = f'existing ephemeral containers "{name}" may not be {done}\n'
            errors.append(field.forbidden("spec.ephemeralContainers", detail))
    return errors


def _fixed_part(spec: Object) -> Object:
    loose = ("containers", "initContainers", "activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
    fixed = {key: item for key, item in spec.items() if key not in (*loose, "serviceAccount", "schedulingGates")}
    for key in ("containers", "initContainers"):
        fixed[key] = [{name: item for name, item in row.items() if name != "image"} for row in spec.get(key, ())]
    return fixed


def pod_template(template: Object, path: str, claims: Iterable[str] = ()) -> Errors:
    """A template's labels and spec; ``claims`` are volumes that its owner adds (volumeClaimTemplates)."""
    errors = metadata_validation.common(template.get("metadata", {}), f"{path}.metadata")
    spec = template.get("spec", {})
    errors += pod_spec(spec, f"{path}.spec", claims)
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        errors.append(field.forbidden(f"{path}.spec.ephemeralContainers", detail))
    return errors


def pod_spec(spec: Object, path: str, claims: Iterable[str] = ()) -> Errors:
    """The spec of a Pod or of a template."""
    errors, volumes = volume_errors(spec.get("volumes", ()), f"{path}.volumes")
    volumes |= set(claims)
    names: set[str] = set()
    if not spec.get("containers"):
        errors.append(field.required(f"{path}.containers"))
    host_network = bool(spec.get("hostNetwork"))
    for key in ("initContainers", "containers"):
        for container, here in numbered(spec.get(key, ()), f"{path}.{key}"):
            errors += container_errors(container, here, names, volumes, host_network)
            errors += init_errors(container, here) if key == "initContainers" else main_errors(container, here)
    errors += host_ports(spec.get("containers", ()), f"{path}.containers")
    errors += ephemeral_errors(spec.get("ephemeralContainers", ()), f"{path}.ephemeralContainers", names, volumes)
    errors += _SPEC(spec, path)
    errors += metadata_validation.labels(spec.get("nodeSelector", {}), f"{path}.nodeSelector")
    errors += toleration_errors(spec.get("tolerations", ()), f"{path}.tolerations")
    return errors + affinity_errors(spec.get("affinity", {}), f"{path}.affinity")


def _dns(spec: Object, path: str) -> Errors:
    """A Pod that takes no resolver from the cluster has to bring one."""
    if spec.get("dnsPolicy") != "None":
        return []
    if spec.get("dnsConfig") is None:
        return [field.required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")]
    if not spec["dnsConfig"].get("nameservers"):
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        return [field.required(f"{path}.dnsConfig.nameservers", detail)]
    return []


def _at_most(limit: int, what: str, rule: Rule) -> Rule:
    too_many = where(lambda rows: len(rows) <= limit, f"must not have more than {limit} {what}")
    return both(too_many, each(rule))


def _spread(row: Object, path: str) -> Errors:
    mode, domains = row.get("whenUnsatisfiable", ""), row.get("minDomains")
    if domains is not None and mode and mode != "DoNotSchedule":
        detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {mode}"
        return [field.invalid(f"{path}.minDomains", domains, detail)]
    return []


_SPREADS = both(
    each(
        shape(
            {
                "maxSkew": greater_than_zero,
                "topologyKey": Required(form(formats.qualified_name), "can not be empty"),
                "whenUnsatisfiable": one_of("DoNotSchedule", "ScheduleAnyway"),
                "minDomains": greater_than_zero,
                "nodeAffinityPolicy": one_of("Honor", "Ignore"),
                "nodeTaintsPolicy": one_of("Honor", "Ignore"),
                "labelSelector": label_selector,
            },
            _spread,
        )
    ),
    unique(
        lambda row: (row.get("topologyKey", ""), row.get("whenUnsatisfiable", "")),
        lambda row: f"{{{row.get('topologyKey', '')}, {row.get('whenUnsatisfiable', '')}}}",
        ".{topologyKey, whenUnsatisfiable}",
    ),
)

_SPEC = shape(
    {
        "restartPolicy": Required(one_of("Always", "OnFailure", "Never")),
        "dnsPolicy": Required(one_of("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")),
        "dnsConfig": shape(
            {
                "nameservers": _at_most(3, "nameservers", form(formats.ip_address)),
                "searches": _at_most(32, "search paths", form(lambda text: formats.dns_subdomain(text.rstrip(".")))),
                "options": each(shape({"name": Required(None, "must not be empty")})),
            }
        ),
        "terminationGracePeriodSeconds": not_negative,
        "activeDeadlineSeconds": between(1, INT32_MAX),
        "serviceAccountName": form(formats.dns_subdomain),
        "nodeName": form(formats.dns_subdomain),
        "hostname": form(formats.dns_label),
        "subdomain": form(formats.dns_label),
        "priorityClassName": form(formats.dns_subdomain),
        "runtimeClassName": form(formats.dns_subdomain),
        "preemptionPolicy": one_of("Never", "PreemptLowerPriority"),
        "overhead": each_value(quantity_not_negative),
        "hostAliases": each(shape({"ip": form(formats.ip_address), "hostnames": each(form(formats.dns_subdomain))})),
        "readinessGates": each(shape({"conditionType": form(formats.qualified_name)})),
        "schedulingGates": both(
            each(shape({"name": Required(form(formats.qualified_name))})), unique(lambda row: row.get("name"))
        ),
        "topologySpreadConstraints": _SPREADS,
        "os": shape({"name": Required(one_of("linux", "windows"))}),
        "securityContext": pod_security,
    },
    _dns,
)
