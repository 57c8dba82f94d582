"""ResourceQuota: what is counted, what is refused and in which words, and that no race gets past it."""

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_harness import MERGE, Answer, Api, Server, pod, running
from control_plane_harness import World, run
from hypothesis import given
from hypothesis import strategies as st

from knet.api import resources
from knet.api.objects import Pod
from knet.api.policy import ResourceQuota
from knet.api.quota import Charge, Limits, Tally, limits_of, meter_of, refusal
from knet.apiserver.validation.policy import validate_quota
from knet.client import ApiError

JSON = dict[str, Any]
NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("quota")) as found:
        yield found


def container(name: str = "main", requests: JSON | None = None, limits: JSON | None = None) -> JSON:
    return {"name": name, "image": "i", "resources": {"requests": requests or {}, "limits": limits or {}}}


def pod_of(*containers: JSON, status: JSON | None = None, metadata: JSON | None = None, **spec: Any) -> JSON:
    spec = {"containers": list(containers), **spec}
    return {"metadata": {"name": "p", **(metadata or {})}, "spec": spec, "status": status or {"phase": "Running"}}


def shown(charge: Charge) -> dict[str, str]:
    return {name: str(amount) for name, amount in charge.amounts.items()}


# ---- what is counted ---------------------------------------------------------------------------------------------

SMALL = container(requests={"cpu": "500m", "memory": "1Gi"}, limits={"cpu": "1"})
SMALL_USE = {
    "count/pods": "1",
    "pods": "1",
    "cpu": "500m",
    "requests.cpu": "500m",
    "memory": "1Gi",
    "requests.memory": "1Gi",
    "limits.cpu": "1",
}
DELETED = {"deletionTimestamp": "2027-01-15T07:59:30Z"}  # 30 s before NOW


@pytest.mark.parametrize(
    ("value", "use"),
    [
        (pod_of(container()), {"count/pods": "1", "pods": "1"}),
        (pod_of(SMALL), SMALL_USE),
        (
            pod_of(SMALL, SMALL),
            SMALL_USE | {"cpu": "1", "requests.cpu": "1", "memory": "2Gi", "requests.memory": "2Gi", "limits.cpu": "2"},
        ),
        (
            pod_of(container(), initContainers=[container(requests={"cpu": "2"})]),
            {"count/pods": "1", "pods": "1", "cpu": "2", "requests.cpu": "2"},
        ),
        (
            pod_of(container(requests={"cpu": "1"}), overhead={"cpu": "250m"}),
            {"count/pods": "1", "pods": "1", "cpu": "1250m", "requests.cpu": "1250m"},
        ),
        (
            pod_of(container(requests={"example.com/gpu": "2", "hugepages-2Mi": "4Mi"})),
            {
                "count/pods": "1",
                "pods": "1",
                "requests.example.com/gpu": "2",
                "hugepages-2Mi": "4Mi",
                "requests.hugepages-2Mi": "4Mi",
            },
        ),
        (pod_of(SMALL, status={"phase": "Succeeded"}), {"count/pods": "1"}),
        (pod_of(SMALL, status={"phase": "Failed"}), {"count/pods": "1"}),
        (pod_of(SMALL, metadata={**DELETED, "deletionGracePeriodSeconds": 30}), {"count/pods": "1"}),
        (pod_of(SMALL, metadata={**DELETED, "deletionGracePeriodSeconds": 31}), SMALL_USE),
    ],
)
def test_pods_are_charged_until_they_have_ended(value: JSON, use: dict[str, str]) -> None:
    assert shown(meter_of(resources.PODS).measure(value, NOW)) == use


def test_a_pod_that_should_have_ended_says_when() -> None:
    late = pod_of(SMALL, metadata={**DELETED, "deletionGracePeriodSeconds": 60})
    assert meter_of(resources.PODS).measure(late, NOW).until == NOW + 30
    assert meter_of(resources.PODS).measure(pod_of(SMALL), NOW).until == math.inf


@pytest.mark.parametrize(
    ("spec", "node_ports", "balancers"),
    [
        ({"type": "ClusterIP", "ports": [{}, {}]}, "0", "0"),
        ({"type": "NodePort", "ports": [{}, {}]}, "2", "0"),
        ({"type": "LoadBalancer", "ports": [{}, {}]}, "2", "1"),
        (
            {"type": "LoadBalancer", "ports": [{"nodePort": 30000}, {}], "allocateLoadBalancerNodePorts": False},
            "1",
            "1",
        ),
    ],
)
def test_services_are_charged_for_what_they_ask_of_nodes(spec: JSON, node_ports: str, balancers: str) -> None:
    use = shown(meter_of(resources.SERVICES).measure({"metadata": {}, "spec": spec}, NOW))
    assert use == {
        "count/services": "1",
        "services": "1",
        "services.nodeports": node_ports,
        "services.loadbalancers": balancers,
    }


