"""/stats/summary: the kubelet's own account of what its machine and pods use, in Kubernetes' stats/v1alpha1 form.

https://github.com/kubernetes/kubelet/blob/master/pkg/apis/stats/v1alpha1/types.go
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from knet.api.objects import JSON
from knet.api.quantity import whole
from knet.kernel.accounting import Memory, Traffic
from knet.kubelet.machine import Machine
from knet.kubelet.usage import ContainerUsage, Cpu, MachineUsage, PodUsage

#: the interface that a pod's default route uses
_POD_INTERFACE = "eth0"


def summary(machine: Machine, usage: MachineUsage, pods: Sequence[PodUsage], only_cpu_and_memory: bool) -> JSON:
    """The Summary; ``only_cpu_and_memory`` as upstream's query parameter of that name."""
    return {
        "node": _node(machine, usage, only_cpu_and_memory),
        "pods": [_pod(pod, only_cpu_and_memory) for pod in pods],
    }


def _node(machine: Machine, usage: MachineUsage, brief: bool) -> JSON:
    memory = _memory(usage.cpu.at, usage.memory)
    memory["availableBytes"] = max(whole(machine.allocatable["memory"]) - usage.memory.working_set, 0)
    body: JSON = {
        "nodeName": machine.node_name,
        "systemContainers": [
            {"name": name, "startTime": _time(usage.started_at), "cpu": _cpu(cpu), "memory": _memory(cpu.at, size)}
            for name, (cpu, size) in usage.system.items()
        ],
        "startTime": _time(usage.started_at),
        "cpu": _cpu(usage.cpu),
        "memory": memory,
    }
    if not brief:
        disk = _file_system(usage.cpu.at, machine.root_dir)
        body |= {"network": _network(usage.cpu.at, usage.traffic), "fs": disk, "runtime": {"imageFs": disk}}
    return body


def _pod(pod: PodUsage, brief: bool) -> JSON:
    at = pod.containers[0].cpu.at
    body: JSON = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": _time(pod.started_at),
        "containers": [_container(row) for row in pod.containers],
        "cpu": {
            "time": _time(at),
            "usageNanoCores": sum(row.cpu.rate for row in pod.containers),
            "usageCoreNanoSeconds": sum(row.cpu.total for row in pod.containers),
        },
        "memory": _memory(at, sum((row.memory for row in pod.containers), Memory())),
    }
    if pod.traffic and not brief:
        body["network"] = _network(at, pod.traffic)
    return body


def _container(row: ContainerUsage) -> JSON:
    return {
        "name": row.name,
        "startTime": _time(row.started_at),
        "cpu": _cpu(row.cpu),
        "memory": _memory(row.cpu.at, row.memory),
    }


def _cpu(cpu: Cpu) -> JSON:
    return {"time": _time(cpu.at), "usageNanoCores": cpu.rate, "usageCoreNanoSeconds": cpu.total}


def _memory(at: float, memory: Memory) -> JSON:
    return {
        "time": _time(at),
        "usageBytes": memory.usage,
        "workingSetBytes": memory.working_set,
        "rssBytes": memory.rss,
        "pageFaults": memory.faults,
        "majorPageFaults": memory.major_faults,
    }


def _network(at: float, rows: Sequence[Traffic]) -> JSON:
    interfaces = [
        {
            "name": row.name,
            "rxBytes": row.received,
            "rxErrors": row.receive_errors,
            "txBytes": row.sent,
            "txErrors": row.send_errors,
        }
        for row in rows
    ]
    first = next((row for row in interfaces if str(row["name"]).endswith(_POD_INTERFACE)), {})
    return {"time": _time(at), **first, "interfaces": interfaces}


def _file_system(at: float, place: Path) -> JSON:
    disk = os.statvfs(place)
    return {
        "time": _time(at),
        "availableBytes": disk.f_bavail * disk.f_frsize,
        "capacityBytes": disk.f_blocks * disk.f_frsize,
        "usedBytes": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
        "inodesFree": disk.f_favail,
        "inodes": disk.f_files,
        "inodesUsed": disk.f_files - disk.f_ffree,
    }


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
