"""Admission webhooks: a real HTTPS server is asked about real requests to a real API server."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson
import pytest
from aiohttp import web
from apiserver_harness import JSON_PATCH, MERGE, Api, Server, deployment, free_port, pod, running
from webhook_harness import EVERYTHING, JSON, Behaviour, Webhooks, allow, denying, patching, rule, webhooks

from knet.cluster.pki import Authority

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
RBAC = "/apis/rbac.authorization.k8s.io/v1"

Test = Callable[[Api, Webhooks], Awaitable[None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("webhooks")) as found:
        yield found


def run(server: Server, test: Test) -> None:
    """Run a test with a server of webhooks of its own."""

    async def body(api: Api) -> None:
        async with webhooks(api, server.directory) as hooks:
            await test(api, hooks)

    server.run(body)


def config_map(name: str = "", **data: str) -> JSON:
    return {"metadata": {"name": name} if name else {"generateName": "some-"}, "data": data}


# ---- the question ------------------------------------------------------------------------------------------------


def test_the_review_tells_who_wants_what(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add("Validating", "look", allow, rules=[rule("configmaps configmaps/*", "*")])
        await api("POST", f"{MAPS}?fieldManager=me&fieldValidation=Strict", config_map("told", a="1"))
        await api("PATCH", f"{MAPS}/told", {"data": {"a": "2"}}, MERGE)
        await api("DELETE", f"{MAPS}/told?gracePeriodSeconds=7")
        created, patched, deleted = (request for _, request in hooks.asked)

        assert hooks.urls[0] == "/look?timeout=10s"
        assert len({request.pop("uid") for request in (created, patched, deleted)}) == 3
        stored = created.pop("object")
        assert created["userInfo"].pop("extra").keys() == {"authentication.kubernetes.io/credential-id"}
        assert created == {
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
            "name": "told",
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]},
            "dryRun": False,
            "oldObject": None,
            "options": {
                "kind": "CreateOptions",
                "apiVersion": "meta.k8s.io/v1",
                "fieldManager": "me",
                "fieldValidation": "Strict",
            },
        }
        # the validating phase sees what would be stored
        assert {"uid", "creationTimestamp", "managedFields"} < stored["metadata"].keys()
        assert (stored["kind"], stored["apiVersion"], stored["data"]) == ("ConfigMap", "v1", {"a": "1"})

        assert (patched["operation"], patched["options"]["kind"]) == ("UPDATE", "PatchOptions")
        assert (patched["oldObject"]["data"], patched["object"]["data"]) == ({"a": "1"}, {"a": "2"})
        assert (deleted["operation"], deleted["object"], deleted["name"]) == ("DELETE", None, "told")
        assert deleted["oldObject"]["data"] == {"a": "2"}
        assert deleted["options"] == {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 7}

    run(server, test)


def test_a_generated_name_is_known_to_the_second_phase_only(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add("Mutating", "before", allow)
        await hooks.add("Validating", "after", allow)
        made = await api("POST", MAPS, config_map())
        (_, first), (_, second) = hooks.asked
        assert (first["name"], first["object"]["metadata"]["generateName"]) == ("", "some-")
        assert second["name"] == made.body["metadata"]["name"]

    run(server, test)


# ---- which requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        ([rule("configmaps")], True),
        ([rule("*")], True),
        ([rule("*/*")], True),
        ([EVERYTHING], True),
        ([rule("pods configmaps", "UPDATE CREATE")], True),
        ([rule("pods"), rule("configmaps")], True),
        ([], False),
        ([rule("pods")], False),
        ([rule("configmaps/*")], True),
        ([rule("configmaps/status")], False),
        ([rule("configmaps", "UPDATE DELETE CONNECT")], False),
        ([rule("configmaps", groups="apps")], False),
        ([rule("configmaps", versions="v2")], False),
        ([rule("configmaps") | {"scope": "Namespaced"}], True),
        ([rule("configmaps") | {"scope": "Cluster"}], False),
    ],
)
def test_rules(server: Server, rules: list[JSON], asked: bool) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add("Validating", "rules", allow, rules=rules)
        assert (await api("POST", f"{MAPS}?dryRun=All", config_map("ruled"))).code == 201
        assert [name for name, _ in hooks.asked] == ["rules"] * asked

    run(server, test)


@pytest.mark.parametrize(
    ("criteria", "asked"),
    [
        ({"objectSelector": {"matchLabels": {"team": "a"}}}, True),
        ({"objectSelector": {"matchLabels": {"team": "b"}}}, False),
        ({"objectSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}, False),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}, False),
        ({"matchConditions": [{"name": "a", "expression": "object.metadata.labels.team == 'a'"}]}, True),
        ({"matchConditions": [{"name": "a", "expression": "request.operation == 'DELETE'"}]}, False),
        ({"matchConditions": [{"name": "a", "expression": "oldObject == null"}]}, True),
        ({"matchConditions": [{"name": "a", "expression": "'system:nodes' in request.userInfo.groups"}]}, False),
        (
            {
                "matchConditions": [
                    {"name": "fails", "expression": "object.spec.x == 1"},
                    {"name": "decides", "expression": "request.name != 'selected'"},
                ]
            },
            False,
        ),
        ({"matchConditions": [{"name": "f", "expression": "object.spec.x == 1"}], "failurePolicy": "Ignore"}, False),
    ],
)
def test_selectors_and_conditions(server: Server, criteria: JSON, asked: bool) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add("Validating", "selects", allow, **criteria)
        value = config_map("selected")
        value["metadata"]["labels"] = {"team": "a"}
        assert (await api("POST", f"{MAPS}?dryRun=All", value)).code == 201
        assert [name for name, _ in hooks.asked] == ["selects"] * asked

    run(server, test)


def test_a_condition_can_ask_what_else_the_user_may(server: Server) -> None:
    """Upstream's example: who may break the glass is not looked at."""

    async def test(api: Api, hooks: Webhooks) -> None:
        ask = "authorizer.group('admissionregistration.k8s.io').resource('validatingwebhookconfigurations')"
        expression = f"!{ask}.name('glass').check('breakglass').allowed()"
        await hooks.add("Validating", "glass", allow, matchConditions=[{"name": "glass", "expression": expression}])
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]
        breaks = {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations"],
            "verbs": ["breakglass"],
        }
        for name, more in (("careful", []), ("breaker", [breaks])):
            role = {"metadata": {"name": name}, "rules": [*rules, *more]}
            assert (await api("POST", f"{RBAC}/clusterroles", role)).code == 201
            binding = {
                "metadata": {"name": name},
                "roleRef": {"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"},
                "subjects": [{"kind": "User", "name": name}],
            }
            assert (await api("POST", f"{RBAC}/clusterrolebindings", binding)).code == 201
            answer = await api("POST", f"{MAPS}?dryRun=All", config_map("glass"), Impersonate_User=name)
            assert answer.code == 201, answer.message
        assert [request["userInfo"]["username"] for _, request in hooks.asked] == ["careful"]

    run(server, test)


