"""Documents: what discovery, OpenAPI and OpenID say, to clients that believe every word."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from apiserver_harness import Api, Server, running
from custom_harness import GROUP, define, definition
from examples import EXAMPLES
from kubectl_harness import Kubectl, needs_kubectl
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV30SpecValidator

from knet.api.definitions import first_type, load_definitions
from knet.api.resources import RESOURCES
from knet.apiserver.openapi.enums import ENUMS

PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
#: what `kubectl api-resources -o wide` prints of kube-apiserver 1.32
GOLDEN = Path(__file__).with_name("golden_api_resources.txt")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    async def prepare(api: Api) -> None:
        await define(api, definition("crontabs", "CronTab"))

    with running(tmp_path_factory.mktemp("documents")) as found:
        found.run(prepare)
        yield found


async def fetched(api: Api, path: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    """Code, headers and body, not redirected."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    async with api.session.get(api.url + path, headers=sent, allow_redirects=False) as response:
        return response.status, response.headers, await response.read()


def operations(document: Any) -> dict[str, Any]:
    """operationId → operation."""
    items = [item for path in document["paths"].values() for key, item in path.items() if key != "parameters"]
    assert len({item["operationId"] for item in items}) == len(items)
    return {item["operationId"]: item for item in items}


def test_openapi_documents_are_valid(server: Server) -> None:
    async def test(api: Api) -> None:
        index = (await api("GET", "/openapi/v3")).body["paths"]
        assert set(index) == {row.root.removeprefix("/") for row in RESOURCES} | {f"apis/{GROUP}/v1"}
        ids: set[str] = set()
        for entry in index.values():
            document = (await api("GET", entry["serverRelativeURL"])).body
            assert [error.message for error in OpenAPIV30SpecValidator(document).iter_errors()] == []
            ids |= set(operations(document))
        second = (await api("GET", "/openapi/v2")).body
        assert [error.message for error in OpenAPIV2SpecValidator(second).iter_errors()] == []
        assert set(operations(second)) == ids

    server.run(test)


@pytest.mark.parametrize(
    ("group", "id_", "action", "kind"),
    [
        ("api/v1", "listCoreV1NamespacedPod", "list", ("", "v1", "Pod")),
        ("api/v1", "listCoreV1PodForAllNamespaces", "list", ("", "v1", "Pod")),
        ("api/v1", "createCoreV1Node", "post", ("", "v1", "Node")),
        ("api/v1", "replaceCoreV1NamespacedPodStatus", "put", ("", "v1", "Pod")),
        ("api/v1", "deleteCoreV1CollectionNamespacedPod", "deletecollection", ("", "v1", "Pod")),
        ("api/v1", "connectCoreV1PostNamespacedPodExec", "connect", ("", "v1", "PodExecOptions")),
        ("api/v1", "createCoreV1NamespacedPodEviction", "post", ("policy", "v1", "Eviction")),
        ("apis/apps/v1", "readAppsV1NamespacedDeploymentScale", "get", ("autoscaling", "v1", "Scale")),
        (
            "apis/rbac.authorization.k8s.io/v1",
            "patchRbacAuthorizationV1ClusterRole",
            "patch",
            ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
        ),
        (f"apis/{GROUP}/v1", "readComExampleStableV1NamespacedCronTab", "get", (GROUP, "v1", "CronTab")),
    ],
)
def test_operations_are_named_as_upstreams(
    server: Server, group: str, id_: str, action: str, kind: tuple[str, str, str]
) -> None:
    async def test(api: Api) -> None:
        operation = operations((await api("GET", f"/openapi/v3/{group}")).body)[id_]
        assert operation["x-kubernetes-action"] == action
        assert tuple(operation["x-kubernetes-group-version-kind"].values()) == kind

    server.run(test)


def test_schemas_say_how_they_are_merged(server: Server) -> None:
    async def test(api: Api) -> None:
        schemas = (await api("GET", "/openapi/v3/api/v1")).body["components"]["schemas"]
        containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
        assert containers["x-kubernetes-patch-merge-key"] == "name"
        assert containers["x-kubernetes-patch-strategy"] == "merge"
        assert (containers["x-kubernetes-list-type"], containers["x-kubernetes-list-map-keys"]) == ("map", ["name"])
        pod = schemas["io.k8s.api.core.v1.Pod"]
        assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "version": "v1", "kind": "Pod"}]

    server.run(test)


def test_every_enumeration_is_of_a_field_that_there_is() -> None:
    definitions = load_definitions()
    for place in ENUMS:
        name, _, key = place.removesuffix("[]").rpartition(".")
        property_ = definitions[name]["properties"][key]
        assert first_type(property_["items"] if place.endswith("[]") else property_) == "string", place


def test_openapi_documents_can_be_kept(server: Server) -> None:
    async def test(api: Api) -> None:
        url = (await api("GET", "/openapi/v3")).body["paths"]["apis/apps/v1"]["serverRelativeURL"]
        path, _, hash_ = url.partition("?hash=")
        code, headers, _ = await fetched(api, url, Accept_Encoding="gzip")
        assert (code, headers["ETag"], headers["Content-Encoding"]) == (200, f'"{hash_}"', "gzip")
        assert headers["Cache-Control"] == "public, immutable" and headers["Expires"].endswith("GMT")
        code, headers, body = await fetched(api, url, If_None_Match=f'"{hash_}"')
        assert (code, body) == (304, b"")
        code, headers, _ = await fetched(api, f"{path}?hash=OLD")
        assert (code, headers["Location"]) == (301, url)
        assert "Expires" not in (await fetched(api, path))[1]
        code, _, body = await fetched(api, path, Accept="application/xml")
        assert (code, json.loads(body)["reason"]) == (406, "NotAcceptable")

    server.run(test)


