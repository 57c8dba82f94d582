"""The Node authorizer: what a kubelet may, given the pods of its node; and which labels it may give itself."""

import orjson
import pytest

from knet.apiserver.admission.node_restriction import forbidden_labels
from knet.apiserver.authorization.attributes import Attributes
from knet.apiserver.authorization.node import NodeAuthorizer, PodsOfNodes, node_of
from knet.apiserver.authorization.policy import NODE_RULES
from knet.apiserver.user import User
from knet.store import Attributes as Selected
from knet.store import Object, Record

N1 = User("system:node:n1", ("system:nodes", "system:authenticated"))

POD: Object = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "serviceAccountName": "robot",
        "nodeName": "n1",
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"envFrom": [{"configMapRef": {"name": "env-map"}}, {"secretRef": {"name": "env-secret"}}]}],
        "containers": [
            {
                "env": [
                    {"name": "a", "valueFrom": {"secretKeyRef": {"name": "key-secret", "key": "k"}}},
                    {"name": "b", "valueFrom": {"configMapKeyRef": {"name": "key-map", "key": "k"}}},
                    {"name": "c", "value": "plain"},
                ]
            }
        ],
        "volumes": [
            {"name": "s", "secret": {"secretName": "vol-secret"}},
            {"name": "c", "configMap": {"name": "vol-map"}},
            {
                "name": "p",
                "projected": {"sources": [{"secret": {"name": "proj-secret"}}, {"configMap": {"name": "proj-map"}}]},
            },
            {"name": "d", "persistentVolumeClaim": {"claimName": "disk"}},
            {"name": "e", "emptyDir": {}},
            {"name": "own", "ephemeral": {"volumeClaimTemplate": {}}},
        ],
    },
}


def record(value: Object, revision: int = 1) -> Record:
    """As the store keeps a Pod."""
    metadata, spec = value["metadata"], value["spec"]
    fields = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
    }
    key = f"/registry/pods/{metadata['namespace']}/{metadata['name']}"
    return Record(key, revision, orjson.dumps(value), Selected({}, fields))


def authorizer() -> NodeAuthorizer:
    pods = PodsOfNodes()
    pods.put(record(POD))
    elsewhere = {"metadata": {"name": "db", "namespace": "shop"}, "spec": {"nodeName": "n2"}}
    pods.put(record(elsewhere))
    return NodeAuthorizer(NODE_RULES, pods, {"pv-1": ("shop", "disk"), "pv-2": ("shop", "other")}.get)


_UNRELATED = "no relationship found between node 'n1' and this object"
_LEASES = "coordination.k8s.io"

