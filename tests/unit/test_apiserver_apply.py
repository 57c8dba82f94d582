"""Server-side apply and managedFields over the wire behave as upstream's do."""

from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_harness import JSON_PATCH, MERGE, Answer, Api, Server, deployment, pod, running

APPLY = "application/apply-patch+yaml"
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
JSON = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


def config_map(name: str, **data: str) -> JSON:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def apply(api: Api, path: str, body: Any, manager: str = "me", query: str = "") -> Answer:
    return await api("PATCH", f"{path}?fieldManager={manager}{query}", body, APPLY)


def entries(answer: Answer) -> list[tuple[str, str, str, JSON]]:
    """Manager, operation, subresource and fields of each entry."""
    return [
        (row["manager"], row["operation"], row.get("subresource", ""), row["fieldsV1"])
        for row in answer.body["metadata"].get("managedFields", ())
    ]


def test_an_apply_creates_changes_and_leaves_alone(server: Server) -> None:
    async def test(api: Api) -> None:
        path = MAPS + "/life"
        made = await apply(api, path, config_map("life", a="1"))
        assert made.code == 201 and made.body["data"] == {"a": "1"}
        assert entries(made) == [("me", "Apply", "", {"f:data": {"f:a": {}}})]
        again = await apply(api, path, config_map("life", a="1"))
        assert again.code == 200 and again.body == made.body
        changed = await apply(api, path, b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: life}\ndata: {b: '2'}\n")
        assert changed.body["data"] == {"b": "2"}
        assert changed.body["metadata"]["resourceVersion"] != made.body["metadata"]["resourceVersion"]
        assert changed.body["metadata"]["uid"] == made.body["metadata"]["uid"]

    server.run(test)


def test_a_conflict_names_the_fields_and_their_managers(server: Server) -> None:
    async def test(api: Api) -> None:
        path = DEPLOYMENTS + "/contested"
        await api("POST", DEPLOYMENTS + "?fieldManager=kubectl-client-side-apply", deployment("contested"))
        wanted = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("contested", 5)}
        refused = await apply(api, path, wanted)
        assert (refused.code, refused.body["reason"]) == (409, "Conflict")
        assert refused.message == (
            'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
        )
        assert refused.body["details"] == {
            "causes": [
                {
                    "reason": "FieldManagerConflict",
                    "message": 'conflict with "kubectl-client-side-apply" using apps/v1',
                    "field": ".spec.replicas",
                }
            ]
        }
        forced = await apply(api, path, wanted, query="&force=true")
        assert forced.code == 200 and forced.body["spec"]["replicas"] == 5
        assert "f:replicas" not in entries(forced)[1][3]["f:spec"]

    server.run(test)


@pytest.mark.parametrize(
    ("query", "body", "code", "message"),
    [
        ("", config_map("bad"), 422, "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is"
         " required for apply patch"),
        ("fieldManager=a%07b", config_map("bad"), 422, "invalid character U+0007 (at position 1)"),
        ("fieldManager=me", {"kind": "ConfigMap", "metadata": {"name": "bad"}}, 400,
         "invalid object type: /, Kind=ConfigMap"),
        ("fieldManager=me", {**config_map("bad"), "kind": "Secret"}, 400, "invalid object type: /v1, Kind=Secret"),
        ("fieldManager=me", config_map("good"), 400,
         "the name of the object (good) does not match the name on the URL (bad)"),
        ("fieldManager=me", {**config_map("bad"), "metadata": {}}, 400,
         "the name of the object (bad based on URL) was undeterminable: name must be provided"),
        ("fieldManager=me", {**config_map("bad"), "metadata": {"name": "bad", "managedFields": []}}, 400,
         "metadata.managedFields must be nil"),
        ("fieldManager=me", {**config_map("bad"), "metadata": {"name": "bad", "uid": "7"}}, 409,
         "uid mismatch: the provided object specified uid 7, and no existing object was found"),
        ("fieldManager=me", {**config_map("bad"), "dta": {}}, 400,
         "failed to create typed patch object (/bad; /v1, Kind=ConfigMap): .dta: field not declared in schema"),
        ("fieldManager=me", {**config_map("bad"), "data": {"a": {}}}, 400, ".data.a: expected string, got &{map[]}"),
        ("fieldManager=me", b"a: b: c", 400, "error decoding patch: error converting YAML to JSON"),
        ("fieldManager=me", b"[]", 400, "error decoding patch"),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_is_refused(server: Server, query: str, body: object, code: int, message: str) -> None:
    async def test(api: Api) -> None:
        answer = await api("PATCH", f"{MAPS}/bad?{query}", body, APPLY)
        assert (answer.code, answer.body["code"]) == (code, code)
        assert message in answer.message
        assert (await api("GET", MAPS + "/bad")).code == 404

    server.run(test)


def test_force_is_for_apply_only(server: Server) -> None:
    async def test(api: Api) -> None:
        answer = await api("PATCH", MAPS + "/none?force=true", {}, MERGE)
        assert answer.code == 422
        assert "force: Forbidden: may not be specified for non-apply patch" in answer.message

    server.run(test)


def test_writes_are_tracked_by_manager_operation_and_subresource(server: Server) -> None:
    async def test(api: Api) -> None:
        path = PODS + "/tracked"
        made = await api("POST", PODS, pod("tracked"), User_Agent="kubectl/v1.32.0 (linux/amd64)")
        (name, operation, subresource, fields) = entries(made)[0]
        assert (name, operation, subresource) == ("kubectl", "Update", "")
        assert fields["f:spec"]["f:containers"]['k:{"name":"main"}']["f:image"] == {}
        # what the server adds belongs to nobody
        assert "f:volumes" not in fields["f:spec"] and "f:status" not in fields
        status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        ready = await api("PATCH", path + "/status?fieldManager=kubelet", status, MERGE)
        conditions = {".": {}, 'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}}}
        assert entries(ready)[1] == ("kubelet", "Update", "status", {"f:status": {"f:conditions": conditions}})
        labelled = await api("PATCH", path + "?fieldManager=kubectl-label", {"metadata": {"labels": {"a": "b"}}}, MERGE)
        assert ("kubectl-label", "Update", "", {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}) in entries(labelled)
        same = await api("PATCH", path + "?fieldManager=other", {"metadata": {"labels": {"a": "b"}}}, MERGE)
        assert same.body == labelled.body

    server.run(test)


def test_status_and_scale_are_applied_apart(server: Server) -> None:
    async def test(api: Api) -> None:
        path = DEPLOYMENTS + "/parts"
        await apply(api, path, {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("parts")})
        head = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "parts"}}
        status = await apply(api, path + "/status", {**head, "status": {"replicas": 3}, "spec": {"replicas": 9}}, "ctl")
        assert (status.body["spec"]["replicas"], status.body["status"]["replicas"]) == (3, 3)
        assert entries(status)[0] == ("ctl", "Apply", "status", {"f:status": {"f:replicas": {}}})
        scale = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "parts"},
            "spec": {"replicas": 4},
        }
        refused = await apply(api, path + "/scale", scale, "hpa")
        assert refused.message == 'Apply failed with 1 conflict: conflict with "me": .spec.replicas'
        scaled = await apply(api, path + "/scale", scale, "hpa", "&force=true")
        assert (scaled.body["kind"], scaled.body["spec"]) == ("Scale", {"replicas": 4})
        after = await api("GET", path)
        assert ("hpa", "Apply", "scale", {"f:spec": {"f:replicas": {}}}) in entries(after)
        await api("PUT", path + "/scale?fieldManager=kubectl", {**scale, "spec": {"replicas": 6}})
        after = await api("GET", path)
        assert ("kubectl", "Update", "scale", {"f:spec": {"f:replicas": {}}}) in entries(after)
        assert all(name != "hpa" for name, *_ in entries(after))
        assert (await apply(api, DEPLOYMENTS + "/absent/status", {**head, "metadata": {"name": "absent"}})).code == 404

    server.run(test)