def test_a_condition_that_fails_refuses(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        conditions = [{"name": "a", "expression": "object.spec.x == 1"}]
        await hooks.add("Validating", "unsure", allow, matchConditions=conditions)
        answer = await api("POST", MAPS, config_map("unsure"))
        why = "expression 'object.spec.x == 1' resulted in error: no such key: spec"
        assert (answer.code, answer.message) == (403, f'configmaps "unsure" is forbidden: {why}')

    run(server, test)


def test_an_equivalent_version_is_converted(server: Server) -> None:
    """autoscaling/v1 and v2 are one object in two forms: who knows one is asked about the other, in its own form."""

    async def test(api: Api, hooks: Webhooks) -> None:
        patch = patching({"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 33})
        only_v1 = [rule("horizontalpodautoscalers", groups="autoscaling", versions="v1")]
        await hooks.add("Mutating", "equivalent", patch, rules=only_v1)
        await hooks.add("Mutating", "exact", patch, rules=only_v1, matchPolicy="Exact")
        value = {
            "metadata": {"name": "scaler"},
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                    }
                ],
            },
        }
        path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
        made = await api("POST", f"{path}?dryRun=All", value)
        assert made.code == 201, made.body
        ((name, request),) = hooks.asked
        assert (name, request["kind"]["version"], request["requestKind"]["version"]) == ("equivalent", "v1", "v2")
        assert request["object"]["apiVersion"] == "autoscaling/v1"
        assert request["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
        assert made.body["apiVersion"] == "autoscaling/v2"
        assert made.body["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 33

    run(server, test)


def test_the_configuration_of_admission_is_exempt(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add("Validating", "everything", denying(message="no"), rules=[EVERYTHING])
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/everything"
        assert (await api("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE)).code == 200
        assert (await api("POST", MAPS, config_map("no"))).code == 400
        assert [request["resource"]["resource"] for _, request in hooks.asked] == ["configmaps"]

    run(server, test)


def test_a_namespace_is_selected_by_the_labels_it_is_to_have(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        selector = {"matchLabels": {"watched": "yes"}}
        rules = [rule("namespaces", "*")]
        await hooks.add("Validating", "spaces", allow, rules=rules, namespaceSelector=selector)
        for name, labels in (("seen", {"watched": "yes"}), ("unseen", {})):
            value = {"metadata": {"name": name, "labels": labels}}
            assert (await api("POST", "/api/v1/namespaces", value)).code == 201
        ((_, request),) = hooks.asked
        assert (request["name"], request["namespace"]) == ("seen", "seen")

    run(server, test)


# ---- the answer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "reason", "text"),
    [
        ({"message": "no good"}, 400, None, ": no good"),
        ({"message": "no good", "code": 403, "reason": "Forbidden"}, 403, "Forbidden", ": no good"),
        ({"reason": "NotToday"}, 400, "NotToday", ": NotToday"),
        ({"code": 200}, 400, None, " without explanation"),
        ({"code": 418, "message": "teapot"}, 418, None, ": teapot"),
    ],
)
@pytest.mark.parametrize("phase", ["Mutating", "Validating"])
def test_denial(server: Server, phase: str, status: JSON, code: int, reason: str | None, text: str) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add(phase, "strict", denying(**status))
        answer = await api("POST", MAPS, config_map("denied"))
        assert answer.message == f'admission webhook "strict.example.com" denied the request{text}'
        assert (answer.code, answer.body["code"], answer.body.get("reason")) == (code, code, reason)
        assert (await api("GET", f"{MAPS}/denied")).code == 404

    run(server, test)


def test_warnings_are_passed_on(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add("Mutating", "first", lambda _: {"allowed": True, "warnings": ["one", "two"]})
        await hooks.add("Validating", "second", lambda _: {"allowed": True, "warnings": ["two", 'say "three"']})
        answer = await api("POST", f"{MAPS}?dryRun=All", config_map("warned"))
        assert answer.warnings == ('299 - "one"', '299 - "two"', '299 - "say \\"three\\""')

    run(server, test)


def test_who_is_refused_still_hears_the_warnings(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add("Mutating", "warn", lambda _: {"allowed": True, "warnings": ["careful"]})
        await hooks.add("Validating", "deny", denying(message="no"))
        answer = await api("POST", MAPS, config_map("refused"))
        assert (answer.code, answer.warnings) == (400, ('299 - "careful"',))

    run(server, test)


def test_patches_in_the_order_of_names(server: Server) -> None:
    """Each mutating webhook sees what those before it have made; the validating ones see the outcome."""

    async def test(api: Api, hooks: Webhooks) -> None:
        def push(name: str) -> Behaviour:
            def behave(request: JSON) -> JSON:
                trail = request["object"]["data"].get("trail", "") + name
                return patching({"op": "add", "path": "/data/trail", "value": trail})(request)  # type: ignore[return-value]

            return behave

        for name in ("b2", "b1"):
            hooks.behaviours[name] = push(name)
        await hooks.configure("Mutating", "b", hooks.hook("b2"), hooks.hook("b1"))
        await hooks.add("Mutating", "a", push("a"))
        await hooks.add("Validating", "last", allow)
        made = await api("POST", f"{MAPS}?dryRun=All", config_map("trail", kept="yes"))
        assert made.body["data"] == {"kept": "yes", "trail": "ab2b1"}
        assert [name for name, _ in hooks.asked] == ["a", "b2", "b1", "last"]
        assert hooks.asked[-1][1]["object"]["data"]["trail"] == "ab2b1"

    run(server, test)


def test_a_patched_object_gets_defaults_and_passes_the_other_plugins_again(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        sidecar = {"name": "sidecar", "image": "busybox:1"}
        operations = [
            {"op": "add", "path": "/spec/containers/-", "value": sidecar},
            {"op": "add", "path": "/metadata/labels", "value": {"injected": "yes"}},
        ]
        await hooks.add("Mutating", "inject", patching(*operations), rules=[rule("pods")])
        made = await api("POST", PODS, pod("injected"))
        assert made.code == 201, made.body
        added = made.body["spec"]["containers"][1]
        assert added["imagePullPolicy"] == "IfNotPresent"
        # the ServiceAccount plugin came before the webhook, and once more after it
        assert added["volumeMounts"] == made.body["spec"]["containers"][0]["volumeMounts"]
        assert len(made.body["spec"]["volumes"]) == 1
        assert (await api("GET", f"{PODS}/injected")).body["metadata"]["labels"] == {"injected": "yes"}

    run(server, test)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([{"op": "remove", "path": "/data/none"}], "remove operation does not apply: doc is missing path: /data/none"),
        ([{"op": "test", "path": "/data/a", "value": "2"}], "testing value /data/a failed"),
        ([{"op": "add", "path": "/data/b", "value": 5}], "cannot unmarshal number"),
    ],
)
def test_patches_that_do_not_fit(server: Server, operations: list[JSON], message: str) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        # whose failure it is plays no part: it did answer
        await hooks.add("Mutating", "unfit", patching(*operations), failurePolicy="Ignore")
        answer = await api("POST", MAPS, config_map("unfit", a="1"))
        assert answer.code == 500
        assert message in answer.message

    run(server, test)


def test_no_patch_moves_an_object_to_another_namespace(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add("Mutating", "move", patching({"op": "add", "path": "/metadata/namespace", "value": "other"}))
        answer = await api("POST", MAPS, config_map("moved"))
        assert answer.code == 400
        assert answer.message == "the namespace of the provided object does not match the namespace sent on the request"

    run(server, test)


def test_a_deletion_cannot_be_patched(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await api("POST", MAPS, config_map("kept"))
        await hooks.add("Mutating", "patcher", patching({"op": "add", "path": "/data", "value": {}}))
        answer = await api("DELETE", f"{MAPS}/kept")
        why = 'admission webhook "patcher.example.com" attempted to modify the object'
        assert answer.message == f"Internal error occurred: {why}, which is not supported for this operation"
        assert (await api("GET", f"{MAPS}/kept")).code == 200

    run(server, test)


def test_reinvocation(server: Server) -> None:
    """Of two that watch each other's work, the one that wants so is asked a second time; there is no third."""

    async def test(api: Api, hooks: Webhooks) -> None:
        def count(name: str) -> Behaviour:
            def behave(request: JSON) -> JSON:
                number = int(request["object"]["data"].get(name, "0")) + 1
                return patching({"op": "add", "path": f"/data/{name}", "value": str(number)})(request)  # type: ignore[return-value]

            return behave

        await hooks.add("Mutating", "a", count("a"), reinvocationPolicy="IfNeeded")
        await hooks.add("Mutating", "b", count("b"), reinvocationPolicy="IfNeeded")
        await hooks.add("Mutating", "c", count("c"))
        made = await api("POST", f"{MAPS}?dryRun=All", config_map("again", x="y"))
        assert [name for name, _ in hooks.asked] == ["a", "b", "c", "a", "b"]
        assert made.body["data"] == {"x": "y", "a": "2", "b": "2", "c": "1"}

    run(server, test)


def test_no_reinvocation_without_a_change_after_it(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        change = patching({"op": "add", "path": "/data/changed", "value": "yes"})
        await hooks.add("Mutating", "a", change)
        await hooks.add("Mutating", "b", allow, reinvocationPolicy="IfNeeded")
        await api("POST", f"{MAPS}?dryRun=All", config_map("once", x="y"))
        assert [name for name, _ in hooks.asked] == ["a", "b"]

    run(server, test)


# ---- failures ----------------------------------------------------------------------------------------------------


def not_json(_: JSON) -> bytes:
    return b"not JSON"


def raising(error: type[web.HTTPException], text: str | None = None) -> Behaviour:
    def behave(_: JSON) -> JSON:
        raise error(text=text)

    return behave


def raw(value: JSON) -> Behaviour:
    return lambda _: orjson.dumps(value)


@pytest.mark.parametrize(
    ("phase", "behaviour", "message"),
    [
        ("Validating", raising(web.HTTPNotFound), "failed to call webhook: the server could not find the requested"),
        (
            "Validating",
            raising(web.HTTPInternalServerError, "boom"),
            'failed to call webhook: an error on the server ("boom") has prevented the request from succeeding',
        ),
        ("Validating", not_json, "received invalid webhook response: couldn't get version/kind; json parse error"),
        ("Validating", raw({}), "received invalid webhook response: webhook response was absent"),
        ("Validating", lambda _: {"uid": "x", "allowed": True}, 'response.uid="'),
        (
            "Validating",
            lambda request: orjson.dumps({"response": {"uid": request["uid"], "allowed": True}}),
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
        ),
        (
            "Validating",
            lambda _: {"allowed": True, "patchType": "JSONPatch"},
            "validating webhook may not return response.patchType",
        ),
        (
            "Mutating",
            lambda _: {"allowed": True, "patchType": "JSONPatch"},
            "webhook returned response.patchType but not response.patch",
        ),
        (
            "Mutating",
            lambda _: {"allowed": True, "patch": base64.b64encode(b"[]").decode()},
            "webhook returned response.patch but not response.patchType",
        ),
        (
            "Mutating",
            lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(b"{").decode()},
            "received undecodable patch in webhook response",
        ),
        (
            "Mutating",
            lambda _: {"allowed": True, "patchType": "Merge", "patch": base64.b64encode(b"[{}]").decode()},
            'unsupported patch type "Merge"',
        ),
    ],
)
def test_answers_that_do_not_count(server: Server, phase: str, behaviour: Behaviour, message: str) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add(phase, "broken", behaviour)
        answer = await api("POST", MAPS, config_map("broken"))
        assert (answer.code, answer.body["reason"]) == (500, "InternalError")
        assert answer.message.startswith('Internal error occurred: failed calling webhook "broken.example.com": ')
        assert message in answer.message
        await hooks.clear()
        await hooks.add(phase, "broken", behaviour, failurePolicy="Ignore")
        assert (await api("POST", f"{MAPS}?dryRun=All", config_map("broken"))).code == 201

    run(server, test)


def test_webhooks_that_cannot_be_reached(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        stranger = base64.b64encode(Authority.create("somebody else").pem).decode()
        nobody = f"https://127.0.0.1:{free_port()}/validate"
        for config, why in (
            (
                {"url": nobody, "caBundle": hooks.bundle},
                f'Post "{nobody}?timeout=10s": dial tcp {nobody[8:-9]}: connect: connection refused',
            ),
            (
                {"url": f"{hooks.url}/x", "caBundle": stranger},
                f'Post "{hooks.url}/x?timeout=10s": tls: failed to verify certificate: x509: certificate signed by'
                " unknown authority",
            ),
        ):
            await hooks.add("Validating", "away", allow, clientConfig=config)
            answer = await api("POST", MAPS, config_map("away"))
            text = 'Internal error occurred: failed calling webhook "away.example.com": failed to call webhook: '
            assert (answer.code, answer.message) == (500, text + why)
            await hooks.clear()

    run(server, test)


def test_a_webhook_that_says_nothing(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        over = asyncio.Event()

        async def wait(_: JSON) -> JSON:
            await over.wait()
            return {"allowed": True}

        await hooks.add("Validating", "silent", wait, timeoutSeconds=1)
        answer = await api("POST", MAPS, config_map("silent"))
        over.set()
        assert answer.message == (
            'Internal error occurred: failed calling webhook "silent.example.com": failed to call webhook: Post'
            f' "{hooks.url}/silent?timeout=1s": context deadline exceeded'
        )

    run(server, test)


def test_validating_webhooks_are_asked_at_the_same_time(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        both = asyncio.Barrier(2)

        async def meet(_: JSON) -> JSON:
            await both.wait()
            return {"allowed": True}

        await hooks.add("Validating", "one", meet)
        await hooks.add("Validating", "two", meet)
        assert (await api("POST", f"{MAPS}?dryRun=All", config_map("met"))).code == 201

    run(server, test)


def test_dry_runs_are_for_webhooks_without_side_effects(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await hooks.add("Validating", "quiet", allow, sideEffects="NoneOnDryRun")
        assert (await api("POST", f"{MAPS}?dryRun=All", config_map("dry"))).code == 201
        assert hooks.asked[0][1]["dryRun"] is True
        assert hooks.asked[0][1]["options"]["dryRun"] == ["All"]

    run(server, test)


def test_v1beta1_reviews_have_their_own_rules(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        patch = base64.b64encode(orjson.dumps([{"op": "add", "path": "/data/old", "value": "style"}])).decode()
        answer = raw({"response": {"allowed": True, "patch": patch}})
        await hooks.add("Mutating", "beta", answer, admissionReviewVersions=["v7", "v1beta1"])
        made = await api("POST", f"{MAPS}?dryRun=All", config_map("beta", x="y"))
        assert made.body["data"] == {"x": "y", "old": "style"}

    run(server, test)


def test_an_update_by_any_kind_of_patch_is_asked_about(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        await api("POST", MAPS, config_map("patched", a="1"))
        await hooks.add("Mutating", "stamp", patching({"op": "add", "path": "/data/stamp", "value": "x"}))
        done = await api("PATCH", f"{MAPS}/patched", [{"op": "add", "path": "/data/b", "value": "2"}], JSON_PATCH)
        assert done.body["data"] == {"a": "1", "b": "2", "stamp": "x"}
        apply: Any = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "patched"}, "data": {"c": "3"}}
        done = await api("PATCH", f"{MAPS}/patched?fieldManager=me", apply, "application/apply-patch+yaml")
        assert done.body["data"] == {"a": "1", "b": "2", "c": "3", "stamp": "x"}
        operations = {(request["operation"], request["options"]["kind"]) for _, request in hooks.asked}
        assert operations == {("UPDATE", "PatchOptions")}

    run(server, test)


# ---- subresources ------------------------------------------------------------------------------------------------


def test_a_scale_is_shown_as_a_scale_and_can_be_changed(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        path = "/apis/apps/v1/namespaces/default/deployments"
        assert (await api("POST", path, deployment("scaled", replicas=1))).code == 201
        cap = patching({"op": "replace", "path": "/spec/replicas", "value": 4})
        rules = [rule("deployments/scale", "UPDATE", groups="apps")]
        await hooks.add("Mutating", "cap", cap, rules=rules)
        await hooks.add("Validating", "look", allow, rules=rules)
        done = await api("PATCH", f"{path}/scaled/scale", {"spec": {"replicas": 9}}, MERGE)
        assert (done.code, done.body["spec"]["replicas"]) == (200, 4)
        (_, first), (_, second) = hooks.asked
        assert first["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert first["resource"] == {"group": "apps", "version": "v1", "resource": "deployments"}
        assert (first["subResource"], first["requestSubResource"], first["name"]) == ("scale", "scale", "scaled")
        assert [row["spec"]["replicas"] for row in (first["oldObject"], first["object"], second["object"])] == [1, 9, 4]
        assert (await api("GET", f"{path}/scaled")).body["spec"]["replicas"] == 4

    run(server, test)


def test_connections_bindings_and_evictions_can_be_refused(server: Server) -> None:
    async def test(api: Api, hooks: Webhooks) -> None:
        assert (await api("POST", PODS, pod("guarded"))).code == 201
        resources = "pods/exec pods/attach pods/portforward pods/binding pods/eviction"
        await hooks.add("Validating", "no", denying(message="no"), rules=[rule(resources, "*")])
        for method, path, body in (
            ("GET", "exec?command=sh&command=-c&stdin=true&tty=1&container=main", None),
            ("GET", "attach?stdout=true", None),
            ("GET", "portforward?ports=80", None),
            ("POST", "binding", {"metadata": {"name": "guarded"}, "target": {"name": "n1"}}),
            ("POST", "eviction", {"metadata": {"name": "guarded"}}),
        ):
            answer = await api(method, f"{PODS}/guarded/{path}", body)
            assert answer.message == 'admission webhook "no.example.com" denied the request: no'
        asked = [(row["kind"]["kind"], row["operation"], row["oldObject"]) for _, row in hooks.asked]
        assert asked == [
            ("PodExecOptions", "CONNECT", None),
            ("PodAttachOptions", "CONNECT", None),
            ("PodPortForwardOptions", "CONNECT", None),
            ("Binding", "CREATE", None),
            ("Eviction", "CREATE", None),
        ]
        streams = {"stdin": True, "tty": True, "container": "main", "command": ["sh", "-c"]}
        assert hooks.asked[0][1]["object"] == {"kind": "PodExecOptions", "apiVersion": "v1", **streams}
        assert hooks.asked[2][1]["object"]["ports"] == [80]

    run(server, test)