def test_claims_are_charged_to_their_class() -> None:
    spec = {"storageClassName": "gold", "resources": {"requests": {"storage": "1.5"}}}
    assert shown(meter_of(resources.PERSISTENTVOLUMECLAIMS).measure({"metadata": {}, "spec": spec}, NOW)) == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "2",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "2",
    }


def test_everything_else_is_counted() -> None:
    for resource, names in (
        (resources.CONFIGMAPS, {"count/configmaps", "configmaps"}),
        (resources.DEPLOYMENTS, {"count/deployments.apps"}),
        (resources.RESOURCEQUOTAS, {"count/resourcequotas", "resourcequotas"}),
    ):
        assert set(meter_of(resource).measure({}, NOW).amounts) == names


# ---- what is refused ---------------------------------------------------------------------------------------------


def quota(hard: JSON, used: JSON | None = None, name: str = "q", **spec: Any) -> Limits:
    used = dict.fromkeys(hard, "0") if used is None else used
    return limits_of({"metadata": {"name": name}, "spec": spec, "status": {"hard": hard, "used": used}})


def scope(name: str, operator: str = "Exists", *values: str) -> JSON:
    return {"scopeSelector": {"matchExpressions": [{"scopeName": name, "operator": operator, "values": list(values)}]}}


BUSY = Tally([(number, meter_of(resources.PODS).measure(pod_of(SMALL), NOW)) for number in range(2)])


@pytest.mark.parametrize(
    ("quotas", "value", "why"),
    [
        ([quota({"pods": "3"})], pod_of(container()), ""),
        (
            [quota({"pods": "2"})],
            pod_of(container()),
            "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2",
        ),
        (
            [quota({"pods": "9"}), quota({"count/pods": "2"}, name="second")],
            pod_of(container()),
            "exceeded quota: second, requested: count/pods=1, used: count/pods=2, limited: count/pods=2",
        ),
        (
            [quota({"requests.cpu": "1", "requests.memory": "2560Mi", "pods": "9"})],
            pod_of(SMALL),
            "exceeded quota: q, requested: requests.cpu=500m,requests.memory=1Gi,"
            " used: requests.cpu=1,requests.memory=2Gi, limited: requests.cpu=1,requests.memory=2560Mi",
        ),
        (
            [quota({"cpu": "9", "memory": "9Gi", "limits.cpu": "9"})],
            pod_of(container("b", {"cpu": "1"}), container("a", {"memory": "1"}), initContainers=[container("i")]),
            "failed quota: q: must specify cpu for: a,i; limits.cpu for: a,b,i; memory for: b,i",
        ),
        (
            [quota({"pods": "9", "cpu": "9"}, used={})],
            pod_of(SMALL),
            "status unknown for quota: q, resources: cpu,pods",
        ),
        ([quota({"count/secrets": "0"})], pod_of(container()), ""),
        # scopes: those of BUSY are long-running and Burstable
        ([quota({"pods": "0"}, scopes=["Terminating"])], pod_of(container()), ""),
        (
            [quota({"pods": "0"}, scopes=["Terminating"])],
            pod_of(container(), activeDeadlineSeconds=10),
            "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0",
        ),
        (
            [quota({"pods": "1"}, scopes=["NotTerminating", "NotBestEffort"])],
            pod_of(SMALL),
            "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=1",
        ),
        ([quota({"pods": "1"}, scopes=["NotTerminating", "NotBestEffort"])], pod_of(container()), ""),
        ([quota({"pods": "1"}, scopes=["BestEffort"])], pod_of(container()), ""),
        ([quota({"pods": "0"}, **scope("PriorityClass", "In", "high"))], pod_of(SMALL, priorityClassName="low"), ""),
        ([quota({"pods": "0"}, **scope("PriorityClass", "DoesNotExist"))], pod_of(SMALL, priorityClassName="low"), ""),
        (
            [quota({"pods": "0"}, **scope("PriorityClass", "In", "high"))],
            pod_of(SMALL, priorityClassName="high"),
            "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0",
        ),
        (
            [quota({"pods": "0"}, **scope("PriorityClass"))],
            pod_of(SMALL, priorityClassName="any"),
            "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0",
        ),
        (
            [quota({"pods": "0"}, scopes=["CrossNamespacePodAffinity"])],
            pod_of(
                SMALL,
                affinity={
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "namespaceSelector": {}}}
                        ]
                    }
                },
            ),
            "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0",
        ),
    ],
)
def test_what_exceeds_a_quota_is_refused(quotas: list[Limits], value: JSON, why: str) -> None:
    meter = meter_of(resources.PODS)
    more = meter.measure(value, NOW)
    assert refusal(quotas, meter, value, more, lambda row: BUSY.used(row, meter)) == why


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({"hard": {"pods": "1", "requests.cpu": "1", "count/widgets.example.com": "1", "hugepages-2Mi": "1"}}, []),
        ({"hard": {"pods": "1"}, "scopes": ["BestEffort"]}, []),
        (
            {"hard": {"pod": "1"}},
            ['spec.hard[pod]: Invalid value: "pod": must be a standard resource for quota'],
        ),
        (
            {"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort"]},
            [
                'spec.scopes: Invalid value: []core.ResourceQuotaScope{"BestEffort"}: unsupported scope applied to'
                " resource"
            ],
        ),
        (
            {
                "hard": {"services": "1"},
                "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]},
            },
            ["spec.scopeSelector.matchExpressions: Invalid value: {…}: unsupported scope applied to resource"],
        ),
    ],
)
def test_what_a_quota_can_be(spec: JSON, errors: list[str]) -> None:
    assert [str(error) for error in validate_quota({"spec": spec})] == errors


