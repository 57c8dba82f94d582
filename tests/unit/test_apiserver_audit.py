"""The audit log of a running server, at each level and stage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from apiserver_harness import JSON, MERGE, Api, Server, pod, running
from webhook_harness import REGISTRATION, allow, denying, patching, rule, webhooks

from knet.api.resources import CONFIGMAPS, NAMESPACES, PODS, SERVICEACCOUNTS
from knet.apiserver.audit.policy import DEFAULT, Policy, parse

#: differ from run to run
_VARYING = ("auditID", "requestReceivedTimestamp", "stageTimestamp", "userAgent", "sourceIPs")


class Log:
    """What a server has told so far."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def events(self, **wanted: Any) -> list[JSON]:
        """The events with these fields, without what differs from run to run."""
        found = []
        for line in self._path.read_bytes().splitlines():
            event = orjson.loads(line)
            assert (event["kind"], event["apiVersion"]) == ("Event", "audit.k8s.io/v1")
            event["user"].pop("extra", None)  # which certificate was shown
            if all(event.get(key) == value for key, value in wanted.items()):
                found.append({key: item for key, item in event.items() if key not in (*_VARYING, "kind", "apiVersion")})
        return found


@contextmanager
def audited(directory: Path, policy: Policy = DEFAULT) -> Iterator[tuple[Server, Log]]:
    path = directory / "audit.log"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        with running(directory, audit_fds=[file], audit_policy=policy) as server:
            yield server, Log(path)
    finally:
        os.close(file)


ADMIN = {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]}
ALLOWED = {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""}


def test_each_request_is_a_line(tmp_path: Path) -> None:
    with audited(tmp_path) as (server, log):

        async def test(api: Api) -> None:
            assert (await api("POST", PODS.path("default"), pod("web"))).code == 201
            assert (await api("GET", PODS.path("default", "web") + "?pretty=false", User_Agent="me/1")).code == 200
            assert (await api("DELETE", PODS.path("default", "none"), Audit_ID="mine")).code == 404

        server.run(test)
        [made] = log.events(verb="create", requestURI="/api/v1/namespaces/default/pods")
        assert made == {
            "level": "Metadata",
            "stage": "ResponseComplete",
            "requestURI": "/api/v1/namespaces/default/pods",
            "verb": "create",
            "user": ADMIN,
            "objectRef": {"resource": "pods", "namespace": "default", "name": "web", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 201},
            "annotations": {**ALLOWED, "pod-security.kubernetes.io/enforce-policy": "privileged:latest"},
        }
        [got] = log.events(userAgent="me/1")
        assert got["requestURI"] == "/api/v1/namespaces/default/pods/web?pretty=false"
        [missed] = log.events(auditID="mine")
        assert missed["responseStatus"] == {
            "metadata": {},
            "status": "Failure",
            "message": 'pods "none" not found',
            "reason": "NotFound",
            "details": {"name": "none", "kind": "pods"},
            "code": 404,
        }
        assert log.events(sourceIPs=["127.0.0.1"], requestURI="/readyz")


def test_who_may_not_is_told_as_who_asked(tmp_path: Path) -> None:
    jane = {"Impersonate_User": "jane", "Impersonate_Group": "dev"}

    async def acting(api: Api) -> None:
        assert (await api("GET", PODS.path("default"), **jane)).code == 403
        assert (await api("GET", CONFIGMAPS.path("default"), Impersonate_Uid="x")).code == 400

    async def unknown(api: Api) -> None:
        assert (await api("GET", PODS.path("default"))).code == 403
        assert (await api("GET", PODS.path("kube-system"), Authorization="Bearer nobody's")).code == 401

    with audited(tmp_path) as (server, log):
        server.run(acting)
        server.run(unknown, name="")
        refused, anonymous = log.events(verb="list", requestURI="/api/v1/namespaces/default/pods")
        assert refused["user"] == ADMIN
        assert refused["impersonatedUser"] == {"username": "jane", "groups": ["dev", "system:authenticated"]}
        assert refused["annotations"]["authorization.k8s.io/decision"] == "forbid"
        assert refused["responseStatus"]["reason"] == "Forbidden"
        assert anonymous["user"] == {"username": "system:anonymous", "groups": ["system:unauthenticated"]}
        [meaningless] = log.events(requestURI="/api/v1/namespaces/default/configmaps")
        assert meaningless["responseStatus"]["code"] == 400 and "annotations" not in meaningless
        [nobody] = log.events(requestURI="/api/v1/namespaces/kube-system/pods")
        assert (nobody["stage"], nobody["user"]) == ("ResponseStarted", {})
        assert nobody["responseStatus"] == {
            "metadata": {},
            "status": "Failure",
            "message": "Unauthorized",
            "reason": "Unauthorized",
            "code": 401,
        }


def test_what_lasts_is_told_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        async with api.session.get(f"{api.url}{PODS.path('default')}?watch=1") as response:
            assert response.status == 200
            assert [row["stage"] for row in log.events(verb="watch")] == ["ResponseStarted"]
        async with api.session.get(f"{api.url}{PODS.path('default')}?watch=1&timeoutSeconds=1") as response:
            await response.read()

    with audited(tmp_path) as (server, log):
        server.run(test)
    assert (
        sorted(row["stage"] for row in log.events(verb="watch")) == ["ResponseComplete"] * 2 + ["ResponseStarted"] * 2
    )