TABLE: list[tuple[Attributes, str | None]] = [
    *(
        (Attributes(N1, "get", "", "secrets", "", "shop", name), None)
        for name in ("pull", "env-secret", "key-secret", "vol-secret", "proj-secret")
    ),
    *(
        (Attributes(N1, verb, "", "configmaps", "", "shop", name), None)
        for name in ("env-map", "key-map", "vol-map", "proj-map")
        for verb in ("get", "list", "watch")
    ),
    (Attributes(N1, "get", "", "secrets", "", "shop", "other"), _UNRELATED),
    (Attributes(N1, "get", "", "secrets", "", "default", "pull"), _UNRELATED),
    (Attributes(N1, "list", "", "secrets", "", "shop"), "No Object name found"),
    (Attributes(N1, "list", "", "secrets"), "can only read namespaced object of this type"),
    (Attributes(N1, "update", "", "secrets", "", "shop", "pull"), "can only read resources of this type"),
    (Attributes(N1, "get", "", "persistentvolumeclaims", "", "shop", "disk"), None),
    (Attributes(N1, "get", "", "persistentvolumeclaims", "", "shop", "web-own"), None),
    (Attributes(N1, "get", "", "persistentvolumeclaims", "", "shop", "web-d"), _UNRELATED),
    (Attributes(N1, "patch", "", "persistentvolumeclaims", "status", "shop", "disk"), None),
    (
        Attributes(N1, "list", "", "persistentvolumeclaims", "", "shop"),
        "can only get individual resources of this type",
    ),
    (Attributes(N1, "get", "", "persistentvolumes", name="pv-1"), None),
    (Attributes(N1, "get", "", "persistentvolumes", name="pv-2"), _UNRELATED),
    (Attributes(N1, "get", "", "persistentvolumes", name="pv-3"), _UNRELATED),
    (Attributes(N1, "create", "", "serviceaccounts", "token", "shop", "robot"), None),
    (Attributes(N1, "create", "", "serviceaccounts", "token", "shop", "default"), _UNRELATED),
    (
        Attributes(N1, "create", "", "serviceaccounts", "", "shop", "robot"),
        "can only create token subresource of serviceaccount",
    ),
    (Attributes(N1, "get", "", "nodes", name="n1"), None),
    (Attributes(N1, "get", "", "nodes", name="n2"), "node 'n1' cannot read 'n2', only its own Node object"),
    (Attributes(N1, "list", "", "nodes"), "node 'n1' cannot read all nodes, only its own Node object"),
    (Attributes(N1, "create", "", "nodes"), None),
    (Attributes(N1, "patch", "", "nodes", "status", name="n1"), None),
    (Attributes(N1, "delete", "", "nodes", name="n1"), ""),
    (Attributes(N1, "watch", "", "pods", fields={"spec.nodeName": "n1"}), None),
    (
        Attributes(N1, "watch", "", "pods", fields={"spec.nodeName": "n2"}),
        "can only list/watch pods with spec.nodeName field selector set to 'n1'",
    ),
    (Attributes(N1, "get", "", "pods", "", "shop", "web"), None),
    (Attributes(N1, "get", "", "pods", "", "shop", "db"), _UNRELATED),
    (Attributes(N1, "delete", "", "pods", "", "shop", "web"), None),
    (Attributes(N1, "patch", "", "pods", "status", "shop", "web"), None),
    (Attributes(N1, "create", "", "pods", "exec", "shop", "web"), ""),
    (Attributes(N1, "patch", _LEASES, "leases", "", "kube-node-lease", "n1"), None),
    (Attributes(N1, "create", _LEASES, "leases", "", "kube-node-lease"), None),
    (
        Attributes(N1, "patch", _LEASES, "leases", "", "kube-node-lease", "n2"),
        "can only access node lease with the same name as the requesting node",
    ),
    (
        Attributes(N1, "get", _LEASES, "leases", "", "kube-system", "n1"),
        'can only access leases in the "kube-node-lease" system namespace',
    ),
    (Attributes(N1, "list", "", "services"), None),
    (Attributes(N1, "create", "", "events", "", "shop"), None),
    (Attributes(N1, "get", "", "deployments", "", "shop", "x"), ""),
    (Attributes(N1, "get", path="/metrics"), ""),
    (
        Attributes(User("system:node:", ("system:nodes",)), "list", "", "services"),
        'unknown node for user "system:node:"',
    ),
    (Attributes(User("jane", ("system:authenticated",)), "list", "", "services"), ""),
]


@pytest.mark.parametrize(("wanted", "reason"), TABLE, ids=[" ".join(map(str, row[0][1:8])) for row in TABLE])
def test_what_a_kubelet_may(wanted: Attributes, reason: str | None) -> None:
    decision = authorizer().decide(wanted)
    assert (decision.allowed, decision.reason) == (reason is None, reason or "")


def test_a_pod_that_goes_takes_its_rights_along() -> None:
    pods = PodsOfNodes()
    node = NodeAuthorizer(NODE_RULES, pods, lambda _: None)
    wanted = Attributes(N1, "get", "", "secrets", "", "shop", "pull")
    assert not node.decide(wanted).allowed
    pods.put(record(POD))
    assert node.decide(wanted).allowed
    without = {**POD, "spec": {**POD["spec"], "imagePullSecrets": []}}
    pods.put(record(without, revision=2))
    assert not node.decide(wanted).allowed
    pods.put(record(POD, revision=3))
    pods.drop(record(POD, revision=4))
    assert not node.decide(wanted).allowed


@pytest.mark.parametrize(
    ("user", "node"),
    [
        (N1, "n1"),
        (User("system:node:n1", ("system:authenticated",)), None),
        (User("jane", ("system:nodes",)), ""),
    ],
)
def test_a_node_is_known_by_group_and_name(user: User, node: str | None) -> None:
    assert node_of(user) == node


LABELS = [
    ("kubernetes.io/hostname", True),
    ("kubernetes.io/os", True),
    ("topology.kubernetes.io/zone", True),
    ("beta.kubernetes.io/arch", True),
    ("node.kubernetes.io/anything", True),
    ("sub.node.kubernetes.io/anything", True),
    ("kubelet.kubernetes.io/anything", True),
    ("example.com/rack", True),
    ("rack", True),
    ("node-role.kubernetes.io/control-plane", False),
    ("kubernetes.io/other", False),
    ("x.k8s.io/y", False),
    ("node-restriction.kubernetes.io/pci", False),
    ("a.node-restriction.kubernetes.io/pci", False),
]


@pytest.mark.parametrize(("label", "allowed"), LABELS)
def test_labels_a_kubelet_may_set_change_and_remove(label: str, allowed: bool) -> None:
    for new, old in (({label: "a"}, {}), ({label: "a"}, {label: "b"}), ({}, {label: "a"})):
        assert forbidden_labels(new, old) == ([] if allowed else [label])
    assert forbidden_labels({label: "a"}, {label: "a"}) == []
