"""What stands in the way of a write (another name, revision, uid, metadata that stay) is told in upstream's words."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_harness import JSON_PATCH, MERGE, STRATEGIC, Api, Server, deployment, pod, running

from knet.api.resources import RESOURCES
from knet.apiserver import creating
from knet.apiserver.kinds import STRATEGIES

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"

WIDGETS = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


# ---- names -----------------------------------------------------------------------------------------------


def test_a_generated_name_that_is_taken_is_generated_anew(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(api: Api) -> None:
        body = {"metadata": {"generateName": "few-"}}
        monkeypatch.setattr(creating, "NAME_ALPHABET", "b")
        assert (await api("POST", MAPS, body)).body["metadata"]["name"] == "few-bbbbb"
        answer = await api("POST", MAPS, body)
        assert (answer.code, answer.body["reason"]) == (409, "AlreadyExists")
        assert answer.message == (
            'configmaps "few-bbbbb" already exists, the server was not able to generate a unique name for the object'
        )
        assert answer.body["details"] == {"name": "few-bbbbb", "kind": "configmaps", "retryAfterSeconds": 1}
        monkeypatch.setattr(creating, "NAME_ALPHABET", "bcdfghjklmnpqrstvwxz2456789")
        assert (await api("POST", MAPS, body)).code == 201

    server.run(test)


def test_a_generated_name_has_room_for_its_end_and_has_to_be_valid(server: Server) -> None:
    async def test(api: Api) -> None:
        name = (await api("POST", MAPS, {"metadata": {"generateName": "x" * 80}})).body["metadata"]["name"]
        assert len(name) == 63 and name.startswith("x" * 58)
        refused = await api("POST", MAPS, {"metadata": {"generateName": "Web-"}})
        assert [cause["field"] for cause in refused.body["details"]["causes"]] == [
            "metadata.generateName",
            "metadata.name",
        ]

    server.run(test)


def test_a_name_is_taken_as_long_as_its_object_is_being_deleted(server: Server) -> None:
    async def test(api: Api) -> None:
        body = {"metadata": {"name": "going", "finalizers": ["example.com/wait"]}}
        await api("POST", MAPS, body)
        assert (await api("POST", MAPS + "?dryRun=All", body)).message == 'configmaps "going" already exists'
        await api("DELETE", MAPS + "/going")
        for query in ("", "?dryRun=All"):
            answer = await api("POST", MAPS + query, body)
            assert answer.message == 'object is being deleted: configmaps "going" already exists'

    server.run(test)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "the name of the object (placed based on URL) was undeterminable: name must be provided"),
        ({"name": "other"}, "the name of the object (other) does not match the name on the URL (placed)"),
        (
            {"name": "placed", "namespace": "other"},
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ],
)
def test_an_object_belongs_where_its_url_says(server: Server, metadata: dict[str, str], message: str) -> None:
    async def test(api: Api) -> None:
        await api("POST", DEPLOYMENTS, deployment("placed"))
        present = (await api("GET", DEPLOYMENTS + "/placed")).body
        gone = {"name": None, "namespace": None}
        for part in ("", "/status", "/scale"):
            answer = await api("PUT", f"{DEPLOYMENTS}/placed{part}", {"metadata": metadata, "spec": {}})
            assert (answer.code, answer.message) == (400, message), part
            answer = await api("PATCH", f"{DEPLOYMENTS}/placed{part}", {"metadata": {**gone, **metadata}}, MERGE)
            assert (answer.code, answer.message) == (400, message), part
        assert (await api("PUT", DEPLOYMENTS + "/absent", {"metadata": {"name": "absent"}})).code == 404
        assert (await api("GET", DEPLOYMENTS + "/placed")).body == present
        applied = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "placed", **metadata}}
        query = "?fieldManager=test"
        answer = await api("PATCH", f"{DEPLOYMENTS}/placed{query}", applied, "application/apply-patch+yaml")
        assert answer.code == (200 if metadata == {} else 400)

    server.run(test)


# ---- preconditions ---------------------------------------------------------------------------------------


def test_another_uid_is_a_conflict_to_a_put_and_invalid_to_a_patch(server: Server) -> None:
    async def test(api: Api) -> None:
        uid = (await api("POST", MAPS, {"metadata": {"name": "one"}})).body["metadata"]["uid"]
        answer = await api("PUT", MAPS + "/one", {"metadata": {"name": "one", "uid": "two"}})
        assert (answer.code, answer.message) == (
            409,
            'Operation cannot be fulfilled on configmaps "one": StorageError: invalid object, Code: 4, Key:'
            " /registry/configmaps/default/one, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in"
            f" precondition: two, UID in object meta: {uid}",
        )
        answer = await api("PATCH", MAPS + "/one", {"metadata": {"uid": "two"}}, STRATEGIC)
        assert (answer.code, answer.message) == (
            422,
            'ConfigMap "one" is invalid: metadata.uid: Invalid value: "two": field is immutable',
        )
        await api("POST", PODS, pod("one"))
        assert (await api("PATCH", PODS + "/one/status", {"metadata": {"uid": "two"}}, STRATEGIC)).code == 422

    server.run(test)


def test_kinds_that_must_not_be_overwritten_blindly_need_a_revision(server: Server) -> None:
    async def test(api: Api) -> None:
        created = (await api("PUT", LEASES + "/blind", {"metadata": {"name": "blind"}})).body
        assert (await api("PUT", LEASES + "/blind", created)).code == 200
        answer = await api("PUT", LEASES + "/blind", {"metadata": {"name": "blind"}})
        assert (answer.code, answer.message) == (
            422,
            'leases.coordination.k8s.io "blind" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be'
            " specified for an update",
        )

    server.run(test)


def test_a_put_creates_objects_of_those_kinds_that_upstream_creates_so(server: Server) -> None:
    created = {row for row, strategy in STRATEGIES.items() if strategy.create_on_update}
    assert {row.kind for row in created} == {
        "ClusterRole", "ClusterRoleBinding", "Endpoints", "Event", "Lease", "LimitRange", "Role", "RoleBinding",
        "RuntimeClass", "Service",
    }  # fmt: skip

    async def test(api: Api) -> None:
        for row in RESOURCES:
            if "update" not in row.verbs or row in created or row.storage in created:
                continue
            answer = await api("PUT", row.path("default", "nothing"), {"metadata": {"name": "nothing"}})
            assert answer.code == 404, row
        path = "/api/v1/namespaces/default/limitranges/put"
        conflict = await api("PUT", path, {"metadata": {"name": "put", "uid": "u"}})
        assert (conflict.code, conflict.body["reason"]) == (409, "Conflict")
        assert (await api("PUT", path + "?dryRun=All", {"metadata": {"name": "put"}})).code == 201
        assert (await api("PUT", path, {"metadata": {"name": "put", "resourceVersion": "7"}})).code == 201
        assert (await api("PUT", path, {"metadata": {"name": "put"}})).code == 200

    server.run(test)


# ---- metadata --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("uid", "x", 'metadata.uid: Invalid value: "x": field is immutable'),
        (
            "deletionTimestamp",
            "2024-01-01T00:00:00Z",
            'metadata.deletionTimestamp: Invalid value: "2024-01-01T00:00:00Z": field is immutable',
        ),
        ("deletionGracePeriodSeconds", 3, "metadata.deletionGracePeriodSeconds: Invalid value: 3: field is immutable"),
        ("creationTimestamp", "2024-01-01T00:00:00Z", ""),
        ("generation", 99, ""),
        ("selfLink", "/api", ""),
        ("creationTimestamp", None, ""),
        ("uid", None, ""),
        ("generateName", "other-", ""),
        (
            "finalizers",
            ["mine"],
            'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully'
            " qualified",
        ),
        (
            "finalizers",
            ["orphan", "foregroundDeletion"],
            'metadata.finalizers: Invalid value: []string{"orphan", "foregroundDeletion"}: finalizer'
            " foregroundDeletion and orphan cannot be both set",
        ),
        (
            "ownerReferences",
            [{"kind": "Pod", "name": "p", "uid": "u"}],
            'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
        ),
    ],
)
def test_metadata_of_the_server_stay(server: Server, key: str, value: Any, message: str) -> None:
    async def test(api: Api) -> None:
        await api("POST", DEPLOYMENTS, deployment("fixed"))
        before = (await api("GET", DEPLOYMENTS + "/fixed")).body
        answer = await api("PATCH", DEPLOYMENTS + "/fixed", {"metadata": {key: value}}, MERGE)
        after = (await api("GET", DEPLOYMENTS + "/fixed")).body
        if message:
            assert (answer.code, answer.message) == (422, f'Deployment.apps "fixed" is invalid: {message}')
            assert after == before
        else:
            assert answer.code == 200
            assert (after == before) is (key != "generateName")
            await api("PATCH", DEPLOYMENTS + "/fixed", {"metadata": {"generateName": None}}, MERGE)

    server.run(test)


def test_custom_objects_may_have_finalizers_of_any_name(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS)
        path = "/apis/example.com/v1/namespaces/default/widgets"
        body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "finalizers": ["mine"]}}
        async with asyncio.timeout(5):
            while (answer := await api("POST", path, body)).code == 404:
                await asyncio.sleep(0.01)
        assert answer.code == 201
        assert (await api("PUT", path + "/w", body)).code == 422

    server.run(test)


def test_owners_that_are_there_twice_stay_once(server: Server) -> None:
    async def test(api: Api) -> None:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u-1"}
        other = {**owner, "controller": True}
        body = {"metadata": {"name": "owned", "ownerReferences": [owner, other, owner]}}
        created = await api("POST", MAPS, body)
        text = (
            ".metadata.ownerReferences contains duplicate entries{}; API server dedups owner references in 1.20+, and"
            " may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: u-1"
        )
        assert created.body["metadata"]["ownerReferences"] == [owner, other]
        assert created.warnings == (f'299 - "{text.format("")}"',)
        assert (await api("PUT", MAPS + "/owned", body)).warnings == created.warnings
        added = [{"op": "add", "path": "/metadata/ownerReferences/-", "value": other}]
        patched = await api("PATCH", MAPS + "/owned", added, JSON_PATCH)
        assert patched.warnings == (f'299 - "{text.format(" after mutating admission happens")}"',)
        assert patched.body["metadata"]["ownerReferences"] == [owner, other]

    server.run(test)


def test_a_json_patch_has_an_end(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", MAPS, {"metadata": {"name": "patched"}})
        most = [{"op": "add", "path": "/metadata/labels", "value": {"a": str(n)}} for n in range(10_000)]
        assert (await api("PATCH", MAPS + "/patched", most, JSON_PATCH)).body["metadata"]["labels"] == {"a": "9999"}
        answer = await api("PATCH", MAPS + "/patched", [*most, most[0]], JSON_PATCH)
        assert (answer.code, answer.body["reason"], answer.message) == (
            413,
            "RequestEntityTooLarge",
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
        )
        big = {"metadata": {"name": "big"}, "data": {"a": "x" * (3 << 20)}}
        assert (await api("POST", MAPS, big)).message == "Request entity too large: limit is 3145728"

    server.run(test)


def test_who_creates_by_a_put_or_an_apply_has_to_be_allowed_to_create(server: Server) -> None:
    async def test(api: Api) -> None:
        rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
        rules = [{"apiGroups": [""], "resources": ["services", "configmaps"], "verbs": ["update", "patch"]}]
        await api("POST", rbac + "/roles", {"metadata": {"name": "changer"}, "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "changer"}
        binding = {"metadata": {"name": "changer"}, "roleRef": role, "subjects": [{"kind": "User", "name": "ada"}]}
        await api("POST", rbac + "/rolebindings", binding)
        ada = {"Impersonate_User": "ada"}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
        path = "/api/v1/namespaces/default/services/s"
        refused = await api("PUT", path, body, **ada)
        assert (refused.code, refused.message) == (
            403,
            'services "s" is forbidden: User "ada" cannot create resource "services" in API group "" in the namespace'
            ' "default"',
        )
        apply = path + "?fieldManager=ada", body, "application/apply-patch+yaml"
        assert (await api("PATCH", *apply, **ada)).code == 403
        assert (await api("PUT", path, body)).code == 201
        assert (await api("PUT", path, body, **ada)).code == 200
        assert (await api("PATCH", *apply, **ada)).code == 200

    server.run(test)


@pytest.mark.parametrize("connection", ["exec?command=ls&", "attach?", "portforward?ports=80&"])
def test_connections_have_no_dry_run(server: Server, connection: str) -> None:
    async def test(api: Api) -> None:
        answer = await api("POST", f"{PODS}/any/{connection}dryRun=All")
        assert (answer.code, answer.message) == (400, "dryRun is not supported")

    server.run(test)