BODIES = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: ["*"]}
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}]}
- {level: Request, resources: [{group: "", resources: [namespaces, serviceaccounts]}]}
"""


def test_bodies_are_told_where_the_policy_wants_them(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        path = CONFIGMAPS.path("default")
        assert (await api("POST", path, b"metadata: {name: a}\ndata: {x: y}", "application/yaml")).code == 201
        assert (await api("PATCH", path + "/a", {"data": {"x": "z"}}, MERGE)).code == 200
        assert (await api("GET", path)).code == 200
        assert (await api("DELETE", path + "/a", {"gracePeriodSeconds": 0})).code == 200
        assert (await api("POST", path, b'{"metadata": {"name": "b"}')).code == 400
        assert (await api("POST", NAMESPACES.path(), {"metadata": {"name": "shop"}})).code == 201
        assert (await api("GET", PODS.path("default"))).code == 200

    with audited(tmp_path, parse(BODIES)) as (server, log):
        server.run(test)
    assert not log.events(requestURI="/readyz") and not log.events(requestURI=PODS.path("default"))
    received, made, _, broken = log.events(verb="create", requestURI=CONFIGMAPS.path("default"))
    assert (received["stage"], made["stage"]) == ("RequestReceived", "ResponseComplete")
    assert "requestObject" not in received and "responseStatus" not in received
    sent = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"x": "y"}}
    assert made["requestObject"] == sent
    assert made["responseObject"]["data"] == {"x": "y"} and made["responseObject"]["metadata"]["uid"]
    assert "managedFields" not in made["responseObject"]["metadata"]
    assert "requestObject" not in broken and broken["responseObject"]["reason"] == "BadRequest"
    [patched] = log.events(verb="patch", stage="ResponseComplete")
    assert patched["requestObject"] == {"data": {"x": "z"}}
    [listed] = log.events(verb="list", stage="ResponseComplete")
    assert [row["metadata"]["name"] for row in listed["responseObject"]["items"]] == ["kube-root-ca.crt", "a"][1:]
    [deleted] = log.events(verb="delete", stage="ResponseComplete")
    assert deleted["requestObject"]["gracePeriodSeconds"] == 0
    assert deleted["responseStatus"]["status"] == "Success" and deleted["responseObject"]["kind"] == "Status"
    [namespace] = log.events(verb="create", requestURI=NAMESPACES.path(), stage="ResponseComplete")
    assert namespace["requestObject"]["metadata"]["name"] == "shop" and "responseObject" not in namespace
    assert log.events(verb="create", requestURI=SERVICEACCOUNTS.path("default"), stage="ResponseComplete")


def test_admission_annotates(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        labels = {"pod-security.kubernetes.io/audit": "restricted"}
        assert (
            await api("PATCH", NAMESPACES.path(name="default"), {"metadata": {"labels": labels}}, MERGE)
        ).code == 200
        assert (await api("POST", PODS.path("default"), pod("loose"))).code == 201
        spec = {
            "matchConstraints": {"resourceRules": [rule("configmaps")]},
            "validations": [{"expression": "true"}, {"expression": "object.data.x == 'z'", "message": "x is not z"}],
            "auditAnnotations": [{"key": "x", "valueExpression": "'x is ' + object.data.x"}],
        }
        binding = {"policyName": "told", "validationActions": ["Audit"]}
        for plural, content in (
            ("validatingadmissionpolicies", spec),
            ("validatingadmissionpolicybindings", binding),
        ):
            value = {"metadata": {"name": "told"}, "spec": content}
            assert (await api("POST", f"{REGISTRATION}/{plural}", value)).code == 201
        async with webhooks(api, tmp_path) as hooks:
            change = patching({"op": "add", "path": "/data/x", "value": "y"})
            await hooks.add("Mutating", "patch", change, rules=[rule("configmaps")])
            await hooks.add("Validating", "note", lambda _: {**allow(_), "auditAnnotations": {"seen": "yes"}})
            await hooks.add("Validating", "open", lambda _: b"nonsense", failurePolicy="Ignore")
            assert (await api("POST", CONFIGMAPS.path("default"), {"metadata": {"name": "a"}, "data": {}})).code == 201
            await hooks.add("Validating", "strict", denying(message="no"))
            assert (await api("DELETE", CONFIGMAPS.path("default", "a"))).code == 400

    with audited(tmp_path, parse("{kind: Policy, apiVersion: audit.k8s.io/v1, rules: [{level: Request}]}")) as (
        server,
        log,
    ):
        server.run(test)
    [loose] = log.events(verb="create", requestURI=PODS.path("default"), stage="ResponseComplete")
    assert loose["annotations"]["pod-security.kubernetes.io/audit-violations"].startswith(
        'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
    )
    [made] = log.events(verb="create", requestURI=CONFIGMAPS.path("default"), stage="ResponseComplete")
    found = {key: item for key, item in made["annotations"].items() if key not in ALLOWED}
    names = {"configuration": "patch", "webhook": "patch.example.com"}
    assert orjson.loads(found.pop("mutation.webhook.admission.k8s.io/round_0_index_0")) == {**names, "mutated": True}
    assert orjson.loads(found.pop("patch.webhook.admission.k8s.io/round_0_index_0")) == {
        **names,
        "patch": [{"op": "add", "path": "/data/x", "value": "y"}],
        "patchType": "JSONPatch",
    }
    assert orjson.loads(found.pop("validation.policy.admission.k8s.io/validation_failure")) == [
        {
            "message": "x is not z",
            "policy": "told",
            "binding": "told",
            "expressionIndex": 1,
            "validationActions": ["Audit"],
        }
    ]
    assert found == {
        "told/x": "x is y",
        "note.example.com/seen": "yes",
        "failed-open.validating.webhook.admission.k8s.io/round_0_index_1": "open.example.com",
    }
    [refused] = log.events(verb="delete", requestURI=CONFIGMAPS.path("default", "a"), stage="ResponseComplete")
    assert refused["responseStatus"]["code"] == 400