def test_scopes_select_nothing_but_pods() -> None:
    meter = meter_of(resources.SERVICES)
    value = {"metadata": {}, "spec": {"type": "ClusterIP"}}
    quotas = [quota({"services": "0"}, scopes=["NotTerminating"])]
    assert refusal(quotas, meter, value, meter.measure(value, NOW), lambda row: {}) == ""


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "small", "ended", "best effort", "gone"]))))
def test_a_tally_is_what_counting_anew_would_give(changes: list[tuple[int, str]]) -> None:
    meter = meter_of(resources.PODS)
    values = {
        "small": pod_of(SMALL),
        "ended": pod_of(SMALL, status={"phase": "Failed"}),
        "best effort": pod_of(container(), priorityClassName="low"),
        "": pod_of(SMALL, SMALL, activeDeadlineSeconds=5),
    }
    tally, present = Tally(), {}
    for key, what in changes:
        charge = meter.measure(values[what], NOW) if what in values else None
        tally.put(key, charge)
        present[key] = charge
    anew = Tally((key, charge) for key, charge in present.items() if charge is not None)
    hard = dict.fromkeys(("pods", "count/pods", "cpu", "requests.memory"), "1")
    for row in (quota(hard), quota(hard, scopes=["BestEffort"]), quota(hard, **scope("PriorityClass"))):
        assert tally.used(row, meter) == anew.used(row, meter)


# ---- at a server -------------------------------------------------------------------------------------------------


async def limited(api: Api, name: str, hard: JSON, used: JSON | None = None) -> str:
    """A namespace with a quota whose status has been written, as the controller would."""
    path = f"/api/v1/namespaces/{name}"
    assert (await api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})).code == 201
    await api("POST", f"{path}/serviceaccounts", {"metadata": {"name": "default"}})
    body = {"metadata": {"name": "q"}, "spec": {"hard": hard}}
    assert (await api("POST", f"{path}/resourcequotas", body)).code == 201
    status = {"hard": hard, "used": dict.fromkeys(hard, "0") if used is None else used}
    answer = await api("PATCH", f"{path}/resourcequotas/q/status", {"status": status}, MERGE)
    assert answer.code == 200
    return path


async def used(api: Api, path: str) -> JSON:
    found: JSON = (await api("GET", f"{path}/resourcequotas/q")).body["status"]["used"]
    return found


