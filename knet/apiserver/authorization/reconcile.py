"""Writing the default roles and bindings: what is missing is created, what lacks rules or subjects gets them.

Nothing is taken away, and who sets ``rbac.authorization.kubernetes.io/autoupdate: "false"`` on one is left alone.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation
"""

import asyncio
from collections.abc import Callable, Iterator

from knet.api.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES, Resource
from knet.apiserver import creating, updating
from knet.apiserver.authorization import controller_policy, policy
from knet.apiserver.authorization.policy import Whom
from knet.apiserver.authorization.rbac import GROUP
from knet.apiserver.authorization.rules import Rule, rules_of, uncovered
from knet.apiserver.context import Context
from knet.apiserver.options import WriteOptions
from knet.apiserver.routes import Target
from knet.store import Object

_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}


async def reconcile(context: Context) -> None:
    """Make the tables true."""
    async with asyncio.TaskGroup() as group:  # together, so that they share transactions
        for resource, wanted in defaults():
            metadata = wanted["metadata"]
            target = Target(context.kinds[resource], metadata.get("namespace", ""), metadata["name"])
            record = context.store.get(target.kind.key(target.namespace, target.name))
            if record is None:
                group.create_task(creating.create_object(context, target, wanted, WriteOptions()))
            elif lacking(record.decode(), wanted):
                group.create_task(updating.modify(context, target, _completion(wanted), WriteOptions()))


def _completion(wanted: Object) -> Callable[[Object], Object]:
    return lambda present: present | lacking(present, wanted)


def lacking(present: Object, wanted: Object) -> Object:
    """The parts of an object that have to change for it to have all it should: {} if it has."""
    metadata, meant = present["metadata"], wanted["metadata"]
    if (metadata.get("annotations") or {}).get(_AUTOUPDATE) == "false":
        return {}
    changed: Object = {}
    marks = {}
    for key in ("labels", "annotations"):
        complete = (meant.get(key) or {}) | (metadata.get(key) or {})
        if complete != (metadata.get(key) or {}):
            marks[key] = complete
    if marks:
        changed["metadata"] = metadata | marks
    if "aggregationRule" in wanted:
        if present.get("aggregationRule") != wanted["aggregationRule"]:
            changed["aggregationRule"] = wanted["aggregationRule"]
    elif wanted.get("rules") != present.get("rules") and (missing := uncovered(rules_of(present), rules_of(wanted))):
        changed["rules"] = [*(present.get("rules") or []), *(rule.to_api() for rule in missing)]
    if missing_subjects := [row for row in wanted.get("subjects", ()) if row not in (present.get("subjects") or ())]:
        changed["subjects"] = [*(present.get("subjects") or []), *missing_subjects]
    return changed


def defaults() -> Iterator[tuple[Resource, Object]]:
    """All roles and bindings."""
    yield from _roles()
    yield from _bindings()


# ---- the tables as objects -------------------------------------------------------------------------------------------


def _metadata(name: str, namespace: str = "", default: bool = True) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if default:
        metadata |= {"labels": dict(_LABELS), "annotations": {_AUTOUPDATE: "true"}}
    return metadata


def _roles() -> Iterator[tuple[Resource, Object]]:
    for name, rules in policy.CLUSTER_ROLES.items():
        role = _role(_metadata(name), rules)
        for whole, parts in policy.AGGREGATED.items():
            label = policy.AGGREGATE_LABEL.format(whole)
            if name in parts:
                role["metadata"]["labels"][label] = "true"
            if name == whole:
                role = {
                    "metadata": role["metadata"],
                    "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]},
                }
        yield CLUSTERROLES, role
    for name, rules in controller_policy.CONTROLLER_ROLES.items():
        yield CLUSTERROLES, _role(_metadata(controller_policy.PREFIX + name), rules)
    for name, rules in {**policy.ADDON_ROLES, controller_policy.KNET_NAME: controller_policy.KNET_RULES}.items():
        yield CLUSTERROLES, _role(_metadata(name, default=False), rules)
    for (namespace, name), rules in policy.ROLES.items():
        yield ROLES, _role(_metadata(name, namespace, not name.startswith("knet:")), rules)


def _role(metadata: Object, rules: tuple[Rule, ...]) -> Object:
    return {"metadata": metadata, "rules": [rule.to_api() for rule in rules]}


def _bindings() -> Iterator[tuple[Resource, Object]]:
    for name, (role, whom) in policy.CLUSTER_BINDINGS.items():
        yield CLUSTERROLEBINDINGS, _binding(_metadata(name), "ClusterRole", role, whom)
    for name in controller_policy.CONTROLLER_ROLES:
        full, whom = controller_policy.PREFIX + name, Whom(accounts=(f"kube-system/{name}",))
        yield CLUSTERROLEBINDINGS, _binding(_metadata(full), "ClusterRole", full, whom)
    manager = (controller_policy.KNET_NAME, Whom(users=("system:kube-controller-manager",)))
    for name, (role, whom) in {**policy.ADDON_BINDINGS, controller_policy.KNET_NAME: manager}.items():
        yield CLUSTERROLEBINDINGS, _binding(_metadata(name, default=False), "ClusterRole", role, whom)
    for (namespace, name), (role, whom) in policy.BINDINGS.items():
        yield ROLEBINDINGS, _binding(_metadata(name, namespace, not name.startswith("knet:")), "Role", role, whom)


def _binding(metadata: Object, kind: str, role: str, whom: Whom) -> Object:
    subjects: list[Object] = [
        *({"apiGroup": GROUP, "kind": "User", "name": name} for name in whom.users),
        *({"apiGroup": GROUP, "kind": "Group", "name": name} for name in whom.groups),
    ]
    for account in whom.accounts:
        namespace, _, name = account.partition("/")
        subjects.append({"kind": "ServiceAccount", "name": name, "namespace": namespace})
    binding: Object = {"metadata": metadata, "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role}}
    return {**binding, "subjects": subjects} if subjects else binding
