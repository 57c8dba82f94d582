"""create, update, patch and delete over the wire behave as upstream's do."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiserver_harness import JSON_PATCH, MERGE, STRATEGIC, Api, Server, deployment, pod, running

from knet.api.families import ranges
from knet.api.resources import SERVICES
from knet.api.schema import schema_of
from knet.apiserver.addresses import NODE_PORTS, Allocations
from knet.apiserver.kinds import schema_kinds, served
from knet.apiserver.status import StatusError

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


def test_a_created_object_has_what_the_server_adds(server: Server) -> None:
    async def test(api: Api) -> None:
        code, body, _ = await api("POST", PODS, pod("created"))
        assert code == 201
        assert (body["apiVersion"], body["kind"]) == ("v1", "Pod")
        metadata = body["metadata"]
        assert metadata["namespace"] == "default" and len(metadata["uid"]) == 36
        assert metadata["creationTimestamp"].endswith("Z") and metadata["resourceVersion"].isdecimal()
        assert body["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
        assert (await api("GET", PODS + "/created")).body == body

    server.run(test)


def test_a_second_object_of_a_name_already_exists(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", MAPS, {"metadata": {"name": "twice"}})
        answer = await api("POST", MAPS, {"metadata": {"name": "twice"}})
        assert (answer.code, answer.body["reason"]) == (409, "AlreadyExists")
        assert answer.message == 'configmaps "twice" already exists'
        assert answer.body["details"] == {"name": "twice", "kind": "configmaps"}

    server.run(test)


def test_names_are_generated(server: Server) -> None:
    async def test(api: Api) -> None:
        names = {
            (await api("POST", MAPS, {"metadata": {"generateName": "g-"}})).body["metadata"]["name"] for _ in "abc"
        }
        assert len(names) == 3
        assert all(name.startswith("g-") and len(name) == 7 for name in names)

    server.run(test)


@pytest.mark.parametrize(
    ("path", "body", "code", "message"),
    [
        (
            *(MAPS, b"{", 400),
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse"
            " error: unexpected end of JSON input ({)",
        ),
        (MAPS, b"[1]", 400, "(must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot"),
        (MAPS, b"[]", 400, "cannot unmarshal array"),
        (MAPS, {"kind": "Pod"}, 400, "cannot be handled as a ConfigMap"),
        (MAPS, {"apiVersion": "v2"}, 400, 'no kind "ConfigMap" is registered for version "v2" in scheme'),
        (MAPS, {"metadata": {"name": "a", "namespace": "b"}}, 400, "does not match the namespace sent on the request"),
        (MAPS, {"metadata": {"name": "a", "resourceVersion": "7"}}, 400, "resourceVersion should not be set"),
        (MAPS, {"metadata": {}}, 422, "name or generateName is required"),
        (MAPS, {"data": {"a": 1}, "metadata": {"name": "a"}}, 400, "cannot unmarshal number into Go struct field"),
        ("/api/v1/namespaces/absent/configmaps", {"metadata": {"name": "a"}}, 404, 'namespaces "absent" not found'),
        ("/api/v1/configmaps", {"metadata": {"name": "a"}}, 405, "does not allow this method"),
        ("/api/v1/namespaces/default/nothings", {}, 404, "could not find the requested resource"),
    ],
)  # fmt: skip
def test_what_cannot_be_created_is_refused_with_upstreams_words(
    server: Server, path: str, body: object, code: int, message: str
) -> None:
    async def test(api: Api) -> None:
        answer = await api("POST", path, body)
        assert answer.code == code
        assert message in answer.message
        assert answer.body["kind"] == "Status" and answer.body["code"] == code

    server.run(test)


def test_unknown_fields_are_warned_of_refused_or_dropped_as_asked(server: Server) -> None:
    async def test(api: Api) -> None:
        def body(name: str) -> dict[str, object]:
            return {"metadata": {"name": name}, "dta": {"a": "b"}}

        warned = await api("POST", MAPS, body("warned"))
        assert warned.code == 201 and "dta" not in warned.body
        assert warned.warnings == ('299 - "unknown field \\"dta\\""',)
        refused = await api("POST", MAPS + "?fieldValidation=Strict", body("strict"))
        assert (refused.code, refused.message) == (
            400,
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dta"',
        )
        assert (await api("POST", MAPS + "?fieldValidation=Ignore", body("ignored"))).warnings == ()
        assert (await api("POST", MAPS + "?fieldValidation=Maybe", body("maybe"))).code == 422

    server.run(test)


def test_a_dry_run_answers_and_changes_nothing(server: Server) -> None:
    async def test(api: Api) -> None:
        assert (await api("POST", MAPS + "?dryRun=All", {"metadata": {"name": "dry"}})).code == 201
        assert (await api("GET", MAPS + "/dry")).code == 404
        await api("POST", MAPS, {"metadata": {"name": "dry"}})
        patched = await api("PATCH", MAPS + "/dry?dryRun=All", {"data": {"a": "b"}}, MERGE)
        assert patched.body["data"] == {"a": "b"}
        assert (await api("DELETE", MAPS + "/dry?dryRun=All")).code == 200
        assert "data" not in (await api("GET", MAPS + "/dry")).body

    server.run(test)


def test_an_update_on_an_old_revision_conflicts(server: Server) -> None:
    async def test(api: Api) -> None:
        first = (await api("POST", MAPS, {"metadata": {"name": "locked"}})).body
        second = await api("PUT", MAPS + "/locked", {**first, "data": {"a": "1"}})
        assert second.code == 200
        answer = await api("PUT", MAPS + "/locked", {**first, "data": {"a": "2"}})
        assert (answer.code, answer.body["reason"]) == (409, "Conflict")
        assert answer.message == (
            'Operation cannot be fulfilled on configmaps "locked": the object has been modified; please apply your'
            " changes to the latest version and try again"
        )
        stale = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"a": "3"}}
        assert (await api("PATCH", MAPS + "/locked", stale, MERGE)).code == 409
        other = {"metadata": {"uid": "another"}, "data": {"a": "3"}}
        assert (await api("PATCH", MAPS + "/locked", other, MERGE)).code == 422
        unconditional = {"metadata": {"name": "locked"}, "data": {"a": "4"}}
        assert (await api("PUT", MAPS + "/locked", unconditional)).code == 200

    server.run(test)


def test_patches_at_the_same_time_all_succeed(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", MAPS, {"metadata": {"name": "busy"}})
        path = MAPS + "/busy"
        patches = [api("PATCH", path, {"data": {f"k{n}": "v"}}, MERGE if n % 2 else STRATEGIC) for n in range(6)]
        assert {answer.code for answer in await asyncio.gather(*patches)} == {200}
        assert len((await api("GET", path)).body["data"]) == 6

    server.run(test)


def test_an_update_that_changes_nothing_keeps_the_revision(server: Server) -> None:
    async def test(api: Api) -> None:
        body = (await api("POST", DEPLOYMENTS, deployment("same"))).body
        for answer in (
            await api("PUT", DEPLOYMENTS + "/same", body),
            await api("PATCH", DEPLOYMENTS + "/same", {"spec": {"replicas": 3}}, STRATEGIC),
            await api("PATCH", DEPLOYMENTS + "/same", {"metadata": {"labels": None}}, MERGE),
        ):
            assert answer.body == body

    server.run(test)


def test_the_generation_counts_changes_of_the_spec_only(server: Server) -> None:
    async def test(api: Api) -> None:
        path = DEPLOYMENTS + "/counted"
        assert (await api("POST", DEPLOYMENTS, deployment("counted"))).body["metadata"]["generation"] == 1
        labelled = await api("PATCH", path, {"metadata": {"labels": {"a": "b"}, "generation": 9}}, MERGE)
        assert labelled.body["metadata"]["generation"] == 1
        scaled = await api("PATCH", path, {"spec": {"replicas": 5}}, MERGE)
        assert scaled.body["metadata"]["generation"] == 2
        status = await api("PATCH", path + "/status", {"status": {"replicas": 5}}, MERGE)
        assert status.body["metadata"]["generation"] == 2

    server.run(test)


def test_spec_and_status_are_written_apart(server: Server) -> None:
    async def test(api: Api) -> None:
        path = DEPLOYMENTS + "/apart"
        await api("POST", DEPLOYMENTS, {**deployment("apart"), "status": {"replicas": 9}})
        both = {"spec": {"replicas": 7}, "status": {"replicas": 7}, "metadata": {"annotations": {"a": "b"}}}
        body = (await api("PATCH", path + "/status", both, MERGE)).body
        assert (body["spec"]["replicas"], body["status"]["replicas"]) == (3, 7)
        assert body["metadata"]["annotations"] == {"a": "b"}
        body = (await api("PATCH", path, {"spec": {"replicas": 4}, "status": {"replicas": 1}}, MERGE)).body
        assert (body["spec"]["replicas"], body["status"]["replicas"]) == (4, 7)

    server.run(test)


def test_each_patch_type_is_known_by_its_media_type(server: Server) -> None:
    async def test(api: Api) -> None:
        path = PODS + "/patched"
        await api("POST", PODS, pod("patched"))
        image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "busybox:2"}]
        assert (await api("PATCH", path, image, JSON_PATCH)).body["spec"]["containers"][0]["image"] == "busybox:2"
        named = {"spec": {"containers": [{"name": "main", "image": "busybox:3"}]}}
        assert (await api("PATCH", path, named, STRATEGIC)).body["spec"]["containers"][0]["image"] == "busybox:3"
        labels = {"metadata": {"labels": {"a": "b"}}}
        assert (await api("PATCH", path, labels, MERGE)).body["metadata"]["labels"] == {"a": "b"}
        assert (await api("PATCH", path, labels)).code == 415
        missing = await api("PATCH", path, [{"op": "remove", "path": "/none"}], JSON_PATCH)
        assert (missing.code, missing.body["reason"]) == (422, "Invalid")

    server.run(test)


def test_a_running_pod_takes_a_new_image_and_nothing_else(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", PODS, pod("fixed"))
        answer = await api("PATCH", PODS + "/fixed", {"spec": {"hostNetwork": True}}, MERGE)
        assert answer.code == 422
        assert "pod updates may not change fields other than `spec.containers[*].image`" in answer.message

    server.run(test)


def test_a_put_creates_leases_but_not_config_maps(server: Server) -> None:
    async def test(api: Api) -> None:
        lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1"
        assert (await api("PUT", lease, {"metadata": {"name": "n1"}})).code == 201
        assert (await api("PUT", lease, {"metadata": {"name": "n1"}})).code == 422
        assert (await api("PUT", MAPS + "/none", {"metadata": {"name": "none"}})).code == 404
        assert (await api("PUT", MAPS + "/none", {"metadata": {"name": "other"}})).code == 400

    server.run(test)


def test_yaml_is_read_and_written(server: Server) -> None:
    async def test(api: Api) -> None:
        text = b"metadata: {name: yaml}\ndata:\n  when: 2024-01-01T00:00:00Z\n"
        assert (await api("POST", MAPS, text, "application/yaml")).body["data"] == {"when": "2024-01-01T00:00:00Z"}
        answer = await api("GET", MAPS + "/yaml", Accept="application/yaml")
        assert "\n  name: yaml\n" in answer.body
        assert (await api("GET", MAPS + "/yaml", Accept="text/html")).code == 406
        assert (await api("POST", MAPS, b"x", "text/html")).code == 415

    server.run(test)


# ---- deletion --------------------------------------------------------------------------------------------


def test_a_deletion_answers_with_a_status_or_with_the_object(server: Server) -> None:
    async def test(api: Api) -> None:
        uid = (await api("POST", MAPS, {"metadata": {"name": "short"}})).body["metadata"]["uid"]
        answer = await api("DELETE", MAPS + "/short")
        assert answer.body["status"] == "Success"
        assert answer.body["details"] == {"name": "short", "kind": "configmaps", "uid": uid}
        assert (await api("DELETE", MAPS + "/short")).code == 404
        await api("POST", PODS, pod("short"))
        assert (await api("DELETE", PODS + "/short")).body["kind"] == "Pod"

    server.run(test)


def test_a_pod_on_a_node_gets_its_grace_and_goes_at_the_kubelets_word(server: Server) -> None:
    async def test(api: Api) -> None:
        path = PODS + "/graceful"
        body = pod("graceful")
        body["spec"]["nodeName"] = "n1"
        await api("POST", PODS, body)
        marked = (await api("DELETE", path)).body["metadata"]
        assert marked["deletionGracePeriodSeconds"] == 30 and marked["deletionTimestamp"]
        assert (await api("DELETE", path, {"gracePeriodSeconds": 60})).body["metadata"] == marked
        shorter = (await api("DELETE", path, {"gracePeriodSeconds": 5})).body["metadata"]
        assert shorter["deletionGracePeriodSeconds"] == 5
        assert (await api("DELETE", path, {"gracePeriodSeconds": 0})).code == 200
        assert (await api("GET", path)).code == 404

    server.run(test)


def test_a_finalizer_keeps_a_deleted_object_until_it_is_removed(server: Server) -> None:
    async def test(api: Api) -> None:
        path = MAPS + "/kept"
        await api("POST", MAPS, {"metadata": {"name": "kept", "finalizers": ["example.com/a"]}})
        assert (await api("DELETE", path)).body["metadata"]["deletionTimestamp"]
        assert (await api("GET", path)).code == 200
        more = await api("PATCH", path, {"metadata": {"finalizers": ["example.com/a", "example.com/b"]}}, MERGE)
        assert "no new finalizers can be added if the object is being deleted" in more.message
        await api("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
        assert (await api("GET", path)).code == 404

    server.run(test)


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
def test_propagation_is_left_to_the_garbage_collector_as_a_finalizer(
    server: Server, policy: str, finalizer: str
) -> None:
    async def test(api: Api) -> None:
        name = policy.lower()
        await api("POST", DEPLOYMENTS, deployment(name))
        body = (await api("DELETE", f"{DEPLOYMENTS}/{name}", {"propagationPolicy": policy})).body
        assert body["metadata"]["finalizers"] == [finalizer]
        assert (await api("DELETE", f"{DEPLOYMENTS}/{name}?propagationPolicy=Background")).body["status"] == "Success"
        wrong = await api("DELETE", f"{DEPLOYMENTS}/{name}", {"propagationPolicy": "Sideways"})
        assert wrong.code == 422

    server.run(test)


def test_preconditions_guard_a_deletion(server: Server) -> None:
    async def test(api: Api) -> None:
        body = (await api("POST", MAPS, {"metadata": {"name": "guarded"}})).body["metadata"]
        answer = await api("DELETE", MAPS + "/guarded", {"preconditions": {"uid": "other"}})
        assert answer.code == 409
        assert f"the UID in the precondition (other) does not match the UID in record ({body['uid']})" in answer.message
        assert (await api("DELETE", MAPS + "/guarded", {"preconditions": {"uid": body["uid"]}})).code == 200

    server.run(test)


def test_a_collection_is_deleted_by_selector(server: Server) -> None:
    async def test(api: Api) -> None:
        for name, app in (("c1", "old"), ("c2", "old"), ("c3", "new")):
            await api("POST", MAPS, {"metadata": {"name": name, "labels": {"app": app}}})
        answer = await api("DELETE", MAPS + "?labelSelector=app%3Dold")
        assert [item["metadata"]["name"] for item in answer.body["items"]] == ["c1", "c2"]
        assert (await api("GET", MAPS + "/c3")).code == 200

    server.run(test)


def test_nothing_is_created_in_a_namespace_that_goes_away(server: Server) -> None:
    async def test(api: Api) -> None:
        namespace = "/api/v1/namespaces/leaving"
        created = (await api("POST", "/api/v1/namespaces", {"metadata": {"name": "leaving"}})).body
        assert created["spec"]["finalizers"] == ["kubernetes"]
        assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": "leaving"}
        deleted = (await api("DELETE", namespace)).body
        assert deleted["status"]["phase"] == "Terminating"
        answer = await api("POST", namespace + "/configmaps", {"metadata": {"name": "late"}})
        assert answer.code == 403
        assert answer.message == (
            'configmaps "late" is forbidden: unable to create new content in namespace leaving because it is being'
            " terminated"
        )
        assert answer.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        deleted["spec"]["finalizers"] = []
        assert (await api("PUT", namespace + "/finalize", deleted)).code == 200
        assert (await api("GET", namespace)).code == 404
        assert (await api("DELETE", "/api/v1/namespaces/kube-system")).code == 403

    server.run(test)


# ---- services --------------------------------------------------------------------------------------------


def service(name: str, **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def test_services_get_addresses_and_node_ports_of_their_own(server: Server) -> None:
    async def test(api: Api) -> None:
        path = "/api/v1/namespaces/default/services"
        fixed = await api("POST", path, service("fixed", clusterIP="10.96.0.10"))
        assert fixed.body["spec"]["clusterIPs"] == ["10.96.0.10"]
        taken = await api("POST", path, service("taken", clusterIP="10.96.0.10"))
        assert taken.code == 422 and "provided IP is already allocated" in taken.message
        outside = await api("POST", path, service("outside", clusterIP="10.0.0.1"))
        assert "is not in the valid range. The range of valid IPs is 10.96.0.0/12" in outside.message
        spec = (await api("POST", path, service("node", type="NodePort"))).body["spec"]
        port = spec["ports"][0]["nodePort"]
        assert spec["clusterIP"].startswith("10.") and 30000 <= port <= 32767
        clash = service("clash", type="NodePort", ports=[{"port": 80, "nodePort": port}])
        assert "provided port is already allocated" in (await api("POST", path, clash)).message
        assert (await api("POST", path, service("none", clusterIP="None"))).body["spec"]["clusterIPs"] == ["None"]
        moved = await api("PATCH", path + "/fixed", {"spec": {"clusterIP": "10.96.0.11", "clusterIPs": None}}, MERGE)
        assert "may not change once set" in moved.message
        kept = await api("PUT", path + "/fixed", service("fixed", ports=[{"port": 81}]))
        assert kept.body["spec"]["clusterIP"] == "10.96.0.10"
        back = await api("PATCH", path + "/node", {"spec": {"type": "ClusterIP"}}, STRATEGIC)
        assert "nodePort" not in back.body["spec"]["ports"][0]
        assert (await api("POST", path, clash)).code == 201
        await api("DELETE", path + "/fixed")
        assert (await api("POST", path, service("taken", clusterIP="10.96.0.10"))).code == 201

    server.run(test)


def test_node_ports_belong_to_one_service_whatever_their_protocol(server: Server) -> None:
    async def test(api: Api) -> None:
        path = "/api/v1/namespaces/default/services"
        dns = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]
        ports = (await api("POST", path, service("dns", type="NodePort", ports=dns))).body["spec"]["ports"]
        number = ports[0]["nodePort"]
        assert ports[1]["nodePort"] == number
        clash = service("clash", type="NodePort", ports=[{"port": 80, "protocol": "SCTP", "nodePort": number}])
        assert (
            f"spec.ports[0].nodePort: Invalid value: {number}: provided port is already allocated"
            in (await api("POST", path, clash)).message
        )
        beyond = service("beyond", type="NodePort", ports=[{"port": 80, "nodePort": 80}])
        assert (
            "provided port is not in the valid range. The range of valid ports is 30000-32767"
            in (await api("POST", path, beyond)).message
        )

    server.run(test)


def test_a_health_check_port_comes_and_goes_with_local_load_balancers(server: Server) -> None:
    async def test(api: Api) -> None:
        path = "/api/v1/namespaces/default/services"
        local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
        made = (await api("POST", path, service("a", **local))).body["spec"]
        number = made["healthCheckNodePort"]
        assert 30000 <= number <= 32767 and number != made["ports"][0]["nodePort"]
        clash = await api("POST", path, service("b", **local, healthCheckNodePort=number))
        assert (clash.code, clash.message) == (
            500,
            "Internal error occurred: failed to allocate requested HealthCheck NodePort"
            f" {number}: provided port is already allocated",
        )
        moved = await api("PATCH", path + "/a", {"spec": {"healthCheckNodePort": 30999}}, MERGE)
        assert "spec.healthCheckNodePort: Forbidden: field is immutable" in moved.message
        kept = await api("PUT", path + "/a", service("a", **local))
        assert kept.body["spec"]["healthCheckNodePort"] == number
        plain = await api("PATCH", path + "/a", {"spec": {"type": "ClusterIP"}}, MERGE)
        assert not {"healthCheckNodePort", "externalTrafficPolicy"} & plain.body["spec"].keys()
        assert (await api("POST", path, service("b", **local, healthCheckNodePort=number))).code == 201

    server.run(test)


def test_a_full_range_of_node_ports_says_so() -> None:
    allocations = Allocations(ranges("10.96.0.0/12"))
    allocations.load([{"spec": {"ports": [{"nodePort": number} for number in NODE_PORTS]}}])
    kind = served(schema_of(schema_kinds()))[SERVICES]
    late = {"metadata": {"name": "late"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}}
    with (
        pytest.raises(StatusError, match="failed to allocate a nodePort: range is full"),
        allocations.claim(kind, late, None),
    ):
        pass


def test_node_ports_survive_writers_that_overtake_each_other(server: Server) -> None:
    """Their ports are of the band that is not allocated from while there is room elsewhere."""

    async def test(api: Api) -> None:
        path = "/api/v1/namespaces/default/services"
        await api("POST", path, service("raced", type="NodePort", ports=[{"port": 80, "nodePort": 30010}]))
        moves = [
            api("PATCH", path + "/raced", {"spec": {"ports": [{"port": 80, "nodePort": 30010 + n}]}}, STRATEGIC)
            for n in range(1, 7)
        ]
        assert {answer.code for answer in await asyncio.gather(*moves)} == {200}
        kept = (await api("GET", path + "/raced")).body["spec"]["ports"][0]["nodePort"]
        for number in range(30010, 30017):
            other = service(f"after-{number}", type="NodePort", ports=[{"port": 80, "nodePort": number}])
            assert (await api("POST", path, other)).code == (422 if number == kept else 201)

    server.run(test)


def test_objects_addresses_and_ports_are_there_after_a_restart(tmp_path: Path) -> None:
    services = "/api/v1/namespaces/default/services"

    async def fill(api: Api) -> None:
        await api("POST", services, service("dns", clusterIP="10.96.0.10"))

    async def look(api: Api) -> None:
        assert (await api("GET", services + "/dns")).code == 200
        assert (await api("GET", services + "/kubernetes")).body["spec"]["clusterIP"] == "10.96.0.1"
        assert (await api("POST", services, service("again", clusterIP="10.96.0.10"))).code == 422

    with running(tmp_path) as first:
        first.run(fill)
    with running(tmp_path) as second:
        second.run(look)
