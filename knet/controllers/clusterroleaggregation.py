"""ClusterRoles with an aggregationRule have the rules of all those that it selects: admin, edit and view are made so.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from collections.abc import Iterable

import msgspec

from knet.api.objects import ClusterRole, PolicyRule
from knet.api.selectors import from_label_selector
from knet.client import Controller, Key, NotFound
from knet.controllers.context import Context


def build(context: Context) -> Controller:
    roles = context.informers.of(ClusterRole)
    controller = Controller("clusterrole-aggregation", Aggregation(context), workers=1)

    def changed(old: ClusterRole | None, new: ClusterRole | None) -> None:
        if old is not None and new is not None and (old.rules, old.metadata.labels) == (new.rules, new.metadata.labels):
            # its own rules came out as they are: only what it selects may have changed
            controller.enqueue(Key("", new.name))
            return
        for role in roles.list():
            if role.aggregationRule is not None:
                controller.enqueue(Key("", role.name))

    roles.subscribe(changed)
    return controller


class Aggregation:
    """Keys are ClusterRoles."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._roles = context.informers.of(ClusterRole)

    async def reconcile(self, key: Key) -> None:
        role = self._roles.get("", key.name)
        if role is None or role.aggregationRule is None or role.deleting:
            return
        wanted = aggregated(role, self._roles.list())
        if wanted == role.rules:
            return
        patch = {"metadata": {"resourceVersion": role.metadata.resourceVersion}, "rules": msgspec.to_builtins(wanted)}
        try:
            self._roles.assume(await self._client.patch(ClusterRole, role.name, patch))
        except NotFound:
            return


def aggregated(role: ClusterRole, roles: Iterable[ClusterRole]) -> tuple[PolicyRule, ...]:
    """The rules of all roles that it selects, by their names, each rule once."""
    assert role.aggregationRule is not None
    found: dict[PolicyRule, None] = {}
    for selector in map(from_label_selector, role.aggregationRule.clusterRoleSelectors):
        for other in sorted(roles, key=lambda row: row.name):
            if other.name != role.name and selector.matches(other.metadata.labels):
                found |= dict.fromkeys(other.rules)
    return tuple(found)
