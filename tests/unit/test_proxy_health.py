"""What kube-proxy answers to load balancers and to those who ask after its own health."""

import asyncio
import json
import re

import aiohttp
import pytest
from apiserver_harness import free_port

from knet.api.objects import Meta, Node, NodeSpec, Taint
from knet.proxy.health import TO_BE_DELETED_TAINT, Freshness, Health, eligible, service_answer
from knet.proxy.snapshot import build
from tests.cluster_objects import endpoint_slice, service


class Clock:
    """Time that a test moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_services_answer_is_upstreams():
    answer = service_answer("default", "web", 2, True)
    assert answer.status == 200
    assert answer.content_type == "application/json"
    assert answer.headers == {"X-Content-Type-Options": "nosniff", "X-Load-Balancing-Endpoint-Weight": "2"}
    assert answer.body == (
        '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n'
        '\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}'
    )


@pytest.mark.parametrize(("endpoints", "healthy", "status"), [(1, True, 200), (0, True, 503), (1, False, 503)])
def test_a_machine_gets_traffic_while_it_has_endpoints_and_works(endpoints, healthy, status):
    assert service_answer("default", "web", endpoints, healthy).status == status


def test_kube_proxy_is_healthy_until_a_change_has_waited_for_too_long():
    clock = Clock()
    fresh = Freshness(20, clock)
    fresh.queued()
    clock.now += 30
    assert fresh.healthy, "before its first sync"
    fresh.updated()
    clock.now += 1000
    assert fresh.healthy, "while nothing changes"
    fresh.queued()
    clock.now += 19
    fresh.queued()
    assert fresh.healthy
    clock.now += 1
    assert [fresh.answer(path, True).status for path in ("/healthz", "/livez")] == [503, 503]
    fresh.updated()
    assert fresh.healthy


def test_a_family_that_is_stuck_is_not_hidden_by_one_that_works():
    clock = Clock()
    fresh = Freshness(20, clock)
    fresh.updated(4)
    fresh.updated(6)
    fresh.queued(4)
    fresh.queued(6)
    clock.now += 30
    fresh.updated(4)
    assert not fresh.healthy
    fresh.updated(6)
    assert fresh.healthy


def test_a_machine_that_is_about_to_go_is_alive_but_not_healthy():
    fresh = Freshness(20, Clock())
    assert [fresh.answer(path, False).status for path in ("/healthz", "/livez", "/")] == [503, 200, 404]
    assert json.loads(fresh.answer("/healthz", False).body)["nodeEligible"] is False


def test_times_are_spelled_as_go_does():
    times = json.loads(Freshness(20).answer("/livez", True).body)
    assert times.keys() == {"lastUpdated", "currentTime"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0000 UTC m=\+\d+\.\d{9}", times["currentTime"])


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (None, True),
        (Node(metadata=Meta(name="n1")), True),
        (Node(metadata=Meta(name="n1"), spec=NodeSpec(taints=(Taint(key="other", effect="NoSchedule"),))), True),
        (Node(metadata=Meta(name="n1", deletionTimestamp="2026-01-01T00:00:00Z")), False),
        (
            Node(
                metadata=Meta(name="n1"), spec=NodeSpec(taints=(Taint(key=TO_BE_DELETED_TAINT, effect="NoSchedule"),))
            ),
            False,
        ),
    ],
)
def test_which_machines_stay(machine, expected):
    assert eligible(machine) == expected


def local(port, *addresses, name="web"):
    made = service(name, balanced=["192.0.2.8"], externalTrafficPolicy="Local", healthCheckNodePort=port)
    return build([made], [endpoint_slice(name, *addresses)], "n1")


def test_health_check_ports_open_answer_and_close_with_their_service():
    first, second, told = free_port(), free_port(), []

    def tell(about, *what):
        told.append((about.namespace, about.name, *what))

    async def test():
        health = Health("n1", "iptables", Freshness(20), lambda: None, tell)
        async with aiohttp.ClientSession() as client, health:

            async def ask(port):
                async with client.get(f"http://127.0.0.1:{port}/any/path") as answer:
                    return answer.status, json.loads(await answer.text())["localEndpoints"]

            await health.synced(local(first, "10.244.1.2", "10.244.2.2"))
            assert await ask(first) == (200, 1)
            await health.synced(local(first, "10.244.2.2"))
            assert await ask(first) == (503, 0)
            await health.synced(local(second, "10.244.1.2"))
            assert await ask(second) == (200, 1)
            with pytest.raises(aiohttp.ClientConnectorError):
                await ask(first)
            blocker = await asyncio.start_server(lambda *_: None, port=first)
            await health.synced(local(first, "10.244.1.2", name="late"))
            blocker.close()
            assert told == [
                (
                    "default",
                    "late",
                    "Warning",
                    "FailedToStartServiceHealthcheck",
                    f'node n1 failed to start healthcheck "default/late" on port {first}:'
                    f" listen tcp :{first}: bind: address already in use",
                )
            ]
            await health.synced(build([], [], "n1"))
            with pytest.raises(aiohttp.ClientConnectorError):
                await ask(second)

    asyncio.run(test())