def test_managed_fields_can_be_reset_and_mended(server: Server) -> None:
    async def test(api: Api) -> None:
        path = MAPS + "/reset"
        made = await apply(api, path, config_map("reset", a="1"))
        kept = await api("PATCH", path, {"metadata": {"managedFields": [{"operation": "Nonsense"}]}}, MERGE)
        assert entries(kept) == entries(made)
        renamed = [{**made.body["metadata"]["managedFields"][0], "manager": "renamed"}]
        mended = await api("PATCH", path, {"metadata": {"managedFields": renamed}}, MERGE)
        assert [name for name, *_ in entries(mended)] == ["renamed"]
        operations = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
        reset = await api("PATCH", path, operations, JSON_PATCH)
        assert "managedFields" not in reset.body["metadata"]
        untracked = await api("PATCH", path, {"data": {"a": "2"}}, MERGE)
        assert "managedFields" not in untracked.body["metadata"]
        refused = await apply(api, path, config_map("reset", a="3"))
        assert refused.message == 'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a'

    server.run(test)


def test_a_dry_apply_changes_nothing(server: Server) -> None:
    async def test(api: Api) -> None:
        path = MAPS + "/dry"
        assert (await apply(api, path, config_map("dry", a="1"), query="&dryRun=All")).code == 201
        assert (await api("GET", path)).code == 404
        made = await apply(api, path, config_map("dry", a="1"))
        dry = await apply(api, path, config_map("dry", a="2"), query="&dryRun=All")
        assert dry.body["data"] == {"a": "2"}
        assert (await api("GET", path)).body == made.body

    server.run(test)


def test_a_null_clears_what_the_applier_then_owns(server: Server) -> None:
    async def test(api: Api) -> None:
        path = MAPS + "/nulls"
        await api("POST", MAPS, config_map("nulls", a="1"))
        body = {**config_map("nulls"), "immutable": None, "metadata": {"name": "nulls", "creationTimestamp": None}}
        answer = await apply(api, path, body)
        assert answer.code == 200 and answer.body["data"] == {"a": "1"}
        assert ("me", "Apply", "", {"f:data": {}, "f:immutable": {}}) in entries(answer)

    server.run(test)


def test_two_versions_of_one_object_are_applied_in_their_own_form(server: Server) -> None:
    async def test(api: Api) -> None:
        path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/web"
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        body = {
            "apiVersion": "autoscaling/v1",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 50},
        }
        made = await apply(api, path, body)
        assert made.code == 201 and made.body["spec"]["targetCPUUtilizationPercentage"] == 50
        again = await apply(api, path, body)
        assert again.body == made.body
        assert again.body["metadata"]["managedFields"][0]["apiVersion"] == "autoscaling/v1"

    server.run(test)
