"""Every kind of the release is served, and several versions may show one stored object."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_harness import JSON, MERGE, TABLE, Api, Server, pod, running
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from knet.api import resources
from knet.apiserver.conversion import autoscaling, events


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("kinds")) as running_server:
        yield running_server


def autoscaler(name: str, **spec: Any) -> JSON:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {"metadata": {"name": name}, "spec": {"scaleTargetRef": target, "maxReplicas": 3, **spec}}


_EXTERNAL = {
    "type": "External",
    "external": {
        "metric": {"name": "queue", "selector": {"matchLabels": {"a": "b"}}},
        "target": {"type": "AverageValue", "averageValue": "30"},
    },
}
_OBJECT = {
    "type": "Object",
    "object": {
        "describedObject": {"kind": "Ingress", "name": "main"},
        "metric": {"name": "hits"},
        "target": {"type": "Value", "value": "2k"},
    },
}
_CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
_CURRENT = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7, "averageValue": "9m"}}}


@pytest.mark.parametrize(
    "value",
    [
        autoscaler("plain", minReplicas=2),
        autoscaler("one", metrics=[_CPU]),
        autoscaler("many", metrics=[_CPU, _EXTERNAL, _OBJECT], behavior={"scaleDown": {"selectPolicy": "Min"}}),
        autoscaler("busy", metrics=[_CPU]) | {"status": {"currentMetrics": [_CURRENT], "conditions": [{"type": "A"}]}},
    ],
    ids=lambda value: value["metadata"]["name"],
)
def test_an_autoscaler_loses_nothing_in_v1(value: JSON) -> None:
    value["apiVersion"] = "autoscaling/v2"
    assert autoscaling.to_v2(autoscaling.from_v2(value)) == value


def test_v1_says_in_annotations_what_it_has_no_fields_for() -> None:
    value = autoscaling.from_v2(autoscaler("many", metrics=[_CPU, _EXTERNAL]))
    assert value["spec"]["targetCPUUtilizationPercentage"] == 60 and "metrics" not in value["spec"]
    assert value["metadata"]["annotations"] == {
        "autoscaling.alpha.kubernetes.io/metrics": '[{"type":"External","external":{"metricName":"queue",'
        '"metricSelector":{"matchLabels":{"a":"b"}},"targetAverageValue":"30"}}]'
    }


def test_an_event_is_the_same_under_other_names() -> None:
    value = {"apiVersion": "v1", "involvedObject": {"kind": "Pod"}, "message": "hello", "count": 3, "type": "Normal"}
    newer = events.from_core(value)
    assert newer == {
        "apiVersion": "events.k8s.io/v1",
        "regarding": {"kind": "Pod"},
        "note": "hello",
        "deprecatedCount": 3,
        "type": "Normal",
    }
    assert events.to_core(newer) == value


def test_one_object_is_read_written_and_watched_in_both_versions(server: Server) -> None:
    v1 = resources.HORIZONTALPODAUTOSCALERS_V1.path("default", "web")
    v2 = resources.HORIZONTALPODAUTOSCALERS.path("default", "web")

    async def test(api: Api) -> None:
        made = await api("POST", v1.removesuffix("/web"), autoscaler("web", targetCPUUtilizationPercentage=50))
        assert (made.code, made.body["apiVersion"]) == (201, "autoscaling/v1")
        assert made.body["spec"]["targetCPUUtilizationPercentage"] == 50
        read = await api("GET", v2)
        assert read.body["apiVersion"] == "autoscaling/v2"
        assert read.body["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
        patched = await api("PATCH", v1, {"spec": {"targetCPUUtilizationPercentage": 70}}, MERGE)
        assert patched.body["spec"]["targetCPUUtilizationPercentage"] == 70
        patched = await api("PATCH", v2 + "/status", {"status": {"currentReplicas": 2, "desiredReplicas": 3}}, MERGE)
        assert patched.code == 200
        listed = await api("GET", v1.removesuffix("/web"))
        [item] = listed.body["items"]
        assert (item["apiVersion"], item["status"]["desiredReplicas"]) == ("autoscaling/v1", 3)
        [event] = await api.lines(v1.removesuffix("/web") + "?watch=1", 1)
        assert event["object"]["spec"]["targetCPUUtilizationPercentage"] == 70
        assert (await api("DELETE", v1)).code == 200
        assert (await api("GET", v2)).code == 404

    server.run(test)


def test_field_labels_are_those_of_the_version(server: Server) -> None:
    core, newer = resources.EVENTS.path("default"), resources.EVENTS_V1.path("default")

    async def test(api: Api) -> None:
        about = {"kind": "Pod", "name": "web", "namespace": "default"}
        await api("POST", core, {"metadata": {"name": "old"}, "involvedObject": about, "reason": "A"})
        for path, label in ((core, "involvedObject.name"), (newer, "regarding.name")):
            found = await api("GET", f"{path}?fieldSelector={label}=web,reason=A")
            assert [item["metadata"]["name"] for item in found.body["items"]] == ["old"]
        refused = await api("GET", f"{newer}?fieldSelector=involvedObject.name=web")
        assert (refused.code, refused.message) == (400, "field label not supported: involvedObject.name")

    server.run(test)


def test_what_is_not_stored_is_computed(server: Server) -> None:
    path = resources.COMPONENTSTATUSES.path()

    async def test(api: Api) -> None:
        found = await api("GET", path)
        assert "deprecated" in found.warnings[0]
        health = {row["metadata"]["name"]: row["conditions"][0]["status"] for row in found.body["items"]}
        assert health == {"controller-manager": "False", "etcd-0": "True", "scheduler": "False"}
        assert (await api("GET", path + "/etcd-0")).body["conditions"][0]["message"] == "ok"
        assert (await api("GET", path + "/nobody")).message == 'componentstatuses "nobody" not found'
        assert (await api("POST", path, {"metadata": {"name": "a"}})).code == 405

    server.run(test)


def test_a_pod_is_bound_through_the_collection_of_bindings(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", resources.PODS.path("default"), pod("unbound"))
        binding = {"metadata": {"name": "unbound"}, "target": {"kind": "Node", "name": "n1"}}
        assert (await api("POST", resources.BINDINGS.path("default"), binding)).code == 201
        assert (await api("GET", resources.PODS.path("default", "unbound"))).body["spec"]["nodeName"] == "n1"
        assert (await api("GET", resources.BINDINGS.path("default"))).code == 405

    server.run(test)


@pytest.mark.parametrize(
    ("resource", "selector"),
    [
        (resources.STATEFULSETS, {"matchLabels": {"app": "web"}}),
        (resources.REPLICATIONCONTROLLERS, {"app": "web"}),
    ],
    ids=["statefulsets", "replicationcontrollers"],
)
def test_whatever_has_replicas_has_a_scale(server: Server, resource: resources.Resource, selector: JSON) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod()["spec"]}
    path = resource.path("default", "scaled")

    async def test(api: Api) -> None:
        value = {"metadata": {"name": "scaled"}, "spec": {"replicas": 1, "selector": selector, "template": template}}
        if resource is resources.STATEFULSETS:
            value["spec"]["serviceName"] = "web"
        assert (await api("POST", resource.path("default"), value)).code == 201
        scale = (await api("PATCH", path + "/scale", {"spec": {"replicas": 4}}, MERGE)).body
        assert (scale["spec"], scale["status"]["selector"]) == ({"replicas": 4}, "app=web")
        assert (await api("GET", path)).body["spec"]["replicas"] == 4
        columns = (await api("GET", path + "/scale", Accept=TABLE)).body
        assert columns["rows"][0]["cells"][:3] == ["scaled", 4, 0]

    server.run(test)


def test_approval_touches_only_the_conditions_that_decide(server: Server) -> None:
    path = resources.CERTIFICATESIGNINGREQUESTS.path()

    async def test(api: Api) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        pem = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
        spec = {"request": pem, "signerName": "example.com/signer", "usages": ["client auth"]}
        await api("POST", path, {"metadata": {"name": "me"}, "spec": spec})
        value = (await api("GET", f"{path}/me")).body
        value["spec"]["signerName"] = "example.com/other"
        value["status"] = {"certificate": "Yg==", "conditions": [{"type": "Approved", "status": "True"}]}
        decided = (await api("PUT", f"{path}/me/approval", value)).body
        assert decided["spec"]["signerName"] == "example.com/signer"
        assert "certificate" not in decided["status"]
        assert [row["type"] for row in decided["status"]["conditions"]] == ["Approved"]

    server.run(test)


_TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
_REPLICATED = {"selector": {"matchLabels": {"a": "b"}}, "template": _TEMPLATE}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.mark.parametrize(
    ("resource", "spec", "status"),
    [
        (resources.DEPLOYMENTS, _REPLICATED, {}),
        (resources.REPLICASETS, _REPLICATED, {"replicas": 0}),
        (resources.RESOURCEQUOTAS, {}, {}),
        (resources.SERVICES, {"ports": [{"port": 80}]}, {"loadBalancer": {}}),
        (resources.PERSISTENTVOLUMECLAIMS, _CLAIM, {"phase": "Pending"}),
    ],
    ids=lambda value: value.kind if isinstance(value, resources.Resource) else "",
)
def test_a_new_object_has_the_status_that_go_writes_whatever_was_sent(
    server: Server, resource: resources.Resource, spec: JSON, status: JSON
) -> None:
    """Client libraries read ``status.availableReplicas`` of an object that no controller has seen yet."""

    async def test(api: Api) -> None:
        body = {"metadata": {"name": "fresh"}, "spec": spec, "status": {"conditions": [{"type": "Mine"}]}}
        made = await api("POST", resource.path("default"), body)
        assert (made.code, made.body["status"]) == (201, status)

    server.run(test)
