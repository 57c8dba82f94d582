"""Custom resources over the wire: served as soon as they are defined, and in nothing unlike other kinds."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from apiserver_harness import JSON_PATCH, MERGE, STRATEGIC, TABLE, Api, Server, running
from custom_harness import (
    CRON_TAB_VERSION,
    DEFINITIONS,
    GROUP,
    cron_tab,
    define,
    definition,
    gone,
    path,
    until,
    version,
)

APPLY = "application/apply-patch+yaml"
AGGREGATED = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"
TABS = path("crontabs")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    async def prepare(api: Api) -> None:
        await define(api, definition("crontabs", "CronTab", shortNames=["ct"], categories=["all"]))

    with running(tmp_path_factory.mktemp("custom")) as found:
        found.run(prepare)
        yield found


def test_a_definition_gets_its_names_and_conditions(server: Server) -> None:
    async def test(api: Api) -> None:
        found = (await api("GET", f"{DEFINITIONS}/crontabs.{GROUP}")).body
        assert found["spec"]["names"]["singular"] == "crontab" and found["spec"]["names"]["listKind"] == "CronTabList"
        assert found["spec"]["conversion"] == {"strategy": "None"}
        status = found["status"]
        assert status["acceptedNames"] == found["spec"]["names"] and status["storedVersions"] == ["v1"]
        assert [(row["type"], row["status"], row["reason"]) for row in status["conditions"]] == [
            ("NamesAccepted", "True", "NoConflicts"),
            ("Established", "True", "InitialNamesAccepted"),
        ]

    server.run(test)


def test_discovery_and_openapi_know_the_kind(server: Server) -> None:
    async def test(api: Api) -> None:
        rows = (await api("GET", f"/apis/{GROUP}/v1")).body["resources"]
        assert [(row["name"], row["kind"]) for row in rows] == [
            ("crontabs", "CronTab"),
            ("crontabs/status", "CronTab"),
            ("crontabs/scale", "Scale"),
        ]
        assert (rows[0]["shortNames"], rows[0]["categories"]) == (["ct"], ["all"])
        groups = (await api("GET", "/apis", Accept=AGGREGATED)).body["items"]
        [group] = [row for row in groups if row["metadata"]["name"] == GROUP]
        assert [row["version"] for row in group["versions"]] == ["v1"]
        index = (await api("GET", "/openapi/v3")).body["paths"]
        document = (await api("GET", index[f"apis/{GROUP}/v1"]["serverRelativeURL"])).body
        schema = document["components"]["schemas"]["com.example.stable.v1.CronTab"]
        assert schema["x-kubernetes-group-version-kind"] == [{"group": GROUP, "version": "v1", "kind": "CronTab"}]
        assert schema["properties"]["spec"]["properties"]["image"] == {"type": "string", "default": "busybox"}
        assert {"apiVersion", "kind", "metadata", "spec", "status"} == set(schema["properties"])

    server.run(test)


def test_an_object_is_pruned_defaulted_and_kept(server: Server) -> None:
    async def test(api: Api) -> None:
        value = cron_tab(
            "CronTab", "life", port="http", note=None, image=None, unknown=1, free={"a": {"b": None}}, labels={"a": "b"}
        )
        value["spec"]["jobs"] = [{"name": "a"}, {"name": "b", "tries": 1, "more": 2}]
        value["spec"]["template"] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "no": 1}, "odd": 1}
        value["other"] = 1
        made = await api("POST", TABS + "?fieldValidation=Warn", value)
        assert made.code == 201, made.body
        assert made.warnings == tuple(
            f'299 - "unknown field \\"{name}\\""'
            for name in ("spec.unknown", "spec.jobs[1].more", "spec.template.metadata.no", "other")
        )
        assert made.body["spec"] == {
            "cronSpec": "* * * * */5",
            "port": "http",
            "note": None,
            "image": "busybox",
            "free": {"a": {"b": None}},
            "labels": {"a": "b"},
            "jobs": [{"name": "a", "tries": 3}, {"name": "b", "tries": 1}],
            "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "odd": 1},
            "replicas": 1,
        }
        assert made.body["metadata"]["generation"] == 1 and "status" not in made.body
        assert (await api("GET", TABS + "/life")).body == made.body
        strict = await api("POST", TABS + "?fieldValidation=Strict", value)
        assert strict.code == 400 and 'unknown field "spec.unknown"' in strict.message
        listed = (await api("GET", TABS)).body
        assert listed["kind"] == "CronTabList" and made.body in listed["items"]

    server.run(test)


def test_what_the_schema_forbids_is_refused_field_by_field(server: Server) -> None:
    async def test(api: Api) -> None:
        value = cron_tab("CronTab", "wrong", replicas=11, image=5)
        del value["spec"]["cronSpec"]
        refused = await api("POST", TABS, value)
        assert (refused.code, refused.body["reason"]) == (422, "Invalid")
        assert [(row["field"], row["reason"], row["message"]) for row in refused.body["details"]["causes"]] == [
            ("spec.cronSpec", "FieldValueRequired", "Required value"),
            (
                "spec.image",
                "FieldValueTypeInvalid",
                'Invalid value: "integer": spec.image in body must be of type string: "integer"',
            ),
            (
                "spec.replicas",
                "FieldValueInvalid",
                "Invalid value: 11: spec.replicas in body should be less than or equal to 10",
            ),
        ]
        assert (await api("POST", TABS, {**value, "spec": "text"})).code == 422
        assert (await api("GET", TABS + "/wrong")).code == 404

    server.run(test)


def test_updates_and_patches(server: Server) -> None:
    async def test(api: Api) -> None:
        one = TABS + "/patched"
        made = (await api("POST", TABS, cron_tab("CronTab", "patched"))).body
        blind = await api("PUT", one, cron_tab("CronTab", "patched", replicas=2))
        assert blind.code == 422 and "must be specified for an update" in blind.message
        made["spec"]["replicas"] = 2
        put = await api("PUT", one, made)
        assert put.code == 200 and put.body["metadata"]["generation"] == 2
        assert (await api("PUT", one, made)).code == 409
        merged = await api("PATCH", one, {"spec": {"image": "nginx", "note": "a"}}, MERGE)
        assert merged.body["spec"] | {"image": "nginx", "note": "a", "replicas": 2} == merged.body["spec"]
        removed = await api("PATCH", one, {"spec": {"image": None}}, MERGE)
        assert removed.body["spec"]["image"] == "busybox"
        operations = [{"op": "add", "path": "/spec/jobs", "value": [{"name": "a"}]}]
        assert (await api("PATCH", one, operations, JSON_PATCH)).body["spec"]["jobs"] == [{"name": "a", "tries": 3}]
        strategic = await api("PATCH", one, {"spec": {"image": "no"}}, STRATEGIC)
        assert (strategic.code, strategic.body["reason"]) == (415, "UnsupportedMediaType")
        assert "strategic" not in strategic.message
        assert (await api("GET", one)).body["spec"]["image"] == "busybox"

    server.run(test)


def test_apply_merges_lists_by_their_keys(server: Server) -> None:
    async def test(api: Api) -> None:
        one = TABS + "/applied"
        made = await api("PATCH", one + "?fieldManager=a", cron_tab("CronTab", "applied", jobs=[{"name": "x"}]), APPLY)
        assert made.code == 201, made.body
        more = {"apiVersion": f"{GROUP}/v1", "kind": "CronTab", "metadata": {"name": "applied"}}
        more["spec"] = {"jobs": [{"name": "y", "tries": 1}]}
        both = await api("PATCH", one + "?fieldManager=b", more, APPLY)
        assert both.body["spec"]["jobs"] == [{"name": "x", "tries": 3}, {"name": "y", "tries": 1}]
        clash = await api("PATCH", one + "?fieldManager=b", cron_tab("CronTab", "applied", cronSpec="1 1 1 1 1"), APPLY)
        assert clash.code == 409 and 'conflict with "a": .spec.cronSpec' in clash.message
        wrong = await api("PATCH", one + "?fieldManager=b", cron_tab("CronTab", "applied", image=5), APPLY)
        assert wrong.code == 400 and wrong.message.endswith(".spec.image: expected string, got &{5}")
        unknown = await api("PATCH", one + "?fieldManager=b", cron_tab("CronTab", "applied", imag="x"), APPLY)
        assert unknown.code == 400 and unknown.message.endswith(".spec.imag: field not declared in schema")

    server.run(test)


def test_status_and_scale_are_written_apart(server: Server) -> None:
    async def test(api: Api) -> None:
        one = TABS + "/scaled"
        made = (await api("POST", TABS, cron_tab("CronTab", "scaled") | {"status": {"phase": "no"}})).body
        assert "status" not in made
        status = {"status": {"phase": "Good", "replicas": 1, "selector": "app=x"}, "spec": {"replicas": 9}}
        told = (await api("PATCH", one + "/status", status, MERGE)).body
        assert told["status"] == status["status"] and told["spec"] == made["spec"]
        assert told["metadata"]["generation"] == 1
        kept = await api("PATCH", one, {"status": {"phase": "Bad"}}, MERGE)
        assert kept.body["status"]["phase"] == "Good"
        assert (await api("PATCH", one + "/status", {"status": {"replicas": "x"}}, MERGE)).code == 422
        scale = (await api("GET", one + "/scale")).body
        assert (scale["spec"], scale["status"]) == ({"replicas": 1}, {"replicas": 1, "selector": "app=x"})
        assert (await api("PATCH", one + "/scale", {"spec": {"replicas": 4}}, MERGE)).body["spec"] == {"replicas": 4}
        assert (await api("PATCH", one + "/scale", {"spec": {"replicas": 40}}, MERGE)).code == 422
        changed = (await api("GET", one)).body
        assert changed["spec"]["replicas"] == 4 and changed["metadata"]["generation"] == 2

    server.run(test)


def test_columns_selectors_and_watches(server: Server) -> None:
    async def test(api: Api) -> None:
        for name, image in (("red", "r"), ("blue", "b")):
            value = cron_tab("CronTab", name, image=image)
            value["metadata"]["labels"] = {"shown": "yes"}
            await api("POST", TABS, value)
        table = (await api("GET", TABS + "?labelSelector=shown", Accept=TABLE)).body
        assert [(row["name"], row["type"], row["priority"]) for row in table["columnDefinitions"]] == [
            ("Name", "string", 0),
            ("Spec", "string", 0),
            ("Replicas", "integer", 0),
            ("Image", "string", 1),
            ("Age", "date", 0),
        ]
        assert [row["cells"][:4] for row in table["rows"]] == [
            ["blue", "* * * * */5", 1, "b"],
            ["red", "* * * * */5", 1, "r"],
        ]
        selected = (await api("GET", TABS + "?fieldSelector=spec.image%3Dr")).body["items"]
        assert [item["metadata"]["name"] for item in selected] == ["red"]
        refused = await api("GET", TABS + "?fieldSelector=spec.replicas%3D1")
        assert refused.code == 400 and refused.message.endswith("field label not supported: spec.replicas")
        [event] = await api.lines(TABS + "?watch=1&fieldSelector=spec.image%3Db", 1)
        assert event["object"]["kind"] == "CronTab" and event["object"]["metadata"]["name"] == "blue"

    server.run(test)


def test_versions_show_one_object_in_their_own_form(server: Server) -> None:
    def shape(**properties: object) -> dict[str, object]:
        return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}

    old = version("v1beta1", shape(color={"type": "string"}, old={"type": "integer", "default": 7}), storage=False)
    new = version("v1", shape(color={"type": "string"}, new={"type": "integer", "default": 8}))
    hidden = version("v1alpha1", shape(), storage=False, served=False)

    async def test(api: Api) -> None:
        await define(api, definition("paints", "Paint", old, new, hidden))
        made = await api("POST", path("paints", api="v1beta1"), {"metadata": {"name": "a"}, "spec": {"color": "red"}})
        assert made.body["spec"] == {"color": "red", "old": 7}
        shown = (await api("GET", path("paints", "a"))).body
        assert shown["apiVersion"] == f"{GROUP}/v1" and shown["spec"] == {"color": "red", "new": 8}
        assert shown["metadata"] | {"managedFields": 0} == made.body["metadata"] | {"managedFields": 0}
        [listed] = (await api("GET", path("paints", api="v1beta1"))).body["items"]
        assert listed == made.body
        assert (await api("GET", path("paints", api="v1alpha1"))).code == 404
        group = (await api("GET", f"/apis/{GROUP}")).body
        assert [row["version"] for row in group["versions"]] == ["v1", "v1beta1"]
        assert group["preferredVersion"]["version"] == "v1"

    server.run(test)


def test_deprecated_versions_say_so(server: Server) -> None:
    old = version("v1alpha1", storage=False, deprecated=True)
    words = version("v1beta1", storage=False, deprecated=True, deprecationWarning='go "elsewhere"')

    async def test(api: Api) -> None:
        await define(api, definition("relics", "Relic", old, words, version("v1"), version("v2", storage=False)))
        advice = f"{GROUP}/v1alpha1 Relic is deprecated; use {GROUP}/v2 Relic"
        made = await api("POST", path("relics", api="v1alpha1"), cron_tab("Relic", "a", "v1alpha1"))
        assert (made.code, made.warnings) == (201, (f'299 - "{advice}"',))
        listed = await api("GET", path("relics", api="v1beta1"))
        assert listed.warnings == ('299 - "go \\"elsewhere\\""',)
        async with api.session.get(f"{api.url}{path('relics', api='v1alpha1')}?watch=1") as watch:
            assert advice in watch.headers["Warning"]
        assert (await api("GET", path("relics", "a"))).warnings == ()

    server.run(test)


def test_formats_that_nobody_checks_are_named(server: Server) -> None:
    properties = {name: {"type": "string", "format": name} for name in ("ipv4", "postcode", "uuid")}
    spec = {"type": "object", "properties": {**properties, "again": {"type": "string", "format": "postcode"}}}
    schema = {"type": "object", "properties": {"spec": spec}}

    async def test(api: Api) -> None:
        made = await api("POST", DEFINITIONS, definition("letters", "Letter", version(schema=schema)))
        assert (made.code, made.warnings) == (201, ('299 - "unrecognized format \\"postcode\\""',))

    server.run(test)


def test_a_changed_definition_changes_what_is_served(server: Server) -> None:
    async def test(api: Api) -> None:
        value = definition("lamps", "Lamp")
        await define(api, value)
        await api("POST", path("lamps"), cron_tab("Lamp", "a", labels={"a": "b"}))
        watch = api.session.get(f"{api.url}{path('lamps')}?watch=1")
        async with watch as response:
            assert orjson.loads(await response.content.readline())["type"] == "ADDED"
            schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {}}}}
            schema["properties"]["spec"]["properties"] = {"bright": {"type": "boolean", "default": True}}
            change = {"spec": {"versions": [version(schema=schema)]}}
            changed = await api("PATCH", f"{DEFINITIONS}/lamps.{GROUP}", change, MERGE)
            assert changed.code == 200 and changed.body["metadata"]["generation"] == 2
            # whoever watches the old form is sent away, to begin again with the new one
            assert await response.content.read() == b""
        assert (await api("GET", path("lamps", "a"))).body["spec"] == {"bright": True}
        assert (await api("GET", path("lamps", "a") + "/status")).code == 404

    server.run(test)


def test_names_go_to_who_asked_first(server: Server) -> None:
    async def test(api: Api) -> None:
        rival = definition("rivals", "Rival", shortNames=["ct"])
        await api("POST", DEFINITIONS, rival)
        found = await until(api, f"rivals.{GROUP}", "NamesAccepted", "False")
        rows = {row["type"]: (row["status"], row["reason"], row["message"]) for row in found["status"]["conditions"]}
        assert rows == {
            "NamesAccepted": ("False", "ShortNamesConflict", '"ct" is already in use'),
            "Established": ("False", "NotAccepted", "not all names are accepted"),
        }
        assert (await api("GET", path("rivals"))).code == 404
        await api("PATCH", f"{DEFINITIONS}/rivals.{GROUP}", {"spec": {"names": {"shortNames": ["rv"]}}}, MERGE)
        await until(api, f"rivals.{GROUP}", "Established")
        assert (await api("GET", path("rivals"))).code == 200

    server.run(test)


def test_a_definition_takes_its_objects_along(server: Server) -> None:
    async def test(api: Api) -> None:
        await define(api, definition("ghosts", "Ghost"))
        held = cron_tab("Ghost", "held")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await api("POST", path("ghosts"), held)
        await api("POST", path("ghosts"), cron_tab("Ghost", "free"))
        deleted = await api("DELETE", f"{DEFINITIONS}/ghosts.{GROUP}")
        assert deleted.body["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
        await until(api, f"ghosts.{GROUP}", "Terminating")
        late = await api("POST", path("ghosts"), cron_tab("Ghost", "late"))
        assert (late.code, late.body["reason"]) == (405, "MethodNotAllowed")
        await gone(api, path("ghosts"), "free")
        assert "deletionTimestamp" in (await api("GET", path("ghosts", "held"))).body["metadata"]
        await api("PATCH", path("ghosts", "held"), {"metadata": {"finalizers": None}}, MERGE)
        await gone(api, DEFINITIONS, f"ghosts.{GROUP}")
        assert (await api("GET", path("ghosts"))).code == 404
        # and nothing is left of it
        await define(api, definition("ghosts", "Ghost"))
        assert (await api("GET", path("ghosts"))).body["items"] == []

    server.run(test)


def test_custom_resources_survive_a_restart(tmp_path: Path) -> None:
    async def fill(api: Api) -> None:
        await define(api, definition("crontabs", "CronTab", version(**CRON_TAB_VERSION)))
        await api("POST", TABS, cron_tab("CronTab", "kept", image="x"))

    async def look(api: Api) -> None:
        # at once: what was established is served from the first request on
        selected = (await api("GET", TABS + "?fieldSelector=spec.image%3Dx")).body["items"]
        assert [item["metadata"]["name"] for item in selected] == ["kept"]

    with running(tmp_path) as first:
        first.run(fill)
    with running(tmp_path) as second:
        second.run(look)


def test_a_cluster_wide_kind_has_no_namespaces(server: Server) -> None:
    async def test(api: Api) -> None:
        await define(api, definition("planets", "Planet", scope="Cluster"))
        made = await api("POST", f"/apis/{GROUP}/v1/planets", cron_tab("Planet", "mars"))
        assert made.code == 201 and "namespace" not in made.body["metadata"]
        assert (await api("GET", path("planets"))).code == 404

    server.run(test)
