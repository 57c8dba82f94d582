"""Our own OpenAPI documents, taken at their word by schemathesis: whatever they allow and whatever they forbid.

Every operation of every group gets valid and invalid parameters and bodies.  The answer is never a 5xx and never late,
and a request that was refused, or was a dry run, has changed nothing: the store's revision stays where it was.
``KNET_FUZZ`` is how many requests of each sort an operation gets; scripts/soak sets it.
"""

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from apiserver_harness import Api, Server, running
from custom_harness import GROUP, cron_tab, define, definition, path
from examples import EXAMPLES
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core import NOT_SET

from knet.api.resources import RESOURCES

EXAMPLES_EACH = int(os.environ.get("KNET_FUZZ", "1"))
#: seconds after which an answer is a hang
PATIENCE = 10
BRIEF = EXAMPLES_EACH == 1
GROUPS = [*sorted({row.root for row in RESOURCES}), f"/apis/{GROUP}/v1"]
#: version 2 has the same operations, once more
DOCUMENTS = [*(f"v3{group}" for group in GROUPS), *["v2"] * (not BRIEF)]
#: fields of a schema that are made up, if not all, beside those that are required and
FIELDS = 4
KIND = ("apiVersion", "kind", "metadata", "spec", "status")
LASTING = ("customresourcedefinitions", "admissionregistration.k8s.io")
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

#: what is generated depends on nothing but the documents: a failure comes again when it is looked at
_SETTINGS = settings(
    max_examples=EXAMPLES_EACH,
    deadline=None,
    database=None,
    derandomize=BRIEF,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Client:
    """Sends cases, and knows the store's revision."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        self.tls: dict[str, Any] = {
            "verify": str(server.pki / "ca.crt"),
            "cert": (str(server.pki / "admin.crt"), str(server.pki / "admin.key")),
        }

    def get(self, path: str) -> Any:
        return self.session.get(self.server.url + path, timeout=PATIENCE, **self.tls).json()

    def revision(self) -> str:
        return str(self.get("/apis/scheduling.k8s.io/v1/priorityclasses?limit=1")["metadata"]["resourceVersion"])

    def send(self, case: Case) -> "requests.Response":
        response = case.call(base_url=self.server.url, session=self.session, timeout=PATIENCE, **self.tls)
        assert isinstance(response.status_code, int)
        return response  # type: ignore[return-value]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    async def prepare(api: Api) -> None:
        await define(api, definition("crontabs", "CronTab"))
        assert (await api("POST", path("crontabs"), cron_tab("CronTab", "example"))).code == 201
        for row, value in EXAMPLES.items():
            if "create" in row.verbs and "get" in row.verbs:
                value = copy.deepcopy(value)
                value["metadata"].pop("namespace", None)
                await api("POST", row.path("default"), value)

    with running(tmp_path_factory.mktemp("fuzz")) as server:
        server.run(prepare)
        yield Client(server)


def existing() -> dict[str, str]:
    """Collection → the name of an object that is there."""
    found = {row.path("{namespace}"): value["metadata"].get("name", "") for row, value in EXAMPLES.items()}
    return {**found, path("crontabs", namespace="{namespace}"): "example"}


def aim(case: Case, number: int) -> None:
    """Every second request is about an object that is there, and every second write is a dry run."""
    name = existing().get(case.path.partition("/{name}")[0], "")
    if "namespace" in case.path_parameters:
        case.path_parameters["namespace"] = "default"
    if "name" in case.path_parameters and name and number % 2 == 0:
        case.path_parameters["name"] = name
    query = case.query = dict(case.query or {})
    # watches, which last, have tests of their own; so have the definition of kinds, which goes on after the answer,
    # and webhooks, which are asked about all that follows
    query.pop("watch", None)
    query.pop("dryRun", None)
    if case.method != "GET" and (number % 4 < 2 or any(part in case.path for part in LASTING)):
        query["dryRun"] = "All"
        if case.method == "DELETE":
            case.body = NOT_SET  # with a body, it is all that counts
    if case.media_type == "*/*":
        case.media_type = "application/json"


def thinned(document: Any) -> Any:
    """A document whose schemas have a few fields each: making up whole Pods takes seconds, and other tests do it."""
    for schema in document["components"]["schemas"].values():
        properties = schema.get("properties", {})
        kept = {*schema.get("required", ()), *sorted(properties)[:FIELDS], *(KIND if "spec" in properties else ())}
        schema["properties"] = {name: item for name, item in properties.items() if name in kept}
    return document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_operation_fails_and_no_refused_one_changes_anything(client: Client, name: str) -> None:
    whole = client.get(f"/openapi/{name}")
    document = schemathesis.openapi.from_dict(thinned(whole) if BRIEF else whole)
    number = 0
    for result in document.get_all_operations():
        for mode in MODES:
            if mode is GenerationMode.NEGATIVE and BRIEF and result.ok().method == "put":
                continue  # what is wrong for POST is wrong for PUT, and making it up takes a second
            strategy = result.ok().as_strategy(generation_mode=mode)

            @_SETTINGS
            @given(case=strategy)
            def request(case: Case) -> None:
                nonlocal number
                number += 1
                aim(case, number)
                before = client.revision()
                response = client.send(case)
                told = f"{case.as_curl_command()}: {response.text[:500]}"
                nobody_there = response.status_code >= 500 and "/proxy" in case.path
                assert response.status_code < 500 or nobody_there or response.json()["reason"] == "Timeout", told
                if response.status_code >= 400:
                    assert response.json()["kind"] == "Status", told
                if response.status_code >= 400 or case.query.get("dryRun") == "All":
                    assert client.revision() == before, told

            request()
    assert number
