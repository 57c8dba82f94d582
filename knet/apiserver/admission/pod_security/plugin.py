"""The plugin: Pods are refused and warned about, workloads warned about, namespaces checked when their labels change.

As upstream, no user, namespace or runtime class is exempt unless somebody configured it, and nobody can here.
"""

from collections import defaultdict

from knet.api.resources import NAMESPACES, PODS
from knet.apiserver.admission.pod_security.checks import evaluate
from knet.apiserver.admission.pod_security.policy import LEVELS, PRIVILEGED, Level, Policy, policy_of
from knet.apiserver.admission.request import Request
from knet.apiserver.annotations import annotate, wanted
from knet.apiserver.status import invalid
from knet.store import Object

#: where workloads have their pod template
TEMPLATES: dict[str, tuple[str, ...]] = {
    "replicationcontrollers": ("spec", "template"),
    "podtemplates": ("template",),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}
#: annotations of audit events
_ENFORCED = "pod-security.kubernetes.io/enforce-policy"
_VIOLATIONS = "pod-security.kubernetes.io/audit-violations"
#: pods checked at most when a namespace's level is raised
MOST_PODS = 3000


def validate_pod(request: Request) -> None:
    """Pods and their ephemeral containers; StatusError 403."""
    policy = _policy(request)
    if policy == PRIVILEGED:
        annotate(_ENFORCED, str(policy.enforce))
        return
    pod = request.new
    if request.old is not None and not _significant(pod.get("spec", {}), request.old.get("spec", {})):
        return
    metadata, spec = pod["metadata"], pod.get("spec", {})
    findings = evaluate(policy.enforce, metadata, spec)
    annotate(_ENFORCED, str(policy.enforce))
    _tell(policy.audit, metadata, spec)
    if findings:
        raise request.forbidden(f'violates PodSecurity "{policy.enforce}": {", ".join(map(str, findings))}')
    if warning := _violation(policy.warn, metadata, spec):
        request.warn(warning)


def validate_workload(request: Request) -> None:
    """A workload's Pods would be refused later: its author is told now."""
    policy = _policy(request)
    if policy.warn.name == policy.audit.name == "privileged":
        return
    template: Object | None = request.new
    for key in TEMPLATES[request.resource.group_resource]:
        template = (template or {}).get(key)
    if template is not None:
        metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
        _tell(policy.audit, metadata, spec)
        if warning := _violation(policy.warn, metadata, spec):
            request.warn(warning)


def _violation(level: Level, metadata: Object, spec: Object) -> str:
    """What is said of Pods that a level would refuse, "" if it would not."""
    findings = evaluate(level, metadata, spec)
    return f'would violate PodSecurity "{level}": {", ".join(map(str, findings))}' if findings else ""


def _tell(level: Level, metadata: Object, spec: Object) -> None:
    """The audit log what would be refused, where there is one."""
    if wanted() and (violation := _violation(level, metadata, spec)):
        annotate(_VIOLATIONS, violation)


def _policy(request: Request) -> Policy:
    context = request.context
    record = context.store.get(context.kinds[NAMESPACES].key("", request.target.namespace))
    return policy_of(record.attributes.labels)[0] if record is not None else PRIVILEGED


def _significant(spec: Object, old: Object) -> bool:
    """Whether an update can make a Pod worse: of what may change, only images and containers added count."""
    for key in ("containers", "initContainers"):
        if len(spec.get(key) or ()) != len(old.get(key) or ()):
            return True
    return _images(spec) != _images(old)


def _images(spec: Object) -> dict[str, str]:
    keys = ("initContainers", "containers", "ephemeralContainers")
    return {row.get("name", ""): row.get("image", "") for key in keys for row in spec.get(key) or ()}


def validate_namespace(request: Request) -> None:
    """Labels have to make sense (422); Pods that a stricter level would refuse are named in warnings."""
    policy, errors = policy_of(request.new["metadata"].get("labels") or {})
    before, before_errors = policy_of(((request.old or {}).get("metadata") or {}).get("labels") or {})
    if errors and errors != before_errors:
        raise invalid("", "Namespace", request.name, errors)
    if request.operation == "UPDATE" and _stricter(policy.enforce, before.enforce):
        _warn_of_pods(request, policy.enforce)


def _stricter(level: Level, before: Level) -> bool:
    if level.name == "privileged" or level == before:
        return False
    return level.minor != before.minor or LEVELS.index(level.name) > LEVELS.index(before.name)


def _warn_of_pods(request: Request, level: Level) -> None:
    context = request.context
    pods = [record.decode() for record in context.store.list(context.kinds[PODS].prefix(request.name)).records]
    names: dict[str, list[str]] = defaultdict(list)
    for pod in pods[:MOST_PODS]:
        if findings := evaluate(level, pod["metadata"], pod["spec"]):
            names[", ".join(finding.reason for finding in findings)].append(pod["metadata"]["name"])
    if len(pods) > MOST_PODS:
        request.warn(
            f"new PodSecurity enforce level only checked against the first {MOST_PODS} of {len(pods)} existing pods"
        )
    if names:
        request.warn(f'existing pods in namespace "{request.name}" violate the new PodSecurity enforce level "{level}"')
    for text in sorted(_counted(min(found), len(found) - 1) + reasons for reasons, found in names.items()):
        request.warn(text)


def _counted(name: str, more: int) -> str:
    return f"{name}: " if not more else f"{name} (and {more} other pod{'s' if more > 1 else ''}): "
