"""get, list and watch: selectors, pages, tables, and watches that miss nothing."""

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest
from apiserver_harness import MERGE, TABLE, Api, Server, deployment, pod, running

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


def test_anonymous_requests_get_health_and_version_only(server: Server) -> None:
    async def test(api: Api) -> None:
        for path in ("/healthz", "/livez", "/readyz", "/version", "/version/", "/livez?verbose"):
            assert (await api("GET", path)).code == 200, path
        for path in ("/api", "/apis", "/api/v1/pods", "/openapi/v3", "/nothing"):
            answer = await api("GET", path)
            assert (answer.code, answer.body["reason"]) == (403, "Forbidden")
            assert 'User "system:anonymous" cannot' in answer.message
        for path in ("/api", "/healthz"):
            answer = await api("GET", path, Authorization="Bearer made-up")
            assert (answer.code, answer.body["reason"], answer.message) == (401, "Unauthorized", "Unauthorized")

    server.run(test, name="")


def test_a_certificate_of_another_authority_opens_nothing(server: Server) -> None:
    async def test(api: Api) -> None:
        with pytest.raises(aiohttp.ClientConnectionError):
            await api("GET", "/api")

    server.run(test, name="forged")


def test_lists_are_filtered_by_labels_and_fields(server: Server) -> None:
    async def test(api: Api) -> None:
        for name, app, node in (("s1", "a", "n1"), ("s2", "a", "n2"), ("s3", "b", "n1")):
            body = pod(name)
            body["metadata"]["labels"] = {"app": app, "test": "select"}
            body["spec"]["nodeName"] = node
            await api("POST", PODS, body)

        async def names(query: str) -> list[str]:
            answer = await api("GET", f"/api/v1/pods?{query}")
            return [item["metadata"]["name"] for item in answer.body["items"]]

        assert await names("labelSelector=app=a,test=select") == ["s1", "s2"]
        assert await names("labelSelector=test,app!%3Da") == ["s3"]
        assert await names("labelSelector=app+in+(a,b),test=select&fieldSelector=spec.nodeName=n1") == ["s1", "s3"]
        assert await names("fieldSelector=metadata.name=s2") == ["s2"]
        assert await names("fieldSelector=status.phase!%3DPending,spec.nodeName=n1") == []
        wrong = await api("GET", PODS + "?fieldSelector=spec.image=x")
        assert (wrong.code, wrong.message) == (400, "field label not supported: spec.image")
        assert (await api("GET", PODS + "?labelSelector=a+in+(b")).code == 400

    server.run(test)


def test_a_watch_goes_on_from_a_list(server: Server) -> None:
    async def test(api: Api) -> None:
        revision = (await api("GET", MAPS)).body["metadata"]["resourceVersion"]
        watching = asyncio.ensure_future(api.lines(f"{MAPS}?watch=true&resourceVersion={revision}", 3))
        created = (await api("POST", MAPS, {"metadata": {"name": "watched"}})).body
        changed = (await api("PATCH", MAPS + "/watched", {"data": {"a": "b"}}, MERGE)).body
        await api("DELETE", MAPS + "/watched")
        events = await watching
        assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
        assert [event["object"] for event in events[:2]] == [created, changed]
        last = int(events[2]["object"]["metadata"]["resourceVersion"])
        assert last > int(changed["metadata"]["resourceVersion"])

    server.run(test)


def test_tables_have_columns_and_rows(server: Server) -> None:
    async def test(api: Api) -> None:
        await api("POST", "/apis/apps/v1/namespaces/default/deployments", deployment("tabled"))
        path = "/apis/apps/v1/namespaces/default/deployments"
        table = (await api("GET", path, Accept=TABLE)).body
        assert table["kind"] == "Table"
        wide = [row["name"] for row in table["columnDefinitions"] if row["priority"]]
        assert wide == ["Containers", "Images", "Selector"]
        [row] = table["rows"]
        assert row["cells"][:2] == ["tabled", "0/3"]
        assert row["object"]["kind"] == "PartialObjectMetadata"
        one = (await api("GET", path + "/tabled?includeObject=Object", Accept=TABLE)).body
        assert one["rows"][0]["object"]["kind"] == "Deployment"

    server.run(test)


def test_metadata_alone_can_be_asked_for(server: Server) -> None:
    async def test(api: Api) -> None:
        one = await api(
            "GET", "/api/v1/namespaces/default", Accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
        )
        assert set(one.body) == {"kind", "apiVersion", "metadata"}
        many = await api(
            "GET", "/api/v1/endpoints", Accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
        )
        assert many.body["kind"] == "PartialObjectMetadataList"
        assert [set(item) for item in many.body["items"]] == [{"kind", "apiVersion", "metadata"}]

    server.run(test)


# ---- documents -------------------------------------------------------------------------------------------


def test_both_forms_of_discovery_name_the_same_resources(server: Server) -> None:
    async def test(api: Api) -> None:
        plain = {row["name"] for row in (await api("GET", "/api/v1")).body["resources"] if "/" not in row["name"]}
        accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
        [group] = (await api("GET", "/api", Accept=accept)).body["items"]
        assert {row["resource"] for row in group["versions"][0]["resources"]} == plain
        groups = {row["name"] for row in (await api("GET", "/apis")).body["groups"]}
        assert groups == {item["metadata"]["name"] for item in (await api("GET", "/apis", Accept=accept)).body["items"]}
        assert (await api("GET", "/apis/apps")).body["preferredVersion"]["groupVersion"] == "apps/v1"

    server.run(test)


def test_openapi_documents_are_complete_and_cacheable(server: Server) -> None:
    async def test(api: Api) -> None:
        index = (await api("GET", "/openapi/v3")).body["paths"]
        for entry in index.values():
            async with api.session.get(api.url + entry["serverRelativeURL"]) as response:
                document = await response.json()
                tag = response.headers["ETag"]
            missing = references(document) - {
                f"#/components/schemas/{name}" for name in document["components"]["schemas"]
            }
            assert not missing
            async with api.session.get(api.url + entry["serverRelativeURL"], headers={"If-None-Match": tag}) as again:
                assert again.status == 304
        second = (await api("GET", "/openapi/v2")).body
        assert not references(second) - {f"#/definitions/{name}" for name in second["definitions"]}

    server.run(test)


def references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(item) for item in node.values()))
    return set().union(*(references(item) for item in node)) if isinstance(node, list) else set()


@pytest.mark.parametrize(
    ("path", "cache"),
    [
        ("/api/v1/namespaces/default", "no-cache, private"),
        ("/api/v1/namespaces/nobody", "no-cache, private"),
        ("/version", "no-cache, private"),
        ("/openapi/v2", "public"),
    ],
)
def test_answers_are_private_unless_they_are_for_everybody(server: Server, path: str, cache: str) -> None:
    async def test(api: Api) -> None:
        async with api.session.get(api.url + path) as response:
            assert response.headers.getall("Cache-Control") == [cache]

    server.run(test)
