"""A write in words, and what belongs to what."""

from typing import Any

import orjson
import pytest

from knet.errors import KnetError
from knet.inspect.timeline.changes import concerned, told
from knet.inspect.timeline.event import Event
from knet.inspect.timeline.history import History, actor
from knet.inspect.timeline.relations import Relations, meant, selected

JSON = dict[str, Any]
APPS = {"Deployment", "ReplicaSet"}


def obj(kind: str, name: str = "web", uid: str = "", owner: str = "", **parts: Any) -> JSON:
    metadata = {"name": name, "namespace": "default", "uid": uid or f"uid-{kind}-{name}", **parts.pop("metadata", {})}
    if kind == "Node":
        del metadata["namespace"]
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "controller": True}]
    version = "apps/v1" if kind in APPS else "discovery.k8s.io/v1" if kind == "EndpointSlice" else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def template(image: str, restarted: str = "") -> JSON:
    annotations = {"kubectl.kubernetes.io/restartedAt": restarted} if restarted else {}
    return {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "nginx", "image": image}]}}


def slice_(*endpoints: JSON, name: str = "web-abc") -> JSON:
    labels = {"kubernetes.io/service-name": "web"}
    return obj("EndpointSlice", name, metadata={"labels": labels}, endpoints=list(endpoints))


def endpoint(address: str, pod: str, **conditions: bool) -> JSON:
    return {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "name": pod}}


