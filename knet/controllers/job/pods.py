"""The pod of a Job: its template, and for an Indexed Job the place it fills."""

from typing import Any

from knet.api.batch import Job
from knet.api.objects import JSON, Pod
from knet.controllers.job import failure_policy
from knet.controllers.job.indexes import COMPLETION_INDEX
from knet.controllers.job.tally import FAILURE_COUNT, FINALIZER, IGNORED_COUNT, failure_count
from knet.controllers.pods import pod_from_template

_ENV = "JOB_COMPLETION_INDEX"


def new_pod(job: Job, index: int | None, former: Pod | None) -> JSON:
    """The body; ``former`` is the failed pod of the index that it replaces, where failures count by index."""
    body = pod_from_template(job.spec.template, job)
    metadata = body["metadata"]
    metadata["finalizers"] = [*metadata.get("finalizers", ()), FINALIZER]
    if index is None:
        return body
    place = {COMPLETION_INDEX: str(index)}
    metadata["generateName"] = f"{job.name}-{index}-"
    metadata["labels"] = {**metadata.get("labels", {}), **place}
    metadata["annotations"] = {**metadata.get("annotations", {}), **place, **_failure_counts(job, former)}
    spec = body["spec"]
    body["spec"] = {
        **spec,
        "hostname": f"{job.name}-{index}",
        **{key: [_told_its_index(row) for row in spec[key]] for key in ("initContainers", "containers") if key in spec},
    }
    return body


def _failure_counts(job: Job, former: Pod | None) -> dict[str, str]:
    if job.spec.backoffLimitPerIndex is None:
        return {}
    failures = ignored = 0
    if former is not None:
        counts = failure_policy.judge(job.spec.podFailurePolicy, former).counts
        failures = failure_count(former) + counts
        ignored = failure_count(former, IGNORED_COUNT) + (not counts)
    return {FAILURE_COUNT: str(failures), **({IGNORED_COUNT: str(ignored)} if ignored else {})}


def _told_its_index(container: dict[str, Any]) -> JSON:
    env = container.get("env", [])
    if any(row.get("name") == _ENV for row in env):
        return container
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}}
    return {**container, "env": [*env, {"name": _ENV, "valueFrom": source}]}
