"""Policies for the pods of `tests/node/proxy_harness.py`, and their enforcement on that machine."""

import asyncio
from typing import Any

import msgspec

from knet.api.networking import NetworkPolicy
from knet.kernel.namespaces import run_in
from knet.policy import policies
from knet.policy.applier import Applier
from knet.policy.compile import Compiler
from knet.policy.population import NarrowPod, Population, endpoint
from knet.policy.table import Table
from tests.node.proxy_harness import CLIENT, WEB_1, WEB_2, Lab

PODS = {
    "web-1": (WEB_1, {"app": "web"}),
    "web-2": (WEB_2, {"app": "web"}),
    "client": (CLIENT, {"app": "client"}),
}
DENY = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
WEBS, CLIENTS = ({"podSelector": {"matchLabels": {"app": app}}} for app in ("web", "client"))


def compiled(*specs: dict[str, Any]) -> Table:
    """The table for the harness' pods and policies of these names: p0, p1 …"""
    pods = [
        {
            "metadata": {"namespace": "default", "name": name, "labels": labels},
            "spec": {"nodeName": "n1", "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"podIPs": [{"ip": address}, {"ip": f"fd00:10:244:1::{address.rpartition('.')[2]}"}]},
        }
        for name, (address, labels) in PODS.items()
    ]
    found = (endpoint(msgspec.convert(pod, NarrowPod), "n1") for pod in pods)
    population = Population([row for row in found if row is not None], {"default": {}})
    rows = [
        {"metadata": {"namespace": "default", "name": f"p{number}"}, "spec": spec} for number, spec in enumerate(specs)
    ]
    return Compiler().table([policies.read(msgspec.convert(row, NetworkPolicy)) for row in rows], population)


def enforce(lab: Lab, *specs: dict[str, Any]) -> None:
    run_in(lab.node, lambda: asyncio.run(Applier().apply(compiled(*specs))))
