"""ValidatingAdmissionPolicies at a running server: which requests they refuse, with what, and in which words."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from apiserver_harness import MERGE, Answer, Api, Server, deployment, running
from webhook_harness import JSON, REGISTRATION, rule

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"

Test = Callable[[Api], Awaitable[None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("policies")) as found:
        yield found


@asynccontextmanager
async def policy(api: Api, spec: JSON, *bindings: JSON, name: str = "policy") -> AsyncIterator[None]:
    """A policy about Deployments, and its bindings (one that denies, if none is given), for a while."""
    made = []
    spec = {"matchConstraints": {"resourceRules": [rule("deployments", "CREATE UPDATE", groups="apps")]}, **spec}
    rows = [("validatingadmissionpolicies", name, spec)]
    for index, binding in enumerate(bindings or ({},)):
        row = {"policyName": name, "validationActions": ["Deny"], **binding}
        rows.append(("validatingadmissionpolicybindings", f"{name}-{index}", row))
    try:
        for plural, called, content in rows:
            answer = await api("POST", f"{REGISTRATION}/{plural}", {"metadata": {"name": called}, "spec": content})
            assert answer.code == 201, answer.body
            made.append(f"{REGISTRATION}/{plural}/{called}")
        yield
    finally:
        for path in made:
            await api("DELETE", path)


async def deploy(api: Api, replicas: int, name: str = "web") -> Answer:
    """What becomes of a Deployment, which is not kept."""
    return await api("POST", f"{DEPLOYMENTS}?dryRun=All", deployment(name, replicas))


def validations(expression: str, **more: Any) -> JSON:
    return {"validations": [{"expression": expression, **more}]}


def denied(why: str) -> str:
    """The message of a refusal."""
    return (
        "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'policy' with binding 'policy-0' denied"
        f" request: {why}"
    )


def test_a_validation_that_fails_refuses(server: Server) -> None:
    async def test(api: Api) -> None:
        async with policy(api, validations("object.spec.replicas <= 5")):
            assert (await deploy(api, 5)).code == 201
            answer = await deploy(api, 6)
            message = denied("failed expression: object.spec.replicas <= 5")
            assert (answer.code, answer.body["reason"], answer.message) == (422, "Invalid", message)
            cause = message.removeprefix('deployments.apps "web" is forbidden: ')
            details = {"name": "web", "group": "apps", "kind": "deployments", "causes": [{"message": cause}]}
            assert answer.body["details"] == details
        assert (await deploy(api, 6)).code == 201

    server.run(test)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (validations("false", message=" fixed "), "fixed"),
        (validations("false", message="fixed", messageExpression="'not ' + string(object.spec.replicas)"), "not 3"),
        (validations("false", message="fixed", messageExpression="object.nothing"), "fixed"),
        (validations("false", messageExpression="'a\\nb'"), "failed expression: false"),
        (
            validations("object.metadata.name.startsWith('x')"),
            "failed expression: object.metadata.name.startsWith('x')",
        ),
        (
            validations("object.spec.nothing > 3"),
            "expression 'object.spec.nothing > 3' resulted in error: no such key: nothing",
        ),
        (
            {
                "variables": [
                    {"name": "wanted", "expression": "object.spec.replicas"},
                    {"name": "twice", "expression": "variables.wanted * 2"},
                ],
                **validations("variables.twice < 6", messageExpression="string(variables.twice) + ' is too much'"),
            },
            "6 is too much",
        ),
        (
            {
                "variables": [{"name": "bad", "expression": "object.spec.nothing"}],
                **validations("variables.bad == 1"),
            },
            "expression 'variables.bad == 1' resulted in error: composited variable \"bad\" fails to evaluate:"
            " expression 'object.spec.nothing' resulted in error: no such key: nothing",
        ),
        ({"validations": [{"expression": "true"}, {"expression": "1 > 2"}]}, "failed expression: 1 > 2"),
        (
            {"matchConditions": [{"name": "c", "expression": "object.x == 1"}], **validations("true")},
            "expression 'object.x == 1' resulted in error: no such key: x",
        ),
    ],
)
def test_messages(server: Server, spec: JSON, why: str) -> None:
    async def test(api: Api) -> None:
        async with policy(api, spec):
            assert (await deploy(api, 3)).message == denied(why)

    server.run(test)


@pytest.mark.parametrize(
    "spec",
    [
        validations("object.spec.nothing > 3") | {"failurePolicy": "Ignore"},
        {"variables": [{"name": "bad", "expression": "object.spec.nothing"}], **validations("true || variables.bad")},
        {"matchConditions": [{"name": "c", "expression": "request.name != 'web'"}], **validations("false")},
        validations("namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == 'default'"),
        validations("oldObject == null && request.operation == 'CREATE' && params == null")
        | {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}},
        validations("'system:masters' in request.userInfo.groups && request.dryRun"),
        validations("authorizer.requestResource.check('create').allowed()"),
        validations("authorizer.path('/metrics').check('get').allowed()"),
        validations(
            "!authorizer.serviceAccount('default', 'x').group('apps').resource('deployments').subresource('status')"
            ".namespace('default').name('web').check('update').allowed()"
        ),
        validations("object.spec.template.spec.containers.all(c, c.image.startsWith('nginx'))"),
        {"matchConstraints": {"resourceRules": [rule("pods")]}, **validations("false")},
        {
            "matchConstraints": {
                "resourceRules": [rule("*", groups="*")],
                "excludeResourceRules": [rule("deployments", groups="apps")],
            },
            **validations("false"),
        },
        {
            "matchConstraints": {
                "resourceRules": [rule("deployments", groups="apps") | {"resourceNames": ["other"]}],
            },
            **validations("false"),
        },
        {
            "matchConstraints": {
                "resourceRules": [rule("deployments", groups="apps")],
                "objectSelector": {"matchLabels": {"a": "b"}},
            },
            **validations("false"),
        },
    ],
)
def test_what_passes(server: Server, spec: JSON) -> None:
    async def test(api: Api) -> None:
        async with policy(api, spec):
            answer = await deploy(api, 3)
            assert answer.code == 201, answer.message

    server.run(test)


@pytest.mark.parametrize(("reason", "code"), [("Forbidden", 403), ("Invalid", 422), ("RequestEntityTooLarge", 413)])
def test_reasons(server: Server, reason: str, code: int) -> None:
    async def test(api: Api) -> None:
        async with policy(api, validations("false", reason=reason)):
            answer = await deploy(api, 1)
            assert (answer.code, answer.body["reason"]) == (code, reason)

    server.run(test)


def test_the_status_says_what_has_been_compiled(server: Server) -> None:
    async def test(api: Api) -> None:
        path = f"{REGISTRATION}/validatingadmissionpolicies/policy"
        async with policy(api, validations("true")):
            assert (await api("GET", path)).body["status"] == {"observedGeneration": 1, "typeChecking": {}}
            changed = await api("PATCH", path, {"spec": validations("1 < 2")}, MERGE)
            assert (changed.body["metadata"]["generation"], changed.body["status"]["observedGeneration"]) == (2, 2)
            labelled = await api("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE)
            assert (labelled.body["metadata"]["generation"], labelled.body["status"]["observedGeneration"]) == (2, 2)

    server.run(test)


def test_bindings_say_where_and_what_follows(server: Server) -> None:
    async def test(api: Api) -> None:
        nowhere = {"matchResources": {"namespaceSelector": {"matchLabels": {"watched": "yes"}}}}
        async with policy(api, validations("false"), nowhere):
            assert (await deploy(api, 1)).code == 201
        async with policy(api, validations("false", message="no"), {"validationActions": ["Warn", "Audit"]}):
            answer = await deploy(api, 1)
            text = "Validation failed for ValidatingAdmissionPolicy 'policy' with binding 'policy-0': no"
            assert (answer.code, answer.warnings) == (201, (f'299 - "{text}"',))
        async with policy(api, validations("false"), {"policyName": "another"}):
            assert (await deploy(api, 1)).code == 201

    server.run(test)


# ---- parameters --------------------------------------------------------------------------------------------------


LIMIT = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, **validations("object.spec.replicas <= int(params.data.most)")}  # fmt: skip  # noqa: E501


def by_name(name: str, otherwise: str = "Deny", **more: str) -> JSON:
    return {"paramRef": {"name": name, "parameterNotFoundAction": otherwise, **more}}


def test_parameters_by_name(server: Server) -> None:
    async def test(api: Api) -> None:
        value = {"metadata": {"name": "limit", "labels": {"limits": "yes"}}, "data": {"most": "2"}}
        assert (await api("POST", MAPS, value)).code == 201
        async with policy(api, LIMIT, by_name("limit")):
            assert (await deploy(api, 2)).code == 201
            assert (await deploy(api, 3)).code == 422
            assert (await api("PATCH", f"{MAPS}/limit", {"data": {"most": "3"}}, MERGE)).code == 200
            assert (await deploy(api, 3)).code == 201
        async with policy(api, LIMIT, by_name("limit", namespace="kube-system")):
            why = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
            assert (await deploy(api, 3)).message == denied(why)
        async with policy(api, LIMIT, by_name("none", "Allow")):
            assert (await deploy(api, 9)).code == 201

    server.run(test)


def test_parameters_by_selector(server: Server) -> None:
    async def test(api: Api) -> None:
        for name, most in (("loose", "9"), ("tight", "4")):
            value = {"metadata": {"name": name, "labels": {"for": "selector"}}, "data": {"most": most}}
            assert (await api("POST", MAPS, value)).code == 201
        chosen = {"selector": {"matchLabels": {"for": "selector"}}, "parameterNotFoundAction": "Deny"}
        async with policy(api, LIMIT, {"paramRef": chosen}):
            assert (await deploy(api, 4)).code == 201
            assert (await deploy(api, 5)).code == 422

    server.run(test)


def test_parameters_of_a_kind_that_nobody_serves(server: Server) -> None:
    async def test(api: Api) -> None:
        spec = {**validations("true"), "paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"}}
        async with policy(api, spec, by_name("x")):
            assert (await deploy(api, 3)).message == (
                "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'policy' denied request: failed to"
                " configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'"
            )

    server.run(test)
