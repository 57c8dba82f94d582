"""Jobs and CronJobs (pkg/apis/batch/v1/defaults.go)."""

from knet.apiserver.defaults.apps import default_template
from knet.store import Object

_MANY = 2147483647


def default_job(value: Object) -> None:
    """A Job: one pod that succeeds, six attempts."""
    spec = value.setdefault("spec", {})
    default_job_spec(spec)
    labels = (spec.get("template") or {}).get("metadata", {}).get("labels")
    if labels and not value["metadata"].get("labels"):
        value["metadata"]["labels"] = dict(labels)


def default_job_spec(spec: Object) -> None:
    """The spec of a Job.

    Without completions and parallelism it is one pod; with parallelism alone, any success of several workers will do.
    """
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _MANY if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    policy = spec.get("podFailurePolicy")
    for rule in (policy or {}).get("rules", ()):
        for row in rule.get("onPodConditions", ()):
            row["status"] = row.get("status") or "True"
    spec.setdefault("podReplacementPolicy", "Failed" if policy is not None else "TerminatingOrFailed")
    default_template(spec)


def default_cron_job(value: Object) -> None:
    """A CronJob: runs may overlap, three successes and one failure are kept."""
    spec = value.setdefault("spec", {})
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    if spec.get("jobTemplate") is not None:
        spec["jobTemplate"].setdefault("metadata", {})
        job = spec["jobTemplate"].setdefault("spec", {})
        default_template(job)
