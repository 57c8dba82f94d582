"""scale, binding, eviction, token, and the way through to a kubelet."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web
from apiserver_harness import JSON, MERGE, STRATEGIC, TABLE, Api, Server, deployment, free_port, pod, running

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
METRICS = "/apis/metrics.k8s.io/v1beta1"
UIDS = web.AppKey("uids", list)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


def test_scale_reads_and_writes_the_replicas_only(server: Server) -> None:
    async def test(api: Api) -> None:
        created = (await api("POST", DEPLOYMENTS, deployment("scaled"))).body
        path = DEPLOYMENTS + "/scaled/scale"
        scale = (await api("GET", path)).body
        assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
        assert scale["spec"] == {"replicas": 3} and scale["status"] == {"replicas": 0, "selector": "app=scaled"}
        assert (await api("PUT", path, {**scale, "spec": {"replicas": 5}})).body["spec"] == {"replicas": 5}
        assert (await api("PUT", path, {**scale, "spec": {"replicas": 6}})).code == 409
        assert (await api("PATCH", path, {"spec": {"replicas": 0}}, MERGE)).body["spec"] == {}
        now = (await api("GET", DEPLOYMENTS + "/scaled")).body
        assert now["spec"]["replicas"] == 0 and now["metadata"]["generation"] == 3
        assert now["spec"]["template"] == created["spec"]["template"]
        negative = await api("PATCH", path, {"spec": {"replicas": -1}}, MERGE)
        assert negative.message == (
            'Scale.autoscaling "scaled" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal'
            " to 0"
        )
        assert (await api("GET", PODS + "/any/scale")).code == 404

    server.run(test)


def test_a_pod_is_bound_once(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", PODS, pod("bound"))
        binding = {"target": {"kind": "Node", "name": "n1"}, "metadata": {"annotations": {"a": "b"}}}
        assert "name in URL does not match" in (await api("POST", PODS + "/bound/binding", binding)).message
        binding["metadata"]["name"] = "bound"
        answer = await api("POST", PODS + "/bound/binding", binding)
        assert (answer.code, answer.body["status"]) == (201, "Success")
        body = (await api("GET", PODS + "/bound")).body
        assert body["spec"]["nodeName"] == "n1" and body["metadata"]["annotations"] == {"a": "b"}
        [condition] = body["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
        again = await api("POST", PODS + "/bound/binding", {**binding, "target": {"name": "n2"}})
        assert again.code == 409
        assert again.message == (
            'Operation cannot be fulfilled on pods/binding "bound": pod bound is already assigned to node "n1"'
        )
        assert (await api("POST", PODS + "/bound/binding", {**binding, "target": {}})).code == 422
        binding["metadata"]["name"] = "absent"
        assert (await api("POST", PODS + "/absent/binding", binding)).code == 404

    server.run(test)


def test_a_gated_pod_waits_for_its_gates(server: Server) -> None:
    async def test(api: Api) -> None:
        body = pod("gated")
        body["spec"] |= {"schedulingGates": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"disk": "ssd"}}
        placed = await api("POST", PODS, {**body, "spec": body["spec"] | {"nodeName": "n1"}})
        assert placed.message.endswith(
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"
        )
        created = (await api("POST", PODS, body)).body
        [condition] = created["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"], condition["message"]) == (
            "PodScheduled",
            "False",
            "SchedulingGated",
            "Scheduling is blocked due to non-empty scheduling gates",
        )
        binding = {"metadata": {"name": "gated"}, "target": {"name": "n1"}}
        bound = await api("POST", PODS + "/gated/binding", binding)
        assert (bound.code, bound.message) == (
            409,
            'Operation cannot be fulfilled on pods/binding "gated": pod gated has non-empty .spec.schedulingGates',
        )
        more = await api("PATCH", PODS + "/gated", {"spec": {"schedulingGates": [{"name": "a"}, {"name": "c"}]}}, MERGE)
        assert more.code == 422 and more.message.endswith(
            "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'c'"
        )
        narrower = {"spec": {"schedulingGates": [{"name": "b"}], "nodeSelector": {"zone": "east"}}}
        assert (await api("PATCH", PODS + "/gated", narrower, MERGE)).body["spec"]["nodeSelector"] == {
            "disk": "ssd",
            "zone": "east",
        }
        wider = await api("PATCH", PODS + "/gated", {"spec": {"nodeSelector": {"disk": "hdd"}}}, MERGE)
        assert "only additions to spec.nodeSelector are allowed (no mutations or deletions)" in wider.message
        assert (await api("PATCH", PODS + "/gated", {"spec": {"schedulingGates": None}}, MERGE)).code == 200
        late = await api("PATCH", PODS + "/gated", {"spec": {"nodeSelector": {"rack": "1"}}}, MERGE)
        assert late.code == 422
        assert (await api("POST", PODS + "/gated/binding", binding)).code == 201

    server.run(test)


def test_label_keys_of_affinity_become_part_of_its_selectors(server: Server) -> None:
    async def test(api: Api) -> None:
        body = pod("keyed")
        body["metadata"]["labels"] = {"app": "web", "version": "2", "tenant": "a"}
        term = {
            "topologyKey": "zone",
            "labelSelector": {"matchLabels": {"app": "web"}},
            "matchLabelKeys": ["version", "absent"],
            "mismatchLabelKeys": ["tenant"],
        }
        body["spec"]["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        created = (await api("POST", PODS, body)).body
        [row] = created["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert row["labelSelector"]["matchExpressions"] == [
            {"key": "version", "operator": "In", "values": ["2"]},
            {"key": "tenant", "operator": "NotIn", "values": ["a"]},
        ]

    server.run(test)


def test_containers_for_debugging_come_and_stay(server: Server) -> None:
    path = PODS + "/debugged/ephemeralcontainers"

    def with_(*containers: JSON) -> JSON:
        return {"spec": {"ephemeralContainers": list(containers), "restartPolicy": "Never"}}

    async def test(api: Api) -> None:
        await api("POST", PODS, pod("debugged"))
        debugger = {"name": "debugger", "image": "busybox", "targetContainerName": "main"}
        changed = await api("PATCH", path, with_(debugger), STRATEGIC)
        assert changed.code == 200 and changed.body["spec"]["restartPolicy"] == "Always"
        [stored] = changed.body["spec"]["ephemeralContainers"]
        assert stored["imagePullPolicy"] == "Always" and stored["terminationMessagePath"] == "/dev/termination-log"
        assert changed.body["metadata"]["managedFields"][-1]["subresource"] == "ephemeralcontainers"
        more = (await api("PATCH", path, with_({"name": "second", "image": "alpine"}), STRATEGIC)).body
        assert {row["name"] for row in more["spec"]["ephemeralContainers"]} == {"debugger", "second"}
        removed = {**more, "spec": {**more["spec"], "ephemeralContainers": [stored]}}
        for body, done in ((removed, '"second" may not be removed'), (None, '"debugger" may not be changed')):
            if body:
                refused = await api("PUT", path, body)
            else:
                refused = await api("PATCH", path, with_({"name": "debugger", "image": "other"}), STRATEGIC)
            assert refused.code == 422 and f"existing ephemeral containers {done}" in refused.message
        whole = await api("PATCH", PODS + "/debugged", with_({"name": "third", "image": "alpine"}), STRATEGIC)
        assert whole.code == 422
        new = pod("new")
        new["spec"]["ephemeralContainers"] = [{"name": "early", "image": "busybox"}]
        early = await api("POST", PODS, new)
        assert early.code == 422 and "spec.ephemeralContainers: Forbidden: cannot be set on create" in early.message
        assert (await api("GET", path)).body["spec"]["containers"][0]["name"] == "main"

    server.run(test)


def test_an_eviction_deletes_gracefully(server: Server) -> None:
    async def test(api: Api) -> None:
        body = pod("evicted")
        body["spec"]["nodeName"] = "n1"
        await api("POST", PODS, body)
        eviction = {"metadata": {"name": "evicted"}, "deleteOptions": {"gracePeriodSeconds": 7}}
        assert (await api("POST", PODS + "/evicted/eviction", eviction)).code == 201
        assert (await api("GET", PODS + "/evicted")).body["metadata"]["deletionGracePeriodSeconds"] == 7

    server.run(test)


def test_a_service_account_token_opens_the_api_as_long_as_its_pod_lives(server: Server) -> None:
    token = ""

    async def issue(api: Api) -> None:
        nonlocal token
        uid = (await api("POST", PODS, pod("holder"))).body["metadata"]["uid"]
        path = "/api/v1/namespaces/default/serviceaccounts/default/token"
        bound = {"kind": "Pod", "apiVersion": "v1", "name": "holder", "uid": uid}
        answer = await api("POST", path, {"spec": {"boundObjectRef": bound, "expirationSeconds": 700}})
        assert answer.code == 201 and answer.body["kind"] == "TokenRequest"
        token = answer.body["status"]["token"]
        assert (await api("POST", path, {"spec": {"expirationSeconds": 5}})).code == 422
        wrong = {"spec": {"boundObjectRef": {**bound, "uid": "other"}}}
        assert (await api("POST", path, wrong)).code == 409

    async def use(api: Api) -> None:
        assert (await api("GET", "/api/v1", Authorization=f"Bearer {token}")).code == 200
        assert (await api("GET", PODS, Authorization=f"Bearer {token}")).code == 403
        assert (await api("GET", PODS, Authorization=f"Bearer {token[:-4]}AAAA")).code == 401

    async def drop(api: Api) -> None:
        await api("DELETE", PODS + "/holder")

    async def fail(api: Api) -> None:
        assert (await api("GET", PODS, Authorization=f"Bearer {token}")).code == 401

    server.run(issue)
    server.run(use, name="")
    server.run(drop)
    server.run(fail, name="")


def test_pods_carry_a_token_unless_they_decline(server: Server) -> None:
    async def test(api: Api) -> None:
        spec = (await api("POST", PODS, pod("carrier"))).body["spec"]
        [volume] = spec["volumes"]
        assert volume["name"].startswith("kube-api-access-")
        assert spec["containers"][0]["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
        body = pod("without")
        body["spec"]["automountServiceAccountToken"] = False
        assert "volumes" not in (await api("POST", PODS, body)).body["spec"]
        body = pod("unknown")
        body["spec"]["serviceAccountName"] = "nobody"
        answer = await api("POST", PODS, body)
        assert answer.code == 403
        assert 'error looking up service account default/nobody: serviceaccount "nobody" not found' in answer.message

    server.run(test)


# ---- through to the kubelet ------------------------------------------------------------------------------


async def _logs(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(f"{request.path}?{request.query_string}\n".encode())
    if "follow" in request.query:
        await response.write(b"more\n")
    return response


async def _exec(request: web.Request) -> web.StreamResponse:
    """Says what it was asked, then echoes until it is told to stop."""
    socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"))
    await socket.prepare(request)
    await socket.send_bytes(b"\x01" + request.path_qs.encode())
    async for message in socket:
        if message.type is WSMsgType.BINARY and message.data == b"\x00stop":
            break
        await socket.send_bytes(message.data)
    await socket.close()
    return socket


async def _summary(request: web.Request) -> web.StreamResponse:
    """Two containers of the pod ``streamed``, and what the node uses as a whole."""

    def part(cores: int, size: int) -> JSON:
        time = "2026-01-01T00:00:00Z"
        return {"cpu": {"time": time, "usageNanoCores": cores}, "memory": {"time": time, "workingSetBytes": size}}

    assert request.query == {"only_cpu_and_memory": "true"}
    containers = [{"name": "main", **part(1_500_000, 1 << 20)}, {"name": "side", **part(17, 0)}]
    pods = [{"podRef": {"uid": uid}, "containers": containers} for uid in request.app[UIDS]]
    return web.json_response({"node": {"nodeName": "n1", **part(2_000_000_000, 12288)}, "pods": pods})


@asynccontextmanager
async def kubelet(server: Server, api: Api) -> AsyncIterator[None]:
    """A node's HTTPS endpoint that insists on the API server's certificate, and a Pod on that node."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server.pki / "kubelet.crt", server.pki / "kubelet.key")
    tls.load_verify_locations(server.pki / "ca.crt")
    tls.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_get("/containerLogs/{tail:.*}", _logs)
    app.router.add_get("/exec/{tail:.*}", _exec)
    app.router.add_get("/stats/summary", _summary)
    app[UIDS] = []
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    node = {
        "metadata": {"name": "n1"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        },
    }
    await api("POST", "/api/v1/nodes", node)
    body = pod("streamed")
    body["spec"]["nodeName"] = "n1"
    body["metadata"]["labels"] = {"app": "streamed"}
    app[UIDS].append((await api("POST", PODS, body)).body["metadata"]["uid"])
    try:
        yield
    finally:
        await api("DELETE", PODS + "/streamed", {"gracePeriodSeconds": 0})
        await api("DELETE", "/api/v1/nodes/n1")
        await runner.cleanup()