@pytest.mark.parametrize("accept", [PROTOBUF, PROTOBUF.replace("v2.v1.0", "v2@v1.0")])
def test_openapi_v2_is_given_in_protobuf(server: Server, accept: str) -> None:
    async def test(api: Api) -> None:
        code, headers, body = await fetched(api, "/openapi/v2", Accept=f"{accept},application/json")
        assert (code, headers["Content-Type"]) == (200, PROTOBUF) and b"io.k8s.api.core.v1.PodSpec" in body
        assert (await fetched(api, "/openapi/v2", If_None_Match=headers["ETag"]))[0] == 200
        assert (await fetched(api, "/openapi/v2", Accept=accept, If_None_Match=headers["ETag"]))[0] == 304

    server.run(test)


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery(server: Server, path: str, version: str) -> None:
    async def test(api: Api) -> None:
        accept = f"{DISCOVERY.format('v3')},{DISCOVERY.format(version)},application/json"
        code, headers, body = await fetched(api, path, Accept=accept)
        assert (code, headers["Content-Type"]) == (200, DISCOVERY.format(version))
        value = json.loads(body)
        assert (value["kind"], value["apiVersion"]) == ("APIGroupDiscoveryList", f"apidiscovery.k8s.io/{version}")
        rows = {
            (item["metadata"].get("name", ""), group["version"], row["resource"], row["responseKind"]["kind"])
            for item in value["items"]
            for group in item["versions"]
            for row in group["resources"]
        }
        served = (row for row in RESOURCES if (row.group == "") == (path == "/api"))
        wanted = {(row.group, row.version, row.plural, row.kind) for row in served}
        assert rows - {(GROUP, "v1", "crontabs", "CronTab")} == wanted
        assert (await fetched(api, path, Accept=accept, If_None_Match=headers["ETag"]))[0] == 304

    server.run(test)


def test_a_changed_kind_changes_documents(server: Server) -> None:
    async def test(api: Api) -> None:
        async def seen() -> list[str]:
            pages = (("/openapi/v3", "application/json"), ("/openapi/v2", PROTOBUF), ("/apis", DISCOVERY.format("v2")))
            return [(await fetched(api, path, Accept=accept))[1]["ETag"] for path, accept in pages]

        before = await seen()
        apps = (await api("GET", "/openapi/v3")).body["paths"]["apis/apps/v1"]
        await define(api, definition("comets", "Comet"))
        assert not set(before) & set(await seen())
        assert (await api("GET", "/openapi/v3")).body["paths"]["apis/apps/v1"] == apps

    server.run(test)


def test_service_account_tokens_can_be_verified_by_others(server: Server) -> None:
    async def test(api: Api) -> None:
        found = (await api("GET", "/.well-known/openid-configuration")).body
        assert found["jwks_uri"] == found["issuer"] + "/openid/v1/jwks"
        code, headers, body = await fetched(api, "/openid/v1/jwks")
        assert (code, headers["Content-Type"]) == (200, "application/jwk-set+json")
        answer = await api("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
        token = answer.body["status"]["token"]
        keys = {row["kid"]: jwt.PyJWK(row) for row in json.loads(body)["keys"]}
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(
            token, key, found["id_token_signing_alg_values_supported"], issuer=found["issuer"], audience=found["issuer"]
        )
        assert claims["sub"] == "system:serviceaccount:default:default"

    server.run(test)


# ---- as kubectl reads them ---------------------------------------------------------------------------------------


@needs_kubectl
def test_api_resources_are_upstreams(server: Server) -> None:
    rows = Kubectl(server)("api-resources", "-o", "wide", "--no-headers").splitlines()
    assert [" ".join(row.split()) for row in rows if GROUP not in row] == GOLDEN.read_text().splitlines()


@needs_kubectl
def test_every_kind_can_be_explained(server: Server) -> None:
    """With one sentence at least, and what it is made of."""
    kubectl = Kubectl(server)
    for row in RESOURCES:
        text = kubectl("explain", row.plural, f"--api-version={row.api_version}", "--recursive")
        description = text.partition("DESCRIPTION:\n")[2].partition("\nFIELDS:")[0].strip()
        assert f"KIND:       {row.kind}\nVERSION:    {row.version}\n" in text
        assert len(description) > 10 and "<empty>" not in description, row.kind
        assert "  kind\t<string>" in text


@needs_kubectl
def test_fields_are_explained_from_both_documents(server: Server) -> None:
    kubectl = Kubectl(server)
    text = kubectl("explain", "pods.spec.containers")
    assert "FIELD: containers <[]Container>" in text and "name\t<string> -required-\n    Name of the container" in text
    assert "  enum: Always, IfNotPresent, Never\n" in text
    old = kubectl("explain", "pods.spec.containers", "--output=plaintext-openapiv2")
    assert "RESOURCE: containers <[]Object>" in old and "name\t<string> -required-\n     Name of the container" in old


@needs_kubectl
def test_one_of_every_kind_can_be_created(server: Server) -> None:
    listing = {"apiVersion": "v1", "kind": "List", "items": list(EXAMPLES.values())}
    told = Kubectl(server)("create", "--dry-run=server", "-f", "-", stdin=json.dumps(listing)).splitlines()
    assert len(told) == len(EXAMPLES) and all(line.endswith(" created (server dry run)") for line in told)
    creatable = {row for row in RESOURCES if {"create", "get"} <= set(row.verbs)}
    assert creatable == set(EXAMPLES)
