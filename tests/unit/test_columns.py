"""What kubectl prints, cell by cell."""

import copy
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from examples import EXAMPLES

from knet.api import resources
from knet.api.schema import STRING, conform, schema_of
from knet.apiserver import tables
from knet.apiserver.kind import Kind, Strategy
from knet.apiserver.kinds import schema_kinds, served
from knet.apiserver.tables.times import age, human_duration


def table(kind: Kind, values: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = orjson.loads(orjson.dumps(tables.table(kind, values, {}, "v1")))
    return made


def cells(resource: resources.Resource, value: dict[str, Any]) -> dict[str, Any]:
    value.setdefault("metadata", {}).setdefault("name", "x")
    made = table(Kind(resource, STRING, Strategy()), [value])
    return dict(zip((row["name"] for row in made["columnDefinitions"]), made["rows"][0]["cells"], strict=True))


def pod(phase: str = "Running", states: Any = (), init: Any = (), **more: Any) -> dict[str, Any]:
    """``states``: one (state, ready) per container."""
    statuses = [
        {"name": f"c{n}", "state": state, "ready": ready, "restartCount": n} for n, (state, ready) in enumerate(states)
    ]
    init_statuses = [{"name": f"i{n}", "state": state, "restartCount": 0} for n, state in enumerate(init)]
    spec = {
        "containers": [{"name": row["name"]} for row in statuses] or [{"name": "c0"}],
        "initContainers": [{"name": row["name"]} for row in init_statuses],
    }
    status = {"phase": phase, "containerStatuses": statuses, "initContainerStatuses": init_statuses}
    return {"metadata": {"name": "x", **more}, "spec": spec, "status": status}


RUNNING = {"running": {}}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


def terminated(code: int, reason: str = "", signal: int = 0) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "signal": signal}}


@pytest.mark.parametrize(
    ("value", "ready", "status"),
    [
        (pod("Pending"), "0/1", "Pending"),
        (pod("Pending", [(waiting("ContainerCreating"), False)]), "0/1", "ContainerCreating"),
        (pod("Running", [(RUNNING, True), (RUNNING, False)]), "1/2", "Running"),
        (pod("Running", [(waiting("CrashLoopBackOff"), False)]), "0/1", "CrashLoopBackOff"),
        (pod("Pending", [(waiting("ImagePullBackOff"), False)]), "0/1", "ImagePullBackOff"),
        (pod("Failed", [(terminated(1, "Error"), False)]), "0/1", "Error"),
        (pod("Failed", [(terminated(137, "", 9), False)]), "0/1", "Signal:9"),
        (pod("Failed", [(terminated(3), False)]), "0/1", "ExitCode:3"),
        (pod("Succeeded", [(terminated(0, "Completed"), False)]), "0/1", "Completed"),
        (pod("Running", [(terminated(0, "Completed"), False), (RUNNING, True)]), "1/2", "NotReady"),
        (pod("Pending", init=[RUNNING, waiting("PodInitializing")]), "0/1", "Init:0/2"),
        (pod("Pending", init=[terminated(0), RUNNING]), "0/1", "Init:1/2"),
        (pod("Pending", init=[waiting("CrashLoopBackOff")]), "0/1", "Init:CrashLoopBackOff"),
        (pod("Pending", init=[terminated(2)]), "0/1", "Init:ExitCode:2"),
        (pod("Running", [(RUNNING, True)], deletionTimestamp="2024-01-01T00:00:00Z"), "1/1", "Terminating"),
    ],
)
def test_the_status_of_a_pod_is_its_most_telling_reason(value: dict[str, Any], ready: str, status: str) -> None:
    row = cells(resources.PODS, value)
    assert (row["Ready"], row["Status"]) == (ready, status)


def test_restarts_are_summed_up() -> None:
    assert cells(resources.PODS, pod(states=[(RUNNING, True)] * 4))["Restarts"] == "6"


