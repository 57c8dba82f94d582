"""Who may do what: kubelets by the Node authorizer, everybody by RBAC, system:masters everything."""

import asyncio
from collections.abc import Callable

from knet.apiserver.authorization.attributes import Attributes, Decision
from knet.apiserver.authorization.following import Following
from knet.apiserver.authorization.node import NodeAuthorizer, PodsOfNodes, node_of
from knet.apiserver.authorization.policy import NODE_RULES
from knet.apiserver.authorization.rbac import Policy
from knet.store import Record, Store

#: may do anything, whatever is stored: by it a cluster is repaired whose RBAC objects have been deleted
MASTERS = "system:masters"
_PRIVILEGED = Decision(True)


class Authorizer:
    """Decides requests, upstream's ``--authorization-mode=Node,RBAC``."""

    def __init__(self, store: Store) -> None:
        self.policy = Policy()
        self._store = store
        self._pods = PodsOfNodes()
        self._node = NodeAuthorizer(NODE_RULES, self._pods, self._claim_of)
        policy = self.policy
        self._following = [
            Following(store, "/registry/pods/", self._pods.put, self._pods.drop),
            *(
                Following(store, f"/registry/{plural}/", _decoded(put), _named(drop))
                for plural, put, drop in (
                    ("roles", policy.put_role, policy.drop_role),
                    ("clusterroles", policy.put_role, policy.drop_role),
                    ("rolebindings", policy.put_binding, policy.drop_binding),
                    ("clusterrolebindings", policy.put_binding, policy.drop_binding),
                )
            ),
        ]

    async def run(self) -> None:
        """Follow the store until cancelled."""
        async with asyncio.TaskGroup() as group:
            for following in self._following:
                group.create_task(following.run())

    def decide(self, wanted: Attributes) -> Decision:
        """Whether it may happen."""
        if MASTERS in wanted.user.groups:
            return _PRIVILEGED
        if node_of(wanted.user) is None:
            return self.policy.decide(wanted)
        by_node = self._node.decide(wanted)
        if by_node.allowed:
            return by_node
        by_role = self.policy.decide(wanted)
        if by_role.allowed or not by_node.reason:
            return by_role
        return Decision(False, "\n".join(reason for reason in (by_node.reason, by_role.reason) if reason))

    def _claim_of(self, volume: str) -> tuple[str, str] | None:
        record = self._store.get(f"/registry/persistentvolumes/{volume}")
        claim = record.decode().get("spec", {}).get("claimRef") if record else None
        return (claim.get("namespace", ""), claim.get("name", "")) if claim else None


def _decoded(put: Callable[[dict[str, object]], None]) -> Callable[[Record], None]:
    return lambda record: put(record.decode())


def _named(drop: Callable[[str, str], None]) -> Callable[[Record], None]:
    def by_name(record: Record) -> None:
        fields = record.attributes.fields
        drop(fields["metadata.namespace"], fields["metadata.name"])

    return by_name