READY = {"conditions": [{"type": "Ready", "status": "True"}]}
CASES = {
    "scaled": (obj("Deployment", spec={"replicas": 2}), obj("Deployment", spec={"replicas": 3}), "replicas 2 → 3"),
    "image": (
        obj("Deployment", spec={"template": template("nginx:1.26")}),
        obj("Deployment", spec={"template": template("nginx:1.27")}),
        "nginx's image nginx:1.26 → nginx:1.27",
    ),
    "restarted": (
        obj("Deployment", spec={"template": template("nginx")}),
        obj("Deployment", spec={"template": template("nginx", "2026-11-26T11:00:00Z")}),
        "to be restarted",
    ),
    "counts": (
        obj("ReplicaSet", status={"readyReplicas": 1}),
        obj("ReplicaSet", status={"readyReplicas": 2, "observedGeneration": 3}),
        "readyReplicas 1 → 2",
    ),
    "bound": (
        obj("Pod", spec={}),
        obj("Pod", spec={"nodeName": "n2"}, status={"conditions": [{"type": "PodScheduled", "status": "True"}]}),
        "bound to n2",
    ),
    "ready": (
        obj("Pod", status={"phase": "Pending"}),
        obj("Pod", status={"phase": "Running", "podIP": "10.244.1.2", **READY}),
        "Running, 10.244.1.2, Ready",
    ),
    "crashing": (
        obj("Pod", status={"containerStatuses": [{"name": "main", "restartCount": 0, "state": {"running": {}}}]}),
        obj(
            "Pod",
            status={
                "containerStatuses": [
                    {"name": "main", "restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
                ]
            },
        ),
        "main restarted (1), main: CrashLoopBackOff",
    ),
    "to end": (
        obj("Pod"),
        obj("Pod", metadata={"deletionTimestamp": "2026-11-26T11:00:00Z", "deletionGracePeriodSeconds": 30}),
        "is to end within 30 s",
    ),
    "slice": (
        slice_(endpoint("10.244.1.2", "a", ready=True), endpoint("10.244.1.3", "b", ready=True)),
        slice_(
            endpoint("10.244.1.3", "b", ready=False, serving=True, terminating=True),
            endpoint("10.244.2.2", "c", ready=True),
        ),
        "+10.244.2.2, 10.244.1.3 terminating, serving, −10.244.1.2",
    ),
    "tainted": (
        obj("Node", "n1", spec={}),
        obj("Node", "n1", spec={"taints": [{"key": "full", "effect": "NoSchedule"}], "unschedulable": True}),
        "taint full:NoSchedule, cordoned",
    ),
    "others": (obj("ConfigMap", data={"a": "1"}), obj("ConfigMap", data={"a": "2"}), "data"),
    "a field": (
        obj("Link", "n1-s1", spec={"up": True}, status={"observedGeneration": 1}),
        obj("Link", "n1-s1", spec={"up": False}, status={"observedGeneration": 2}),
        "spec.up true → false",
    ),
    "labelled": (obj("Pod"), obj("Pod", metadata={"labels": {"a": "b"}}), "metadata.labels"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_changed_is_told_in_the_words_of_its_kind(case: str) -> None:
    old, new, words = CASES[case]
    assert ", ".join(told("MODIFIED", new, old)) == words


def test_a_heartbeat_is_no_news() -> None:
    def node(at: str) -> JSON:
        row = {"type": "Ready", "status": "True", "lastHeartbeatTime": at}
        return obj("Node", "n1", status={"conditions": [row]}, metadata={"resourceVersion": at})

    assert told("MODIFIED", node("2"), node("1")) == ()


def test_beginning_and_end() -> None:
    assert told("ADDED", obj("Deployment", spec={"replicas": 3}), None) == ("created", "replicas 3")
    service = obj("Service", spec={"type": "NodePort", "clusterIP": "10.96.0.9"})
    assert told("ADDED", service, None) == ("created", "NodePort 10.96.0.9")
    assert told("DELETED", obj("Pod"), obj("Pod")) == ("gone",)


def test_a_slice_concerns_its_service_and_the_pods_that_came_changed_or_went() -> None:
    old = slice_(endpoint("10.0.0.1", "stays", ready=True), endpoint("10.0.0.2", "goes", ready=True))
    new = slice_(endpoint("10.0.0.1", "stays", ready=True), endpoint("10.0.0.3", "comes", ready=True))
    assert set(concerned(new, old)) == {"service/default/web", "pod/default/goes", "pod/default/comes"}


@pytest.mark.parametrize(
    ("user", "manager", "written", "who"),
    [
        ("system:node:n1", "kubelet", "pod/default/web", "kubelet@n1"),
        ("kubernetes-admin", "kubectl-client-side-apply", "deployment/default/web", "kubectl"),
        ("system:kube-scheduler", "kube-scheduler", "pod/default/web", "kube-scheduler"),
        ("system:serviceaccount:kube-flannel:flannel", "flanneld", "node/n2", "flanneld@n2"),
        ("", "", "pod/default/web", "somebody"),
    ],
)
def test_who_wrote_it(user: str, manager: str, written: str, who: str) -> None:
    assert actor(user, manager, written) == who


def test_lines_of_the_history_become_events_by_what_earlier_lines_said() -> None:
    def line(at: int, type_: str, value: JSON, **more: Any) -> bytes:
        value["metadata"]["resourceVersion"] = str(at)
        return orjson.dumps({"at": at, "type": type_, "collection": "/registry/pods/", "object": value, **more})

    who = {"user": "kubernetes-admin", "manager": "kubectl-create"}
    history = History(Relations())
    first = history.event(line(1, "ADDED", obj("Pod", spec={}), **who))
    assert first == Event(
        at=1, actor="kubectl", kind="write", objects=("pod/default/web",), text="created", revision=1,
        user="kubernetes-admin", args=("created",),
    )  # fmt: skip
    second = history.event(line(2, "MODIFIED", obj("Pod", spec={"nodeName": "n1"})))
    assert second is not None
    assert (second.text, second.objects, second.revision) == ("bound to n1", ("pod/default/web", "node/n1"), 2)
    assert history.event(line(3, "MODIFIED", obj("Pod", spec={"nodeName": "n1"}))) is None


# ---- what belongs to what --------------------------------------------------------------------------------------------


@pytest.fixture
def relations() -> Relations:
    found = Relations()
    for value in (
        obj("Namespace", "default"),
        obj("Deployment"),
        obj("ReplicaSet", "web-1", owner="uid-Deployment-web"),
        obj("Pod", "web-1-a", owner="uid-ReplicaSet-web-1"),
        obj("Pod", "web-1-b", owner="uid-ReplicaSet-web-1"),
        obj("Deployment", "other"),
        obj("Pod", "alone"),
        obj("Service", uid="uid-svc"),
        slice_(endpoint("10.0.0.1", "web-1-a", ready=True)) | {},
    ):
        found.learn(value)
    return found


FAMILIES = {
    "deployment/default/web": {
        "deployment/default/web", "replicaset/default/web-1", "pod/default/web-1-a", "pod/default/web-1-b",
        "endpointslice/default/web-abc", "service/default/web",
    },
    "pod/default/web-1-b": {"pod/default/web-1-b", "replicaset/default/web-1", "deployment/default/web"},
    "pod/default/web-1-a": {
        "pod/default/web-1-a", "replicaset/default/web-1", "deployment/default/web", "endpointslice/default/web-abc",
        "service/default/web",
    },
    "service/default/web": {"service/default/web", "endpointslice/default/web-abc", "pod/default/web-1-a"},
    "pod/default/alone": {"pod/default/alone"},
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family(relations: Relations, name: str) -> None:
    assert relations.family(name) == FAMILIES[name]


def test_a_namespace_has_everything_in_it(relations: Relations) -> None:
    family = relations.family("namespace/default")
    assert {"deployment/default/other", "pod/default/alone", "namespace/default"} <= family


def event(actor: str, *objects: str, args: tuple[str, ...] = ()) -> Event:
    return Event(at=0, actor=actor, kind="write", objects=objects, args=args)


def test_events_are_selected_by_any_of_their_objects(relations: Relations) -> None:
    rules = event("kube-proxy@n1", "service/default/other", "service/default/web")
    other = event("kube-proxy@n1", "service/default/other")
    assert selected([rules, other], "deployment/default/web", relations) == [rules]


def test_of_a_node_all_that_happens_on_its_machine_is_told(relations: Relations) -> None:
    here, there = event("kubelet@n1", "pod/default/alone"), event("kubelet@n2", "pod/default/alone")
    bound = event("kube-scheduler", "pod/default/alone", args=("n1", "n1 5"))
    node = event("kube-controller-manager", "node/n1")
    assert selected([here, there, bound, node], "node/n1", relations) == [here, bound, node]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("deployment/web", "deployment/default/web"),
        ("deploy/web", "deployment/default/web"),
        ("svc/web", "service/default/web"),
        ("kube-system/pod/dns", "pod/kube-system/dns"),
        ("pod/kube-system/dns", "pod/kube-system/dns"),
        ("no/n1", "node/n1"),
        ("link/n1-s1", "link/n1-s1"),
    ],
)
def test_what_people_mean(text: str, name: str) -> None:
    assert meant(text) == name


@pytest.mark.parametrize("text", ["web", "pod/", "/web", "a/b/c/d"])
def test_what_names_no_object_is_refused(text: str) -> None:
    with pytest.raises(KnetError, match="say KIND/NAME"):
        meant(text)


def test_an_object_that_never_was_is_refused_with_the_nearest_name(relations: Relations) -> None:
    relations.check("pod/default/alone")
    with pytest.raises(KnetError, match=r"there is no deployment/wbe, .* did you mean deployment/web\?"):
        relations.check("deployment/default/wbe")
