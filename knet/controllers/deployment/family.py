"""A Deployment with its ReplicaSets as one pass sees them, and the body of the one that is missing."""

from typing import NamedTuple

from knet.api.names import TEMPLATE_HASH_LABEL
from knet.api.objects import JSON, Deployment, LabelSelector, ReplicaSet, owner_reference
from knet.controllers.deployment.revision import annotations_for_new, next_revision
from knet.controllers.deployment.rolling import new_size
from knet.controllers.deployment.template import find_new, template_hash


class Family(NamedTuple):
    """``new`` has the Deployment's current template (None until it is made); ``old`` are all others."""

    deployment: Deployment
    new: ReplicaSet | None
    old: list[ReplicaSet]

    @property
    def sets(self) -> list[ReplicaSet]:
        return [*self.old, *([self.new] if self.new is not None else [])]

    def with_sizes(self, written: list[ReplicaSet]) -> "Family":
        """The family after some of its members were written."""
        latest = {row.uid: row for row in written}
        new = latest.get(self.new.uid, self.new) if self.new is not None else None
        return self._replace(new=new, old=[latest.get(row.uid, row) for row in self.old])


def family_of(deployment: Deployment, sets: list[ReplicaSet]) -> Family:
    new = find_new(deployment, sets)
    return Family(deployment, new, [row for row in sets if new is None or row.uid != new.uid])


def new_replica_set(family: Family) -> JSON:
    """The ReplicaSet of the current template: named by its hash, so that making it twice makes one."""
    deployment = family.deployment
    template = deployment.spec.template
    digest = template_hash(template, deployment.status.collisionCount)
    meta = template.get("metadata") or {}
    labels = {**(meta.get("labels") or {}), TEMPLATE_HASH_LABEL: digest}
    return {
        "metadata": {
            "name": f"{deployment.name}-{digest}",
            "namespace": deployment.namespace,
            "labels": labels,
            "annotations": annotations_for_new(deployment, {}, next_revision(family.old), exists=False),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": new_size(deployment, None, family.old),
            "minReadySeconds": deployment.spec.minReadySeconds,
            "selector": _selector_json(deployment.spec.selector, digest),
            "template": {**template, "metadata": {**meta, "labels": labels}},
        },
    }


def _selector_json(selector: LabelSelector, digest: str) -> JSON:
    rows = [
        {"key": row.key, "operator": row.operator, **({"values": list(row.values)} if row.values else {})}
        for row in selector.matchExpressions
    ]
    labels = {**selector.matchLabels, TEMPLATE_HASH_LABEL: digest}
    return {"matchLabels": labels, **({"matchExpressions": rows} if rows else {})}
