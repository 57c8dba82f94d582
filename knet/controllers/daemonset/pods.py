"""The pod of a DaemonSet: bound by affinity to one node, and not driven away by what is wrong with that."""

from knet.api.names import NOT_READY_TAINT, UNREACHABLE_TAINT, UNSCHEDULABLE_TAINT
from knet.api.objects import JSON
from knet.api.workloads import DaemonSet
from knet.controllers.pods import pod_from_template
from knet.controllers.revisions import HASH_LABEL

#: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations
_TOLERATED = (
    (NOT_READY_TAINT, "NoExecute"),
    (UNREACHABLE_TAINT, "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    (UNSCHEDULABLE_TAINT, "NoSchedule"),
)
_ON_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def new_pod(daemon_set: DaemonSet, node: str, revision: str) -> JSON:
    """The body; ``revision`` is the hash of the present template."""
    body = pod_from_template(daemon_set.spec.template, daemon_set)
    body["metadata"]["labels"] = {**body["metadata"].get("labels", {}), HASH_LABEL: revision}
    spec = with_tolerations(body["spec"])
    affinity = dict(spec.get("affinity") or {})
    wanted = dict(affinity.get("nodeAffinity") or {})
    this_node = {"key": "metadata.name", "operator": "In", "values": [node]}
    # in place of what the template requires: that has been looked at already, and terms are alternatives
    wanted["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [{"matchFields": [this_node]}]}
    body["spec"] = {**spec, "affinity": {**affinity, "nodeAffinity": wanted}}
    return body


def with_tolerations(spec: JSON) -> JSON:
    """A pod spec that tolerates what a daemon must."""
    rows = [*_TOLERATED, *([_ON_HOST_NETWORK] if spec.get("hostNetwork") else [])]
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in rows]
    present = spec.get("tolerations") or []
    return {**spec, "tolerations": [*present, *(row for row in added if row not in present)]}