GOLDEN = {
    lines[0]: lines[1:]
    for lines in (
        block.splitlines()
        for block in re.split(r"\n(?=\S)", Path(__file__).with_name("golden_columns.txt").read_text().strip())
    )
}
KINDS = served(schema_of(schema_kinds()))


@pytest.mark.parametrize("resource", EXAMPLES, ids=lambda row: f"{row.group}-{row.version}-{row.plural}")
def test_every_kind_has_upstreams_columns(resource: resources.Resource) -> None:
    """golden_columns.txt: what is printed of examples.yaml; columns of ``-o wide`` with a plus."""
    kind = KINDS[resource]
    value = copy.deepcopy(EXAMPLES[resource])
    assert conform(kind.type, value) == []
    made = table(kind, [kind.to_stored(value)])
    printed = [
        f"    {'+' if column['priority'] else ''}{column['name']}: {cell}"
        for column, cell in zip(made["columnDefinitions"], made["rows"][0]["cells"], strict=True)
    ]
    assert [re.sub(r"\d+y\d+d", "<age>", line) for line in printed] == GOLDEN[f"{resource.api_version} {resource.kind}"]


def metric(kind: str, key: str, target: Any, current: Any = None, **more: Any) -> tuple[Any, Any]:
    """One entry of an autoscaler's spec and of its status."""
    return {"type": kind, key: {**more, "target": target}}, {"type": kind, key: {"current": current or {}}}


METRICS = [
    (metric("Resource", "resource", {"averageUtilization": 50}, {"averageUtilization": 0}, name="cpu"), "cpu: 0%/50%"),
    (metric("Resource", "resource", {"averageValue": "1Gi"}, {}, name="memory"), "memory: <unknown>/1Gi"),
    (metric("Resource", "resource", {}, name="cpu"), "cpu: <unknown>/<auto>"),
    (metric("ContainerResource", "containerResource", {"averageUtilization": 5}, name="cpu"), "cpu: <unknown>/5%"),
    (metric("Pods", "pods", {"averageValue": "3"}, {"averageValue": "2"}), "2/3"),
    (metric("Object", "object", {"value": "3"}, {"value": "1k"}), "1k/3"),
    (metric("Object", "object", {"averageValue": "3"}, {"averageValue": "2"}), "2/3 (avg)"),
    (metric("External", "external", {"value": "3"}), "<unknown>/3"),
    (metric("Weather", "weather", {}), "<unknown type>"),
]


@pytest.mark.parametrize(("row", "text"), METRICS, ids=[text for _, text in METRICS])
def test_the_targets_of_an_autoscaler(row: tuple[Any, Any], text: str) -> None:
    value = {"spec": {"metrics": [row[0]]}, "status": {"currentMetrics": [row[1]]}}
    assert cells(resources.HORIZONTALPODAUTOSCALERS, value)["Targets"] == text


def job(conditions: Any = (), **more: Any) -> dict[str, Any]:
    rows = [{"type": kind, "status": "True"} for kind in conditions]
    return {"metadata": {"name": "x", **more}, "spec": {}, "status": {"conditions": rows}}


