"""What makes a pod that of an ordinal: its name, host name and labels, and the volumes it claims.

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#pod-identity
"""

import re
from typing import Any

from knet.api.objects import JSON, KubeObject, owner_reference
from knet.api.workloads import ClaimTemplate, StatefulSet
from knet.controllers.pods import pod_from_template
from knet.controllers.revisions import HASH_LABEL

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"

_ORDINAL = re.compile(r"(.*)-(\d+)")


def pod_name(stateful_set: KubeObject, ordinal: int) -> str:
    """``web-0``."""
    return f"{stateful_set.name}-{ordinal}"


def ordinal_of(stateful_set: KubeObject, name: str) -> int | None:
    """The ordinal in a pod's name; None for a pod of another name."""
    match = _ORDINAL.fullmatch(name)
    return int(match[2]) if match is not None and match[1] == stateful_set.name else None


def claim_name(template: ClaimTemplate, stateful_set: KubeObject, ordinal: int) -> str:
    """``data-web-0``."""
    return f"{template.metadata.name}-{pod_name(stateful_set, ordinal)}"


def new_pod(stateful_set: StatefulSet, template: JSON, ordinal: int, revision: str) -> JSON:
    """The body of the pod of an ordinal, of a revision's template; ``revision`` is the revision's name."""
    body = pod_from_template(template, stateful_set)
    name = pod_name(stateful_set, ordinal)
    metadata = body["metadata"]
    del metadata["generateName"]
    labels = {POD_NAME_LABEL: name, POD_INDEX_LABEL: str(ordinal), HASH_LABEL: revision}
    metadata |= {"name": name, "labels": {**metadata.get("labels", {}), **labels}}
    spec = {**body["spec"], "hostname": name, "subdomain": stateful_set.spec.serviceName}
    body["spec"] = {**spec, "volumes": _volumes(stateful_set, spec.get("volumes") or [], ordinal)}
    return body


def _volumes(stateful_set: StatefulSet, volumes: list[dict[str, Any]], ordinal: int) -> list[JSON]:
    """Those of the template, where a claim's of the same name goes first."""
    claimed = {
        template.metadata.name: {
            "name": template.metadata.name,
            "persistentVolumeClaim": {"claimName": claim_name(template, stateful_set, ordinal)},
        }
        for template in stateful_set.spec.volumeClaimTemplates
    }
    return [*claimed.values(), *(row for row in volumes if row.get("name") not in claimed)]


def new_claim(stateful_set: StatefulSet, template: ClaimTemplate, ordinal: int, owners: list[JSON]) -> JSON:
    """The body of a claim; ``owners`` are the references that its retention policy asks for."""
    labels = {**template.metadata.labels, **stateful_set.spec.selector.matchLabels}
    metadata: JSON = {"name": claim_name(template, stateful_set, ordinal), "labels": labels}
    if template.metadata.annotations:
        metadata["annotations"] = template.metadata.annotations
    if owners:
        metadata["ownerReferences"] = owners
    return {"metadata": metadata, "spec": template.spec}


def claim_owner(of: KubeObject) -> JSON:
    """A reference that lets a claim go with a StatefulSet or a Pod, without either controlling it (KEP-1847)."""
    return owner_reference(of) | {"controller": False, "blockOwnerDeletion": False}
