"""What is shown of a cluster that is up: its machines, components and links as one JSON value (``knet status``)."""

import time

import msgspec

from knet.api.objects import JSON
from knet.cluster.emulation import Emulation
from knet.cluster.processes import Running
from knet.cluster.state import StateDir
from knet.underlay import impairment
from knet.underlay.machine import Machine


def status(emulation: Emulation) -> JSON:
    now, underlay = time.monotonic(), emulation.underlay
    return {
        "config": msgspec.to_builtins(emulation.config),
        "load_balancers": emulation.pool,
        "ready": emulation.ready,
        "uptime": now - emulation.started,
        "life": emulation.life,
        "machines": [_machine(row, underlay.power(row.name)) for row in underlay.machines.values()],
        "components": [_component(row, emulation.state, now) for row in emulation.processes],
        "links": msgspec.to_builtins(underlay.links()),
        "partitions": underlay.partitions,
    }


def _machine(row: Machine, power: str) -> JSON:
    return {
        "name": row.name,
        "role": row.role,
        "state": power,
        "address": row.address,
        "addresses": list(row.addresses),
        "interface": row.interface,
        "pid": row.pid,
        "cpu": row.cpu,
        "memory": row.memory,
        "labels": dict(row.labels),
    }


def _component(row: Running, state: StateDir, now: float) -> JSON:
    return {
        "name": row.component.name,
        "machine": row.component.machine,
        "pid": row.pid,
        "restarts": row.restarts,
        "delay": impairment.in_time(row.late) if row.late else "",
        "uptime": now - row.since if row.pid else 0,
        "log": str(state.log(row.component.name, row.component.machine)),
    }
