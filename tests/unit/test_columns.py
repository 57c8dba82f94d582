"""What kubectl prints, cell by cell."""

from typing import Any

import pytest

from knet.api import resources
from knet.api.schema import STRING
from knet.apiserver.kind import Kind, Strategy
from knet.apiserver.tables import table
from knet.apiserver.tables.times import age, human_duration


def cells(resource: resources.Resource, value: dict[str, Any]) -> dict[str, Any]:
    value.setdefault("metadata", {}).setdefault("name", "x")
    made = table(Kind(resource, STRING, Strategy()), [value], {}, "v1")
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


@pytest.mark.parametrize(
    ("resource", "value", "expected"),
    [
        (
            resources.NODES,
            {
                "metadata": {"labels": {"node-role.kubernetes.io/worker": ""}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "172.18.0.3"}],
                    "nodeInfo": {"kubeletVersion": "v1.32.0", "osImage": "Debian"},
                },
            },
            ["Ready,SchedulingDisabled", "worker", "v1.32.0", "172.18.0.3", "<none>", "Debian"],
        ),
        (
            resources.SERVICES,
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIP": "10.96.0.9",
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                    "selector": {"b": "2", "a": "1"},
                }
            },
            ["NodePort", "10.96.0.9", "<none>", "80:30080/TCP,53/UDP", "a=1,b=2"],
        ),
        (resources.SERVICES, {"spec": {"type": "LoadBalancer", "clusterIP": "None"}}, ["None", "<pending>"]),
        (
            resources.ENDPOINTS,
            {"subsets": [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 80}]}]},
            ["10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more..."],
        ),
        (
            resources.ENDPOINTSLICES,
            {"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
            ["IPv4", "80", "10.0.0.1"],
        ),
        (resources.ENDPOINTSLICES, {"addressType": "IPv4", "ports": None, "endpoints": None}, ["<unset>"]),
        (
            resources.DEPLOYMENTS,
            {
                "spec": {
                    "replicas": 3,
                    "selector": {
                        "matchLabels": {"app": "web"},
                        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["b", "a"]}],
                    },
                    "template": {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}},
                },
                "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
            },
            ["2/3", 1, 2, "c,d", "i,j", "app=web,tier in (a,b)"],
        ),
        (resources.REPLICASETS, {"spec": {"replicas": 3}, "status": {"replicas": 2, "readyReplicas": 1}}, [3, 2, 1]),
        (resources.CONFIGMAPS, {"data": {"a": ""}, "binaryData": {"b": ""}}, ["2"]),
        (resources.SECRETS, {"type": "Opaque", "data": {"a": ""}}, ["Opaque", 1]),
        (
            resources.EVENTS,
            {
                "type": "Warning",
                "reason": "Failed",
                "message": "no\n",
                "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
                "source": {"component": "kubelet", "host": "n1"},
                "count": 4,
            },
            ["Warning", "Failed", "pod/p", "spec.containers{c}", "kubelet, n1", "no", "<unknown>", 4],
        ),
        (resources.LEASES, {"spec": {"holderIdentity": "n1"}}, ["n1"]),
        (
            resources.CONTROLLERREVISIONS,
            {
                "revision": 7,
                "metadata": {
                    "name": "r",
                    "ownerReferences": [
                        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": True}
                    ],
                },
            },
            ["daemonset.apps/d", 7],
        ),
        (resources.NAMESPACES, {"status": {"phase": "Active"}}, ["Active"]),
        (resources.SERVICEACCOUNTS, {}, ["0"]),
    ],
)
def test_cells(resource: resources.Resource, value: dict[str, Any], expected: list[Any]) -> None:
    found = list(cells(resource, value).values())
    assert [cell for cell in expected if cell not in found] == []


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
