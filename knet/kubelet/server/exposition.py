"""The kubelet's metrics in Prometheus' text format: /metrics/resource, /metrics/cadvisor and /metrics.

Names and labels are upstream's: https://kubernetes.io/docs/reference/instrumentation/node-metrics/
"""

from collections.abc import Sequence

from knet.api.exposition import Family
from knet.kernel.accounting import Memory
from knet.kubelet.usage import MachineUsage, PodUsage


def resource_metrics(machine: MachineUsage, pods: Sequence[PodUsage]) -> list[Family]:
    """/metrics/resource: what a metrics server reads."""
    containers = [
        ({"container": row.name, "namespace": pod.namespace, "pod": pod.name}, row)
        for pod in pods
        for row in pod.containers
    ]
    whole = [({"namespace": pod.namespace, "pod": pod.name}, pod, pod.containers[0].cpu.at) for pod in pods]
    at = machine.cpu.at
    cpu = "Cumulative cpu time consumed by the {} in core-seconds"
    memory = "Current working set of the {} in bytes"
    return [
        Family("node_cpu_usage_seconds_total", cpu.format("node"), "counter", [({}, machine.cpu.total / 1e9, at)]),
        Family("node_memory_working_set_bytes", memory.format("node"), "gauge", [({}, machine.memory.working_set, at)]),
        Family("container_cpu_usage_seconds_total", cpu.format("container"), "counter",
               [(labels, row.cpu.total / 1e9, row.cpu.at) for labels, row in containers]),
        Family("container_memory_working_set_bytes", memory.format("container"), "gauge",
               [(labels, row.memory.working_set, row.cpu.at) for labels, row in containers]),
        Family("container_start_time_seconds", "Start time of the container since unix epoch in seconds", "gauge",
               [(labels, row.started_at, 0) for labels, row in containers]),
        Family("pod_cpu_usage_seconds_total", cpu.format("pod"), "counter",
               [(labels, sum(row.cpu.total for row in pod.containers) / 1e9, at) for labels, pod, at in whole]),
        Family("pod_memory_working_set_bytes", memory.format("pod"), "gauge",
               [(labels, _memory(pod).working_set, at) for labels, pod, at in whole]),
        Family("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", "gauge",
               [({}, 0, 0)]),
    ]  # fmt: skip


def container_metrics(pods: Sequence[PodUsage]) -> list[Family]:
    """/metrics/cadvisor: containers, and the traffic of the pods that they are in."""
    rows = [
        ({"container": row.name, "namespace": pod.namespace, "pod": pod.name}, row)
        for pod in pods
        for row in pod.containers
    ]
    links = [
        ({"interface": link.name, "namespace": pod.namespace, "pod": pod.name}, link, pod.containers[0].cpu.at)
        for pod in pods
        for link in pod.traffic
    ]
    return [
        Family("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", "counter",
               [(labels, row.cpu.total / 1e9, row.cpu.at) for labels, row in rows]),
        Family("container_memory_usage_bytes", "Current memory usage in bytes, including all memory.", "gauge",
               [(labels, row.memory.usage, row.cpu.at) for labels, row in rows]),
        Family("container_memory_working_set_bytes", "Current working set in bytes.", "gauge",
               [(labels, row.memory.working_set, row.cpu.at) for labels, row in rows]),
        Family("container_memory_rss", "Size of RSS in bytes.", "gauge",
               [(labels, row.memory.rss, row.cpu.at) for labels, row in rows]),
        Family("container_start_time_seconds", "Start time of the container since unix epoch in seconds.", "gauge",
               [(labels, row.started_at, 0) for labels, row in rows]),
        Family("container_network_receive_bytes_total", "Cumulative count of bytes received", "counter",
               [(labels, link.received, at) for labels, link, at in links]),
        Family("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", "counter",
               [(labels, link.sent, at) for labels, link, at in links]),
    ]  # fmt: skip


def own_metrics(node: str, machine: MachineUsage, pods: Sequence[PodUsage]) -> list[Family]:
    """/metrics: the kubelet itself."""
    own, size = machine.system["kubelet"]
    return [
        Family("kubelet_node_name", "The node's name. The count is always 1.", "gauge", [({"node": node}, 1, 0)]),
        Family("kubelet_running_pods", "Number of pods that have a running pod sandbox", "gauge",
               [({}, len(pods), 0)]),
        Family("kubelet_running_containers", "Number of containers currently running", "gauge",
               [({"container_state": "running"}, sum(len(pod.containers) for pod in pods), 0)]),
        Family("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", "counter",
               [({}, own.total / 1e9, 0)]),
        Family("process_resident_memory_bytes", "Resident memory size in bytes.", "gauge", [({}, size.working_set, 0)]),
    ]  # fmt: skip


def _memory(pod: PodUsage) -> Memory:
    return sum((row.memory for row in pod.containers), Memory())