def test_logs_come_from_the_kubelet(server: Server) -> None:
    async def test(api: Api) -> None:
        async with kubelet(server, api):
            answer = await api("GET", PODS + "/streamed/log?tailLines=5&pretty=true")
            assert answer.body == "/containerLogs/default/streamed/main?tailLines=5\n"
            assert (await api("GET", PODS + "/streamed/log?follow=true")).body.endswith("more\n")
            wrong = await api("GET", PODS + "/streamed/log?container=other")
            assert wrong.message == "container other is not valid for pod streamed"
            assert (await api("GET", PODS + "/streamed/log?tailLines=x")).code == 400

    server.run(test)


def test_a_pod_without_a_node_has_an_empty_log_and_runs_no_command(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", PODS, pod("waiting"))
        assert (await api("GET", PODS + "/waiting/log")).body == ""
        answer = await api("GET", PODS + "/waiting/exec?command=ls&stdout=1")
        assert answer.message == "pod waiting does not have a host assigned"
        body = pod("two")
        body["spec"]["containers"].append({"name": "other", "image": "busybox:1"})
        await api("POST", PODS, body)
        answer = await api("GET", PODS + "/two/log")
        assert answer.message == "a container name must be specified for pod two, choose one of: [main other]"

    server.run(test)


def test_what_is_used_is_what_the_kubelets_say(server: Server) -> None:
    async def test(api: Api) -> None:
        async with kubelet(server, api):
            silent = {"metadata": {"name": "silent"}}
            await api("POST", "/api/v1/nodes", silent)
            await api("POST", PODS, pod("idle"))
            [node] = (await api("GET", f"{METRICS}/nodes")).body["items"]
            assert (node["kind"], node["metadata"]["name"], node["window"]) == ("NodeMetrics", "n1", "5s")
            assert node["usage"] == {"cpu": "2", "memory": "12Ki"} and node["timestamp"] == "2026-01-01T00:00:00Z"
            listed = (await api("GET", f"{METRICS}/pods?labelSelector=app=streamed")).body
            assert (listed["kind"], listed["metadata"]) == ("PodMetricsList", {})
            [found] = listed["items"]
            assert found["metadata"]["labels"] == {"app": "streamed"}
            assert found["containers"] == [
                {"name": "main", "usage": {"cpu": "1500u", "memory": "1Mi"}},
                {"name": "side", "usage": {"cpu": "17n", "memory": "0"}},
            ]
            for selector in ("labelSelector=app=other", "fieldSelector=metadata.name=idle"):
                assert (await api("GET", f"{METRICS}/pods?{selector}")).body["items"] == []
            one = f"{METRICS}/namespaces/default/pods"
            table = (await api("GET", f"{one}/streamed", Accept=TABLE)).body
            assert table["rows"][0]["cells"] == ["streamed", "1500017n", "1Mi", "5s"]
            absent = await api("GET", f"{one}/absent")
            assert (absent.code, absent.message) == (404, 'pods "absent" not found')
            idle = await api("GET", f"{one}/idle")
            assert (idle.code, idle.message) == (404, 'podmetrics.metrics.k8s.io "default/idle" not found')
            unheard = await api("GET", f"{METRICS}/nodes/silent")
            assert (unheard.code, unheard.message) == (404, 'nodemetrics.metrics.k8s.io "silent" not found')
            assert (await api("GET", f"{METRICS}/pods?watch=true")).code == 405
            assert (await api("DELETE", f"{one}/streamed")).code == 405

    server.run(test)


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_exec_is_a_websocket_from_end_to_end(server: Server, protocol: str) -> None:
    async def test(api: Api) -> None:
        async with kubelet(server, api):
            url = f"{api.url}{PODS}/streamed/exec?command=sh&command=-c&stdin=true&stdout=true&tty=false"
            async with api.session.ws_connect(url, protocols=(protocol, "other")) as socket:
                assert socket.protocol == protocol
                assert (await socket.receive_bytes()).startswith(
                    b"\x01/exec/default/streamed/main?command=sh&command=-c"
                )
                for message in (b"\x00hello", b"\x00" + b"x" * 200_000, b"\xff\x00"):
                    await socket.send_bytes(message)
                    assert await socket.receive_bytes() == message
                await socket.send_bytes(b"\x00stop")
                assert (await socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)

    server.run(test)


def test_what_stands_in_the_way_of_a_stream_is_said(server: Server) -> None:
    async def test(api: Api) -> None:
        async with kubelet(server, api):
            plain = await api("GET", PODS + "/streamed/exec?command=ls")
            assert (plain.code, plain.body["reason"]) == (400, "BadRequest")
            assert (await api("GET", PODS + "/streamed/exec")).message.startswith("you must specify at least 1 command")
            unknown = await api(
                "GET", PODS + "/streamed/portforward?ports=80", Upgrade="websocket", Connection="Upgrade"
            )
            assert unknown.code in (400, 404, 500)

    server.run(test)


def test_a_kubelet_that_is_not_there_is_an_error_of_the_backend(server: Server) -> None:
    async def test(api: Api) -> None:
        body = pod("lost")
        body["spec"]["nodeName"] = "n9"
        await api("POST", PODS, body)
        answer = await api("GET", PODS + "/lost/log")
        assert (answer.code, answer.body["reason"]) == (500, "InternalError")
        assert 'nodes "n9" not found' in answer.message
        node = {"metadata": {"name": "n9"}, "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}
        node["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": free_port()}}
        await api("POST", "/api/v1/nodes", node)
        assert "error dialing backend" in (await api("GET", PODS + "/lost/log")).message

    server.run(test)


def test_a_client_that_hangs_up_ends_the_stream(server: Server) -> None:
    async def test(api: Api) -> None:
        async with kubelet(server, api):
            url = f"{api.url}{PODS}/streamed/exec?command=cat&stdin=true"
            socket = await api.session.ws_connect(url, protocols=("v5.channel.k8s.io",))
            await socket.receive_bytes()
            await socket.close()
            await asyncio.sleep(0)
            assert (await api("GET", "/readyz")).code == 200

    server.run(test)
