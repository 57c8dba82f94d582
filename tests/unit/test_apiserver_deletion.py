"""Deletions: grace, finalizers, propagation, preconditions, dry runs and collections, as upstream has them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_harness import MERGE, Api, Server, deployment, pod, running

from knet.api.resources import CONFIGMAPS, DEPLOYMENTS, EVENTS, JOBS, NAMESPACES, PODS, REPLICATIONCONTROLLERS
from knet.api.schema import schema_of
from knet.apiserver.kinds import schema_kinds, served
from knet.apiserver.marking import is_pending, mark, propagation_finalizers
from knet.apiserver.options import DeleteOptions

JSON = dict[str, Any]
KINDS = served(schema_of(schema_kinds()))
#: 2024-01-01T00:00:00Z
NOW = 1704067200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


# ---- what a deletion makes of a pod ----------------------------------------------------------------------


def going(at: str, grace: int) -> JSON:
    return {"deletionTimestamp": f"2024-01-01T{at}Z", "deletionGracePeriodSeconds": grace}


KEPT = {"finalizers": ["example.com/a"]}


@pytest.mark.parametrize(
    ("metadata", "asked", "after"),
    [
        # a first deletion: the Pod's own grace, or the one asked for
        ({}, None, going("00:00:30", 30)),
        ({}, 5, going("00:00:05", 5)),
        ({}, -3, going("00:00:01", 1)),
        ({"generation": 4}, 5, {"generation": 5, **going("00:00:05", 5)}),
        ({}, 0, None),
        (KEPT, 0, KEPT | going("00:00:00", 0)),
        # under way: only less, counted from the first deletion; never in the past
        (going("00:00:25", 30), 10, going("00:00:05", 10)),
        (going("00:00:05", 30), 10, going("00:00:00", 1)),
        (going("00:00:05", 30), -3, going("00:00:00", 1)),
        (going("00:00:25", 30), 0, None),
        (KEPT | going("00:00:25", 30), 0, KEPT | going("00:00:00", 0)),
        (KEPT | going("00:00:00", 0), 5, KEPT | going("00:00:00", 0)),
        # over, and left behind by a server that died in between
        (going("00:00:00", 0), None, None),
    ],
)
def test_a_pod_is_marked(metadata: JSON, asked: int | None, after: JSON | None) -> None:
    kind = KINDS[PODS]
    value = {"metadata": dict(metadata), "spec": {"nodeName": "n1", "terminationGracePeriodSeconds": 30}}
    options = DeleteOptions(grace=asked)
    assert not is_pending(kind, value, options)
    assert mark(kind, value, options, NOW) is (after is None)
    if after is not None:
        assert value["metadata"] == after


@pytest.mark.parametrize(("grace", "pending"), [(None, True), (30, True), (31, True), (29, False), (0, False)])
def test_a_deletion_under_way_is_not_prolonged(grace: int | None, pending: bool) -> None:
    value = {"metadata": going("00:00:30", 30), "spec": {"nodeName": "n1"}}
    assert is_pending(KINDS[PODS], value, DeleteOptions(grace=grace)) is pending


@pytest.mark.parametrize(
    "more", [{"spec": {}}, {"spec": {"nodeName": "n1"}, "status": {"phase": "Failed"}}], ids=["unbound", "ended"]
)
def test_nobody_has_to_stop_a_pod_that_does_not_run(more: JSON) -> None:
    value = {"metadata": {}, **more}
    assert mark(KINDS[PODS], value, DeleteOptions(grace=60), NOW)
    assert value["metadata"] == going("00:00:00", 0)  # what watchers see last


@pytest.mark.parametrize(
    ("row", "present", "options", "finalizers"),
    [
        (DEPLOYMENTS, [], {}, []),
        (DEPLOYMENTS, [], {"propagation": "Foreground"}, ["foregroundDeletion"]),
        (DEPLOYMENTS, ["a/b"], {"propagation": "Orphan"}, ["a/b", "orphan"]),
        (DEPLOYMENTS, ["orphan", "a/b"], {}, ["orphan", "a/b"]),
        (DEPLOYMENTS, ["orphan", "a/b"], {"propagation": "Background"}, ["a/b"]),
        (DEPLOYMENTS, ["orphan"], {"propagation": "Foreground"}, ["foregroundDeletion"]),
        (DEPLOYMENTS, ["foregroundDeletion", "a/b"], {"propagation": "Foreground"}, ["foregroundDeletion", "a/b"]),
        # as before there was a garbage collector
        (REPLICATIONCONTROLLERS, [], {}, ["orphan"]),
        (JOBS, [], {}, ["orphan"]),
        (JOBS, ["foregroundDeletion"], {}, ["foregroundDeletion"]),
        (JOBS, [], {"propagation": "Background"}, []),
        (EVENTS, [], {"propagation": "Orphan"}, []),
    ],
)
def test_propagation_is_said_by_finalizers(row: Any, present: list[str], options: Any, finalizers: list[str]) -> None:
    assert propagation_finalizers(KINDS[row], present, DeleteOptions(**options)) == finalizers


def test_a_namespace_terminates_without_grace() -> None:
    value: JSON = {"metadata": {}, "spec": {"finalizers": ["kubernetes"]}}
    assert not mark(KINDS[NAMESPACES], value, DeleteOptions(), NOW)
    assert value["metadata"] == {"deletionTimestamp": "2024-01-01T00:00:00Z"}
    assert value["status"] == {"phase": "Terminating"}


# ---- at a running server ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "hint"), [("uid", "deleted and then recreated"), ("resourceVersion", "modified")], ids=str
)
def test_preconditions_are_told_before_anything_is_admitted(server: Server, what: str, hint: str) -> None:
    async def test(api: Api) -> None:
        await api("POST", DEPLOYMENTS.path("default"), deployment("guarded"))
        path = DEPLOYMENTS.path("default", "guarded")
        present = (await api("GET", path)).body["metadata"][what]
        for given in ("other", ""):
            answer = await api("DELETE", path, {"preconditions": {what: given}})
            name = {"uid": "UID", "resourceVersion": "ResourceVersion"}[what]
            assert (answer.code, answer.message) == (
                409,
                f'Operation cannot be fulfilled on Deployment.apps "guarded": the {name} in the precondition ({given})'
                f" does not match the {name} in record ({present}). The object might have been {hint}",
            )
            assert answer.body["details"] == {"name": "guarded", "group": "apps", "kind": "Deployment"}
        refused = await api("DELETE", NAMESPACES.path("", "default"), {"preconditions": {what: "other"}})
        assert refused.code == 409
        assert (await api("DELETE", NAMESPACES.path("", "default"))).code == 403

    server.run(test)


def test_a_dry_deletion_shows_what_would_be(server: Server) -> None:
    async def test(api: Api) -> None:
        body = pod("dry")
        body["spec"]["nodeName"] = "n1"
        await api("POST", PODS.path("default"), body)
        await api("POST", DEPLOYMENTS.path("default"), deployment("dry"))
        await api("POST", CONFIGMAPS.path("default"), {"metadata": {"name": "dry", "labels": {"dry": ""}}})
        rows = (PODS, DEPLOYMENTS, CONFIGMAPS)
        before = [(await api("GET", row.path("default", "dry"))).body for row in rows]
        marked = (await api("DELETE", PODS.path("default", "dry") + "?dryRun=All")).body
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
        options = {"dryRun": ["All"], "propagationPolicy": "Foreground"}
        shown = (await api("DELETE", DEPLOYMENTS.path("default", "dry"), options)).body
        assert shown["metadata"]["finalizers"] == ["foregroundDeletion"]
        answer = await api("DELETE", CONFIGMAPS.path("default") + "?dryRun=All&labelSelector=dry")
        assert [item["metadata"]["name"] for item in answer.body["items"]] == ["dry"]
        refused = await api("DELETE", CONFIGMAPS.path("default", "dry"), {"dryRun": ["Some"]})
        assert refused.message == (
            'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: []string{"Some"}: supported values:'
            ' "All"'
        )
        assert [(await api("GET", row.path("default", "dry"))).body for row in rows] == before

    server.run(test)


def test_who_orphans_nothing_by_the_old_option_is_told_that_it_takes_a_while(server: Server) -> None:
    async def test(api: Api) -> None:
        path = CONFIGMAPS.path("default", "late")
        await api("POST", CONFIGMAPS.path("default"), {"metadata": {"name": "late", "finalizers": ["example.com/a"]}})
        assert (await api("DELETE", path, {"orphanDependents": False})).code == 202
        assert (await api("DELETE", path + "?orphanDependents=true")).body["metadata"]["finalizers"] == [
            "example.com/a",
            "orphan",
        ]
        both = await api("DELETE", path, {"orphanDependents": True, "propagationPolicy": "Orphan"})
        assert (both.code, both.message) == (
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and'
            " deletionPropagation cannot be both set",
        )
        # a body counts alone, even if it says nothing
        assert (await api("DELETE", path + "?dryRun=Some", {})).code == 200
        assert "no kind" in (await api("DELETE", path, {"kind": "Pod", "apiVersion": "v1"})).message
        await api("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
        assert (await api("GET", path)).code == 404

    server.run(test)


def test_who_deletes_a_job_without_a_word_about_its_pods_is_warned(server: Server) -> None:
    async def test(api: Api) -> None:
        template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}
        for name in ("a", "b"):
            await api("POST", JOBS.path("default"), {"metadata": {"name": name}, "spec": {"template": template}})
        answer = await api("DELETE", JOBS.path("default", "a"))
        assert answer.body["metadata"]["finalizers"] == ["orphan"]
        assert "child pods are preserved by default when jobs are deleted" in answer.warnings[0]
        answer = await api("DELETE", JOBS.path("default", "b"), {"propagationPolicy": "Background"})
        assert (answer.body["status"], answer.warnings) == ("Success", ())

    server.run(test)


def test_a_collection_answers_what_it_found_page_by_page(server: Server) -> None:
    async def test(api: Api) -> None:
        path = CONFIGMAPS.path("default")
        for number in range(5):
            body: JSON = {"metadata": {"name": f"page-{number}", "labels": {"paged": str(number % 2)}}}
            if number == 0:
                body["metadata"]["finalizers"] = ["example.com/a"]
            await api("POST", path, body)
        first = await api("DELETE", path + "?labelSelector=paged&limit=2")
        assert [item["metadata"]["name"] for item in first.body["items"]] == ["page-0", "page-1"]
        assert "deletionTimestamp" not in first.body["items"][0]["metadata"]
        assert first.body["metadata"]["continue"]
        left = (await api("GET", path + "?labelSelector=paged")).body["items"]
        assert [item["metadata"]["name"] for item in left] == ["page-0", "page-2", "page-3", "page-4"]
        assert left[0]["metadata"]["deletionTimestamp"]
        assert (await api("DELETE", path + "?labelSelector=paged%3D1", {"preconditions": {"uid": "no"}})).code == 409
        await api("DELETE", path + "?labelSelector=paged%3D1")
        await api("DELETE", path + "?fieldSelector=metadata.name%3Dpage-4")
        left = (await api("GET", path + "?labelSelector=paged")).body["items"]
        assert [item["metadata"]["name"] for item in left] == ["page-0", "page-2"]
        assert (await api("DELETE", path + "?labelSelector=%2C")).code == 400
        assert (await api("DELETE", NAMESPACES.path())).code == 405

    server.run(test)


def test_watchers_see_a_pods_mark_in_the_last_they_see_of_it(server: Server) -> None:
    async def test(api: Api) -> None:
        path = PODS.path("default")
        created = (await api("POST", path, pod("seen"))).body
        query = f"?watch=1&fieldSelector=metadata.name%3Dseen&resourceVersion={created['metadata']['resourceVersion']}"
        watch = asyncio.create_task(api.lines(path + query, 1))
        await api("DELETE", path + "/seen")
        [event] = await watch
        assert event["type"] == "DELETED"
        assert event["object"]["metadata"]["deletionGracePeriodSeconds"] == 0

    server.run(test)
