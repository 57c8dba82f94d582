"""What components tell of themselves."""

import asyncio
from collections.abc import Iterable

from apiserver_harness import free_port

from knet.api.exposition import Distribution, Family, exposition
from knet.client import Controller, Key, Result, observe
from knet.client.controller import queue_families
from knet.proxy.metrics import Metrics as ProxyMetrics
from knet.scheduler.metrics import Metrics as SchedulerMetrics


def test_metrics_are_served_on_the_loopback() -> None:
    async def ask(port: int, path: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        return answer

    async def body() -> None:
        port, made = free_port(), Family("lab_pods", "Pods of a lab.", "gauge", [({"node": "n1"}, 3, 0)])
        serving = asyncio.create_task(observe.serve(port, lambda: [made]))
        while True:
            try:
                found = await ask(port, "/metrics")
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0)
        assert found.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n")
        assert '# TYPE lab_pods gauge\nlab_pods{node="n1"} 3\n' in found
        for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"):
            assert f"\n{name} " in found
        assert (await ask(port, "/healthz")).endswith("\r\n\r\nok")
        assert (await ask(port, "/nothing")).startswith("HTTP/1.1 404 Not Found\r\n")
        await asyncio.wait_for(observe.serve(port, list), 5)  # taken: a line in the log
        serving.cancel()

    asyncio.run(body())


def lines(families: Iterable[Family | Distribution]) -> list[str]:
    return [line for line in exposition(families).splitlines() if not line.startswith("#") and "_bucket" not in line]


def test_the_schedulers_attempts_by_result_and_its_queues() -> None:
    metrics = SchedulerMetrics()
    metrics.attempted("default-scheduler", "scheduled", 0.5)
    metrics.attempted("default-scheduler", "scheduled", 0.25)
    metrics.attempted("packer", "unschedulable", 0.5)
    found = lines(metrics.families({"active": 0, "gated": 2}))
    assert 'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 2' in found
    assert 'scheduler_schedule_attempts_total{profile="packer",result="unschedulable"} 1' in found
    labels = '{profile="default-scheduler",result="scheduled"}'
    assert f"scheduler_scheduling_attempt_duration_seconds_sum{labels} 0.75" in found
    assert 'scheduler_pending_pods{queue="gated"} 2' in found


def test_controllers_queues_are_counted() -> None:
    class Never:
        async def reconcile(self, key: Key) -> Result | None:
            raise AssertionError("not asked for")

    async def body() -> None:
        controller = Controller("deployment", Never())
        for name in ("a", "a", "b"):
            controller.enqueue(Key("default", name))
        controller.queue.retry(Key("default", "c"))
        found = lines(queue_families([controller]))
        assert 'workqueue_depth{name="deployment"} 2' in found
        assert 'workqueue_adds_total{name="deployment"} 2' in found
        assert 'workqueue_retries_total{name="deployment"} 1' in found

    asyncio.run(body())


def test_the_time_from_a_change_to_its_rules_is_told_by_family() -> None:
    metrics = ProxyMetrics()
    metrics.queued(4)
    metrics.queued(4)
    metrics.synced(4)
    metrics.synced(6)  # nothing had changed there
    found = "\n".join(lines(metrics.families()))
    assert 'kubeproxy_network_programming_duration_seconds_count{ip_family="IPv4"} 1' in found
    assert 'duration_seconds_count{ip_family="IPv6"}' not in found
    assert 'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv6"}' in found