def test_a_server_charges_and_refuses(server: Server) -> None:
    async def body(api: Api) -> None:
        path = await limited(api, "charged", {"pods": "1", "requests.cpu": "1", "count/configmaps": "2"})
        value = pod("a")
        answer = await api("POST", f"{path}/pods", value)
        assert answer.message == ('pods "a" is forbidden: failed quota: q: must specify requests.cpu for: main')
        value["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "300m"}}
        assert (await api("POST", f"{path}/pods?dryRun=All", value)).code == 201
        assert await used(api, path) == {"pods": "0", "requests.cpu": "0", "count/configmaps": "0"}
        assert (await api("POST", f"{path}/pods", value)).code == 201
        assert await used(api, path) == {"pods": "1", "requests.cpu": "300m", "count/configmaps": "0"}
        value["metadata"]["name"] = "b"
        answer = await api("POST", f"{path}/pods", value)
        assert (answer.code, answer.body["reason"], answer.body["details"]) == (
            403,
            "Forbidden",
            {"name": "b", "kind": "pods"},
        )
        assert answer.message == (
            'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
        )
        assert (await api("DELETE", f"{path}/pods/a")).code == 200
        assert (await api("POST", f"{path}/pods", value)).code == 201
        # a quota is asked before anybody knows whether the name is taken
        for name, code, count in (("one", 201, "1"), ("one", 409, "1"), ("two", 201, "2"), ("one", 403, "2")):
            assert (await api("POST", f"{path}/configmaps", {"metadata": {"name": name}})).code == code
            assert (await used(api, path))["count/configmaps"] == count

    server.run(body)


def test_a_service_that_becomes_more_is_charged_for_more(server: Server) -> None:
    async def body(api: Api) -> None:
        path = await limited(api, "services", {"services": "1", "services.nodeports": "1"})
        ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
        service = {"metadata": {"name": "web"}, "spec": {"ports": ports, "selector": {"app": "web"}}}
        assert (await api("POST", f"{path}/services", service)).code == 201
        answer = await api("PATCH", f"{path}/services/web", {"spec": {"type": "NodePort"}}, MERGE)
        assert answer.message == (
            'services "web" is forbidden: exceeded quota: q, requested: services.nodeports=2,'
            " used: services.nodeports=0, limited: services.nodeports=1"
        )
        patch = {"spec": {"type": "NodePort", "ports": ports[:1]}}
        assert (await api("PATCH", f"{path}/services/web", patch, MERGE)).code == 200
        assert await used(api, path) == {"services": "1", "services.nodeports": "1"}
        assert (await api("PATCH", f"{path}/services/web", {"spec": {"type": "ClusterIP"}}, MERGE)).code == 200
        assert (await api("PATCH", f"{path}/services/web", {"spec": {"type": "NodePort"}}, MERGE)).code == 200

    server.run(body)


def test_no_race_gets_past_a_quota(server: Server) -> None:
    """Creates, deletions and a controller whose cache lags behind, all at once."""

    async def body(api: Api) -> None:
        path = await limited(api, "race", {"pods": "20"})
        finished = asyncio.Event()

        async def lag() -> None:
            while not finished.is_set():
                await api("PATCH", f"{path}/resourcequotas/q/status", {"status": {"used": {"pods": "0"}}}, MERGE)

        async def most() -> int:
            seen = 0
            while not finished.is_set():
                seen = max(seen, len((await api("GET", f"{path}/pods")).body["items"]))
            return seen

        async def create(number: int) -> Answer:
            answer = await api("POST", f"{path}/pods", pod(f"p{number}"))
            if number % 5 == 0 and answer.code == 201:
                assert (await api("DELETE", f"{path}/pods/p{number}")).code == 200
            return answer

        others = [asyncio.ensure_future(lag()), asyncio.ensure_future(most())]
        answers = await asyncio.gather(*(create(number) for number in range(150)))
        finished.set()
        _, seen = await asyncio.gather(*others)
        assert {answer.code for answer in answers} == {201, 403}
        refused = {answer.message.partition("forbidden: ")[2] for answer in answers if answer.code == 403}
        assert refused == {"exceeded quota: q, requested: pods=1, used: pods=20, limited: pods=20"}
        assert seen <= 20
        left = len((await api("GET", f"{path}/pods")).body["items"])
        for number in range(20 - left):
            assert (await api("POST", f"{path}/pods", pod(f"more{number}"))).code == 201
        assert (await api("POST", f"{path}/pods", pod("last"))).code == 403
        assert (await used(api, path)) == {"pods": "20"}

    server.run(body)


# ---- with its controller -----------------------------------------------------------------------------------------


def test_a_quota_is_known_enforced_and_replenished() -> None:
    async def story(world: World) -> None:
        def shows(hard: JSON, use: JSON) -> bool:
            found = world.quotas.get("default", "q")
            return found is not None and found.status == {"hard": hard, "used": use}

        await world.deploy(replicas=2)
        await world.until(world.complete)
        hard = {"pods": "3", "count/deployments.apps": "1", "count/secrets": "9"}
        await world.client.create(ResourceQuota, {"metadata": {"name": "q"}, "spec": {"hard": hard}}, "default")
        await world.until(lambda: shows(hard, {"pods": "2", "count/deployments.apps": "1", "count/secrets": "0"}))
        with pytest.raises(ApiError, match=r"exceeded quota: q, requested: count/deployments\.apps=1"):
            await world.deploy("second")
        await world.change(replicas=5)
        await world.until(lambda: len(world.ready_pods()) == 3)
        text = "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"
        await world.until(
            lambda: any(text in row.message for each in world.sets.list() for row in each.status.conditions)
        )
        hard = {"pods": "4"}
        patch = {"spec": {"hard": {"pods": "4", "count/deployments.apps": None, "count/secrets": None}}}
        await world.client.patch(ResourceQuota, "q", patch, "default")
        await world.until(lambda: shows(hard, {"pods": "4"}) and len(world.ready_pods()) == 4)
        await world.change(replicas=1)
        await world.until(lambda: shows(hard, {"pods": "1"}))
        status = {"status": {"phase": "Succeeded"}}
        await world.client.patch(Pod, world.running_pods()[0].name, status, "default", "status")
        await world.until(lambda: shows(hard, {"pods": "1"}) and len(world.running_pods()) == 2)

    run(story)
