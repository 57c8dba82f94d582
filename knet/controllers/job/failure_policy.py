"""podFailurePolicy: what a failed pod means, by its exit codes or conditions; the first rule that matches counts.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy (KEP-3329)
"""

from typing import NamedTuple

from knet.api.batch import OnExitCodes, PodFailurePolicy, PodFailurePolicyRule
from knet.api.objects import ContainerStatus, Pod, condition


class Match(NamedTuple):
    """``action`` is FailJob, FailIndex, Ignore or Count; ``message`` says why the Job fails, by FailJob."""

    action: str
    message: str = ""

    @property
    def counts(self) -> bool:
        """Towards backoffLimit."""
        return self.action != "Ignore"


#: without a policy, or where no rule matches
COUNT = Match("Count")


def judge(policy: PodFailurePolicy | None, pod: Pod) -> Match:
    """What the policy says of a pod that failed."""
    for place, rule in enumerate(policy.rules if policy is not None else ()):
        why = _why(rule, pod)
        if why:
            return Match(rule.action, f"{why} matching {rule.action} rule at index {place}")
    return COUNT


def _why(rule: PodFailurePolicyRule, pod: Pod) -> str:
    name = f"{pod.namespace}/{pod.name}"
    if rule.onExitCodes is not None:
        status = _by_exit_code(rule.onExitCodes, pod)
        if status is None or status.state.terminated is None:
            return ""
        return f"Container {status.name} for pod {name} failed with exit code {status.state.terminated.exitCode}"
    for pattern in rule.onPodConditions:
        row = condition(pod.status.conditions, pattern.type)
        if row is not None and row.status == pattern.status:
            return f"Pod {name} has condition {pattern.type}"
    return ""


def _by_exit_code(pattern: OnExitCodes, pod: Pod) -> ContainerStatus | None:
    for status in (*pod.status.initContainerStatuses, *pod.status.containerStatuses):
        ended = status.state.terminated
        if ended is None or ended.exitCode == 0 or pattern.containerName not in (None, status.name):
            continue
        if (ended.exitCode in pattern.values) == (pattern.operator == "In"):
            return status
    return None