@pytest.mark.parametrize(
    ("resource", "value", "column", "cell"),
    [
        (resources.SERVICES, {"spec": {"type": "LoadBalancer", "clusterIP": "None"}}, "Cluster-IP", "None"),
        (resources.SERVICES, {"spec": {"type": "LoadBalancer"}}, "External-IP", "<pending>"),
        (resources.SERVICES, {"spec": {"type": "ExternalName", "externalName": "a.b"}}, "External-IP", "a.b"),
        (resources.SERVICES, {"spec": {"type": "ClusterIP"}}, "Port(s)", "<none>"),
        (resources.ENDPOINTS, {}, "Endpoints", "<none>"),
        (resources.ENDPOINTSLICES, {"ports": None, "endpoints": None}, "Ports", "<unset>"),
        (resources.ENDPOINTSLICES, {"ports": [{}], "endpoints": None}, "Ports", "*"),
        (resources.INGRESSES, {"spec": {}}, "Hosts", "*"),
        (resources.INGRESSES, {"spec": {"rules": [{"host": host} for host in "abcde"]}}, "Hosts", "a,b,c + 2 more..."),
        (resources.INGRESSES, {"spec": {}}, "Class", "<none>"),
        (resources.INGRESSES, {"spec": {}}, "Ports", "80"),
        (resources.INGRESSCLASSES, {"spec": {}}, "Parameters", "<none>"),
        (resources.NETWORKPOLICIES, {"spec": {"podSelector": {}}}, "Pod-Selector", "<none>"),
        (resources.SECRETS, {"type": "Opaque"}, "Data", 0),
        (resources.PERSISTENTVOLUMECLAIMS, {"spec": {}, "status": {"phase": "Pending"}}, "Capacity", ""),
        (resources.PERSISTENTVOLUMES, {"metadata": {"deletionTimestamp": "x"}, "spec": {}}, "Status", "Terminating"),
        (resources.JOBS, job(), "Status", "Running"),
        (resources.JOBS, job(), "Completions", "0/1"),
        (resources.JOBS, job() | {"spec": {"parallelism": 4}}, "Completions", "0/1 of 4"),
        (resources.JOBS, job(), "Duration", ""),
        (resources.JOBS, job(["FailureTarget", "Failed"]), "Status", "Failed"),
        (resources.JOBS, job(["FailureTarget"]), "Status", "FailureTarget"),
        (resources.JOBS, job(["Suspended"]), "Status", "Suspended"),
        (resources.JOBS, job(["Suspended"], deletionTimestamp="x"), "Status", "Terminating"),
        (resources.JOBS, job(["Complete"], deletionTimestamp="x"), "Status", "Complete"),
        (resources.PODDISRUPTIONBUDGETS, {"spec": {"maxUnavailable": 0}}, "Max Unavailable", "0"),
        (resources.APISERVICES, {"spec": {}}, "Service", "Local"),
        (resources.APISERVICES, {"spec": {}}, "Available", "Unknown"),
        (resources.CERTIFICATESIGNINGREQUESTS, {"spec": {}}, "Condition", "Pending"),
        (resources.CONTROLLERREVISIONS, {}, "Controller", "<none>"),
        (resources.COMPONENTSTATUSES, {"conditions": [{"type": "Healthy", "status": "False"}]}, "Status", "Unhealthy"),
        (resources.EVENTS, {"series": {"count": 9, "lastObservedTime": None}}, "Count", 9),
        (resources.EVENTS, {"involvedObject": {"kind": "Pod"}}, "Object", "pod"),
        (resources.CSIDRIVERS, {"spec": {}}, "TokenRequests", "<unset>"),
        (resources.PRIORITYLEVELCONFIGURATIONS, {"spec": {"type": "Exempt"}}, "Queues", "<none>"),
    ],
)
def test_cells(resource: resources.Resource, value: dict[str, Any], column: str, cell: Any) -> None:
    assert cells(resource, value)[column] == cell


def test_rows_of_pods_that_ended_say_so() -> None:
    made = table(KINDS[resources.PODS], [pod("Failed"), pod("Running")])
    assert [[row["reason"] for row in one.get("conditions", ())] for one in made["rows"]] == [["Failed"], []]


@pytest.mark.parametrize("resource", resources.RESOURCES, ids=lambda row: row.plural)
def test_every_kind_can_be_printed_bare(resource: resources.Resource) -> None:
    assert cells(resource, {"spec": {}})


def test_ages_have_kubectls_notation() -> None:
    spelled = {
        0: "0s", 119: "119s", 120: "2m", 125: "2m5s", 600: "10m", 3660: "61m", 10800: "3h", 30000: "8h",
        90000: "25h", 180000: "2d2h", 864000: "10d", 90000000: "2y311d", 400000000: "12y",
    }  # fmt: skip
    assert {seconds: human_duration(seconds) for seconds in spelled} == spelled
    assert age(None) == age("garbage") == "<unknown>"
