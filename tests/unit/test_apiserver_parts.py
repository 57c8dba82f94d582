"""Spec, status and scale are written apart, in every kind that has them; the generation counts changes of the spec."""

from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_harness import MERGE, Api, Server, running
from examples import EXAMPLES

from knet.api.resources import (
    CUSTOMRESOURCEDEFINITIONS,
    HORIZONTALPODAUTOSCALERS_V1,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    Resource,
)
from knet.api.schema import ListOf, Scalar, Struct, schema_of
from knet.apiserver.kinds import STRATEGIES, schema_kinds

JSON = dict[str, Any]
SCHEMA = schema_of(schema_kinds())
APPLY = "application/apply-patch+yaml"

#: but for one whose status is carried by annotations, and one whose status this server has a controller for
_OTHERWISE = (HORIZONTALPODAUTOSCALERS_V1, CUSTOMRESOURCEDEFINITIONS)
WITH_STATUS = [row for row in EXAMPLES if "status" in row.subresources and row not in _OTHERWISE]
WITH_SCALE = [row for row in EXAMPLES if "scale" in row.subresources]
COUNTED = [row for row, strategy in STRATEGIES.items() if strategy.generation]

TEMPLATE = {"template": {"metadata": {"annotations": {"changed": "yes"}}}}
#: a change of what counts, of each kind that counts
CHANGES: dict[str, JSON] = {
    "CronJob": {"spec": {"startingDeadlineSeconds": 77}},
    "CSIDriver": {"spec": {"storageCapacity": True}},
    "CustomResourceDefinition": {"spec": {"names": {"shortNames": ["changed"]}}},
    "DaemonSet": {"spec": TEMPLATE},
    "Deployment": {"spec": TEMPLATE},
    "EndpointSlice": {"ports": [{"name": "changed", "port": 81}]},
    "FlowSchema": {"spec": {"matchingPrecedence": 77}},
    "Ingress": {"spec": {"ingressClassName": "changed"}},
    "IngressClass": {"spec": {"parameters": {"kind": "K", "name": "changed", "scope": "Cluster"}}},
    "Job": {"spec": {"parallelism": 3}},
    "MutatingWebhookConfiguration": {"webhooks": []},
    "NetworkPolicy": {"spec": {"podSelector": {"matchLabels": {"changed": "yes"}}}},
    "PodDisruptionBudget": {"spec": {"minAvailable": None, "maxUnavailable": 3}},
    "PodTemplate": TEMPLATE,
    "PriorityClass": {"description": "changed"},
    "PriorityLevelConfiguration": {"spec": {"limited": {"nominalConcurrencyShares": 7}}},
    "ReplicaSet": {"spec": TEMPLATE},
    "ReplicationController": {"spec": TEMPLATE},
    "StatefulSet": {"spec": TEMPLATE},
    "ValidatingAdmissionPolicy": {"spec": {"failurePolicy": "Ignore"}},
    "ValidatingAdmissionPolicyBinding": {"spec": {"validationActions": ["Warn"]}},
    "ValidatingWebhookConfiguration": {"webhooks": []},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


def kind_of(row: Resource) -> str:
    return f"{row.kind}.{row.version}"


def statuses(row: Resource) -> Iterator[JSON]:
    """Statuses of a kind with one field set, more or less sensibly."""
    whole = SCHEMA.type_of(row.group, row.version, row.kind)
    assert isinstance(whole, Struct)
    status = whole.fields["status"]
    assert isinstance(status, Struct)
    scalars = {"int32": 7, "int64": 7, "bool": True, "v1.Time": "2024-01-01T00:00:00Z"}
    for name, type_ in status.fields.items():
        if isinstance(type_, Scalar):
            yield {name: scalars.get(type_.go_type, "x")}
        elif isinstance(type_, ListOf) and name == "conditions":
            condition = {"type": "Odd", "status": "True", "reason": "Test", "message": "m"}
            yield {name: [condition | {"lastTransitionTime": "2024-01-01T00:00:00Z"}]}
        elif isinstance(type_, Struct):
            yield {name: {"ingress": [{"ip": "10.0.0.9"}]} if "ingress" in type_.fields else {}}
        else:
            yield {name: {"cpu": "1"}}


def apart(value: JSON) -> tuple[JSON, Any]:
    """All but the status (and what every write moves), and the status."""
    moving = ("resourceVersion", "managedFields")
    metadata = {key: item for key, item in value["metadata"].items() if key not in moving}
    return {**value, "metadata": metadata, "status": None}, value.get("status")


async def created(api: Api, row: Resource) -> tuple[str, JSON]:
    """The path of the kind's example, and what that is now."""
    example = EXAMPLES[row]
    path = row.path(example["metadata"].get("namespace", "default"), example["metadata"]["name"])
    answer = await api("GET", path)
    if answer.code == 404:
        answer = await api("POST", path.rpartition("/")[0], example)
    assert answer.code in (200, 201), answer.body
    return path, answer.body


@pytest.mark.parametrize("row", WITH_STATUS, ids=kind_of)
def test_a_status_and_the_rest_are_written_apart(server: Server, row: Resource) -> None:
    async def test(api: Api) -> None:
        path, _ = await created(api, row)
        for wanted in statuses(row):
            before = (await api("GET", path)).body
            odd = {"spec": {"odd": 1}, "data": {"odd": "1"}, "metadata": {"generation": 99}, "status": wanted}
            answer = await api("PATCH", path + "/status?fieldValidation=Ignore", odd, MERGE)
            if answer.code == 200 and answer.body.get("status") != before.get("status"):
                break
            assert answer.code in (200, 400, 422), answer.body
        else:
            raise AssertionError(f"no status of {row.kind} can be written")
        after = answer.body
        assert apart(after)[0] == apart(before)[0]
        assert (await api("GET", path)).body == after
        # and by the other way: what a PUT and an apply of the whole say of the status does not count
        spec = {"metadata": {"annotations": {"put": "yes"}}}
        whole = {**after, **spec, "metadata": {**after["metadata"], **spec["metadata"]}, "status": {"odd": 1}}
        for method, query, body, media in (
            ("PUT", "?fieldValidation=Ignore", whole, "application/json"),
            ("PATCH", "?fieldValidation=Ignore", {"status": None}, MERGE),
        ):
            answer = await api(method, path + query, body, media)
            assert answer.code == 200, answer.body
            assert apart(answer.body)[1] == apart(after)[1], method
            assert answer.body["metadata"].get("generation") == after["metadata"].get("generation")
        manager = {"apiVersion": row.api_version, "kind": row.kind, "metadata": {"name": after["metadata"]["name"]}}
        answer = await api("PATCH", path + "?fieldManager=test", {**manager, "status": wanted}, APPLY)
        assert answer.code == 200 and apart(answer.body)[1] == apart(after)[1]
        # a PUT of the status takes nothing but that
        answer = await api("PUT", path + "/status?fieldValidation=Ignore", {**before, "metadata": manager["metadata"]})
        assert answer.code in (200, 409, 422), answer.body
        if answer.code == 200:
            assert {**apart(answer.body)[0], "metadata": None} == {**apart(before)[0], "metadata": None}

    server.run(test)


@pytest.mark.parametrize("row", WITH_SCALE, ids=kind_of)
def test_a_scale_writes_the_number_of_replicas(server: Server, row: Resource) -> None:
    async def test(api: Api) -> None:
        path, before = await created(api, row)
        scale = (await api("GET", path + "/scale")).body
        scale |= {"spec": {"replicas": 7}, "status": {"replicas": 99, "selector": "odd=1"}}
        answer = await api("PUT", path + "/scale", scale)
        assert (answer.code, answer.body["kind"], answer.body["spec"]) == (200, "Scale", {"replicas": 7})
        after = (await api("GET", path)).body
        wanted = {**before, "spec": {**before["spec"], "replicas": 7}}
        wanted["metadata"] = {**before["metadata"], "generation": before["metadata"]["generation"] + 1}
        assert apart(after) == apart(wanted)
        odd = {"metadata": {"labels": {"odd": "1"}, "annotations": {"odd": "1"}}, "status": {"replicas": 5}}
        assert (await api("PATCH", path + "/scale", odd, MERGE)).code == 200
        assert (await api("GET", path)).body == after
        assert (await api("PUT", path + "/scale?dryRun=All", {**answer.body, "spec": {"replicas": 1}})).code == 200
        assert (await api("GET", path)).body == after
        stale = await api("PUT", path + "/scale", scale)
        assert stale.code == 409 and "the object has been modified" in stale.message
        negative = await api("PATCH", path + "/scale", {"spec": {"replicas": -1}}, MERGE)
        assert (negative.code, negative.body["details"]["kind"]) == (422, "Scale")

    server.run(test)


@pytest.mark.parametrize("row", COUNTED, ids=kind_of)
def test_the_generation_counts_changes_of_the_spec_alone(server: Server, row: Resource) -> None:
    async def test(api: Api) -> None:
        path, before = await created(api, row)
        count = before["metadata"]["generation"]
        labels = {"metadata": {"labels": {"l": "1"}, "annotations": {"a": "1"}, "finalizers": ["example.com/f"]}}
        for patch, step in ((labels, 0), ({"metadata": {"generation": 50}}, 0), (CHANGES[row.kind], 1)):
            answer = await api("PATCH", path, patch, MERGE)
            assert (answer.code, answer.body["metadata"]["generation"]) == (200, count + step), answer.body
        again = await api("PATCH", path, CHANGES[row.kind], MERGE)
        assert again.body["metadata"]["generation"] == count + 1
        # a deletion is a change, once
        for _ in range(2):
            gone = await api("DELETE", path, {"gracePeriodSeconds": 5})
            assert (await api("GET", path)).body["metadata"]["generation"] == count + 2, gone.body

    server.run(test)


@pytest.mark.parametrize("row", [row for row in EXAMPLES if row not in COUNTED and row.storage is None], ids=kind_of)
def test_other_kinds_count_nothing(server: Server, row: Resource) -> None:
    async def test(api: Api) -> None:
        _, before = await created(api, row)
        assert "generation" not in before["metadata"]

    server.run(test)


def test_a_node_registers_with_its_status_and_a_claim_starts_without(server: Server) -> None:
    async def test(api: Api) -> None:
        node = {"metadata": {"name": "self"}, "status": {"capacity": {"cpu": "2"}}}
        assert (await api("POST", NODES.path(), node)).body["status"]["capacity"] == {"cpu": "2"}
        claim = EXAMPLES[PERSISTENTVOLUMECLAIMS]
        claim = {**claim, "metadata": {"name": "fresh"}, "status": {"phase": "Bound"}}
        path = PERSISTENTVOLUMECLAIMS.path("default")
        assert (await api("POST", path, claim)).body["status"] == {"phase": "Pending"}

    server.run(test)
