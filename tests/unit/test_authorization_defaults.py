"""What the default roles let whom do, asked as ``kubectl auth can-i`` would, of the tables that every cluster gets."""

import msgspec
import pytest
from test_authorization_rules import wants

from knet.api.objects import ClusterRole, PolicyRule
from knet.apiserver.authorization.rbac import Policy
from knet.apiserver.authorization.reconcile import defaults, lacking
from knet.apiserver.user import User
from knet.controllers.clusterroleaggregation import aggregated
from knet.store import Object


def complete() -> dict[str, Object]:
    """The ClusterRoles by name, the aggregated ones as the controller would make them."""
    roles = {value["metadata"]["name"]: value for row, value in defaults() if row.kind == "ClusterRole"}
    typed = {name: msgspec.convert(value, ClusterRole) for name, value in roles.items()}
    for name in ("view", "edit", "admin"):
        rules = aggregated(typed[name], typed.values())
        typed[name] = msgspec.structs.replace(typed[name], rules=rules)
        roles[name] = {**roles[name], "rules": msgspec.to_builtins(rules)}
    return roles


def policy() -> Policy:
    made = Policy()
    for role in complete().values():
        made.put_role(role)
    for row, value in defaults():
        if row.kind == "Role":
            made.put_role(value)
        elif row.kind != "ClusterRole":
            made.put_binding(value)
    for name in ("view", "edit", "admin"):
        reference = {"kind": "ClusterRole", "name": name}
        metadata = {"name": name, "namespace": "shop"}
        made.put_binding({"metadata": metadata, "roleRef": reference, "subjects": [{"kind": "User", "name": name}]})
    return made


POLICY = policy()
EVERYBODY = ("system:authenticated",)
USERS = {
    "root": User("root", ("kubeadm:cluster-admins", *EVERYBODY)),
    "view": User("view", EVERYBODY),
    "edit": User("edit", EVERYBODY),
    "admin": User("admin", EVERYBODY),
    "anonymous": User("system:anonymous", ("system:unauthenticated",)),
    "scheduler": User("system:kube-scheduler", EVERYBODY),
    "manager": User("system:kube-controller-manager", EVERYBODY),
    "proxy": User("system:kube-proxy", EVERYBODY),
    "flannel": User("system:serviceaccount:kube-flannel:flannel", ("system:serviceaccounts", *EVERYBODY)),
    "coredns": User("system:serviceaccount:kube-system:coredns", ("system:serviceaccounts", *EVERYBODY)),
    "joining": User("system:bootstrap:abcdef", ("system:bootstrappers:kubeadm:default-node-token", *EVERYBODY)),
    "deployment": User("system:serviceaccount:kube-system:deployment-controller", EVERYBODY),
}

#: request → who may
MATRIX = {
    "get pods web in shop": "root view edit admin scheduler manager deployment flannel",
    "get pods/log web in shop": "root view edit admin manager",
    "get pods web in other": "root scheduler manager deployment flannel",
    "list nodes": "root scheduler manager proxy flannel",
    "create pods in shop": "root edit admin manager",
    "create pods/exec web in shop": "root edit admin",
    "get secrets db in shop": "root edit admin manager",
    "create secrets in shop": "root edit admin manager",
    "create serviceaccounts/token robot in shop": "root edit admin manager",
    "impersonate serviceaccounts robot in shop": "root edit admin",
    "create roles.rbac.authorization.k8s.io in shop": "root admin",
    "create rolebindings.rbac.authorization.k8s.io in shop": "root admin",
    "escalate clusterroles.rbac.authorization.k8s.io edit": "root manager",
    "create resourcequotas in shop": "root",
    "get resourcequotas x in shop": "root view edit admin manager",
    "update deployments.apps/scale web in shop": "root edit admin manager",
    "patch deployments.apps/status web in shop": "root manager",
    "update replicasets.apps x in shop": "root edit admin manager deployment",
    "get namespaces shop in shop": "root view edit admin scheduler manager",
    "list namespaces": "root scheduler manager coredns",
    "create namespaces": "root",
    "create pods/binding web in shop": "root scheduler manager",
    "patch pods/status web in shop": "root scheduler manager",
    "update leases.coordination.k8s.io kube-scheduler in kube-system": "root scheduler manager",
    "patch leases.coordination.k8s.io kube-scheduler in kube-system": "root scheduler manager",
    "patch leases.coordination.k8s.io other in kube-system": "root manager",
    "watch endpointslices.discovery.k8s.io": "root manager proxy coredns",
    "patch nodes/status n1": "root manager flannel",
    "patch nodes n1": "root manager",
    "create events in shop": "root edit admin scheduler manager proxy flannel deployment",
    "create certificatesigningrequests.certificates.k8s.io": "root joining",
    "create selfsubjectaccessreviews.authorization.k8s.io": " ".join(sorted(set(USERS) - {"anonymous"})),
    "create selfsubjectreviews.authentication.k8s.io": " ".join(sorted(set(USERS) - {"anonymous"})),
    "get /healthz": " ".join(USERS),
    "get /version": " ".join(USERS),
    "get /apis/apps/v1": " ".join(sorted(set(USERS) - {"anonymous"})),
    "get /metrics": "root",
}


@pytest.mark.parametrize("question", MATRIX)
def test_who_may(question: str) -> None:
    wanted = wants(question)
    able = {name for name, user in USERS.items() if POLICY.decide(wanted._replace(user=user)).allowed}
    assert able == set(MATRIX[question].split())


def test_rules_are_known_to_the_schema_and_none_is_empty() -> None:
    for _, value in defaults():
        for row in value.get("rules", ()):
            known = msgspec.convert(row, PolicyRule, strict=True)
            assert known.verbs and (known.nonResourceURLs or (known.apiGroups and known.resources))


def test_reconciling_adds_what_is_missing_and_nothing_else() -> None:
    wanted = next(value for _, value in defaults() if value["metadata"]["name"] == "system:node-proxier")
    assert lacking(wanted, wanted) == {}
    fewer = {**wanted, "rules": [*wanted["rules"][1:], {"verbs": ["x"], "apiGroups": [""], "resources": ["y"]}]}
    complete = fewer | lacking(fewer, wanted)
    assert complete["rules"][: len(fewer["rules"])] == fewer["rules"], "what somebody added stays"
    assert lacking(complete, wanted) == {}
    assert len(complete["rules"]) == len(fewer["rules"]) + 4, "list and watch, of two resources"
    protected = {**fewer, "metadata": {**wanted["metadata"], "annotations": {_AUTOUPDATE: "false"}}}
    assert lacking(protected, wanted) == {}
    bare = {**wanted, "metadata": {"name": "system:node-proxier"}}
    assert lacking(bare, wanted)["metadata"]["labels"] == {"kubernetes.io/bootstrapping": "rbac-defaults"}


_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
