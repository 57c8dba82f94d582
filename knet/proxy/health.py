"""What kube-proxy answers to those who ask after it, over plain HTTP.

- Port 10256: ``/healthz``, is this machine good for traffic from load balancers; ``/livez``, does kube-proxy work.
  They differ where the machine is about to go (KEP-3836).
- Port 127.0.0.1:10249: ``/proxyMode``, which mode is in force; ``/metrics``, how long it takes to follow changes.
- ``healthCheckNodePort`` of each Service with externalTrafficPolicy Local: how many of its pods are on this machine.
  A load balancer sends traffic to machines that answer 200, and for each endpoint the same share.

Upstream: pkg/proxy/healthcheck.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from knet.api.exposition import CONTENT_TYPE, exposition
from knet.api.objects import KubeObject, Meta, Node, Service
from knet.client import observe
from knet.kernel import pages
from knet.kernel.pages import NOT_FOUND, Page
from knet.proxy.metrics import Metrics
from knet.proxy.snapshot import HealthCheck, Snapshot

log = logging.getLogger(__name__)

#: --healthz-bind-address, --metrics-bind-address
HEALTHZ_PORT, METRICS_PORT = 10256, 10249
#: the cluster autoscaler is about to remove the machine
TO_BE_DELETED_TAINT = "ToBeDeletedByClusterAutoscaler"
_JSON = "application/json"
_NO_SNIFF = {"X-Content-Type-Options": "nosniff"}


class Freshness:
    """Whether what the API server says reaches the kernel: no change has waited for longer than ``timeout`` seconds.

    While nothing changes kube-proxy is healthy, as it is until its first sync.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self._started = clock()
        self._waiting_since: dict[int, float] = {}
        self._updated: dict[int, float] = {}

    def queued(self, family: int = 4) -> None:
        """A change has come in that this address family's rules have to follow."""
        self._waiting_since.setdefault(family, self._clock())

    def updated(self, family: int = 4) -> None:
        """All that had come in is in force."""
        self._waiting_since.pop(family, None)
        self._updated[family] = self._clock()

    @property
    def healthy(self) -> bool:
        now = self._clock()
        late = [family for family, since in self._waiting_since.items() if now - since >= self._timeout]
        return not any(family in self._updated for family in late)

    def answer(self, path: str, eligible: bool) -> Page:
        """To GET ``path``; ``eligible``: the machine is there to stay."""
        now = self._clock()
        if path == "/livez":
            good, more = self.healthy, ""
        elif path == "/healthz":
            good, more = self.healthy and eligible, f', "nodeEligible": {_go(eligible)}'
        else:
            return NOT_FOUND
        last = now if good else min(self._updated.values(), default=now)
        began = time.time() - (now - self._started)
        times = f'"lastUpdated": "{self._spelled(last, began)}","currentTime": "{self._spelled(now, began)}"'
        return Page("{" + times + more + "}", 200 if good else 503, _JSON, _NO_SNIFF)

    def _spelled(self, moment: float, began: float) -> str:
        """As Go prints a time.Time: with the seconds since the process began."""
        passed = moment - self._started
        return f"{datetime.fromtimestamp(began + passed, UTC):%Y-%m-%d %H:%M:%S.%f} +0000 UTC m=+{passed:.9f}"


def service_answer(namespace: str, name: str, local_endpoints: int, healthy: bool) -> Page:
    """What a load balancer is told about a Service on this machine."""
    body = (
        f'{{\n\t"service": {{\n\t\t"namespace": "{namespace}",\n\t\t"name": "{name}"\n\t}},\n'
        f'\t"localEndpoints": {local_endpoints},\n\t"serviceProxyHealthy": {_go(healthy)}\n}}'
    )
    headers = {**_NO_SNIFF, "X-Load-Balancing-Endpoint-Weight": str(local_endpoints)}
    return Page(body, 200 if local_endpoints and healthy else 503, _JSON, headers)


def eligible(machine: Node | None) -> bool:
    """Whether a machine should get traffic at all."""
    if machine is None:
        return True
    return not machine.deleting and all(taint.key != TO_BE_DELETED_TAINT for taint in machine.spec.taints)


def _go(truth: bool) -> str:
    return msgspec.json.encode(truth).decode()


Tell = Callable[[KubeObject, str, str, str], None]


class FamilyHealth(NamedTuple):
    """Hears of one address family's changes and syncs from its `knet.proxy.sync.Syncer`."""

    health: "Health"
    family: int

    def queued(self) -> None:
        self.health.fresh.queued(self.family)
        self.health.metrics.queued(self.family)

    async def synced(self, snapshot: Snapshot) -> None:
        await self.health.synced(snapshot)


class Health:
    """The servers; a context."""

    def __init__(
        self, node_name: str, mode: str, fresh: Freshness, machine: Callable[[], Node | None], tell: Tell
    ) -> None:
        """``machine`` gives the Node that this is; ``tell`` is `knet.client.EventRecorder.event`."""
        self._node_name = node_name
        self._mode = mode
        self.fresh = fresh
        self._machine = machine
        self._tell = tell
        self._own: list[asyncio.Server] = []
        self._answered: dict[int, Snapshot] = {}
        self._checks: dict[int, Mapping[tuple[str, str], HealthCheck]] = {}
        self._open: dict[tuple[str, str], tuple[int, asyncio.Server]] = {}
        self._local_endpoints: dict[tuple[str, str], int] = {}
        self.metrics = Metrics()

    async def __aenter__(self) -> "Health":
        def modes(path: str) -> Page:
            if path == "/metrics":
                families = [*self.metrics.families(), *observe.process()]
                return Page(exposition(families), content_type=CONTENT_TYPE)
            return Page(self._mode, headers=_NO_SNIFF) if path == "/proxyMode" else NOT_FOUND

        def health(path: str) -> Page:
            return self.fresh.answer(path, eligible(self._machine()))

        for host, port, page in (("", HEALTHZ_PORT, health), ("127.0.0.1", METRICS_PORT, modes)):
            try:
                self._own.append(await pages.serve(host, port, page))
            except OSError as error:
                log.error("failed to listen on port %d: %s", port, error)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in (*self._own, *(server for _, server in self._open.values())):
            server.close()

    async def synced(self, snapshot: Snapshot) -> None:
        """The rules are in force: answer for what they lead to."""
        self.fresh.updated(snapshot.family)
        self.metrics.synced(snapshot.family)
        before = self._answered.get(snapshot.family, Snapshot({}))
        self._answered[snapshot.family] = snapshot
        ports = (row.ports.get(name) for name in snapshot.different(before) for row in (before, snapshot))
        if any(port is not None and port.health_check_port for port in ports):
            await self._answer_for(snapshot)

    async def _answer_for(self, snapshot: Snapshot) -> None:
        self._checks[snapshot.family] = snapshot.health_checks
        wanted: dict[tuple[str, str], HealthCheck] = {}
        for checks in self._checks.values():
            for service, check in checks.items():
                wanted[service] = max(check, wanted.get(service, check))
        self._local_endpoints = {service: check.local_endpoints for service, check in wanted.items()}
        for service, (port, server) in list(self._open.items()):
            if service not in wanted or wanted[service].port != port:
                server.close()
                del self._open[service]
        for service, check in wanted.items():
            if service not in self._open:
                await self._listen(service, check.port)

    async def _listen(self, service: tuple[str, str], port: int) -> None:
        def page(_path: str) -> Page:
            return service_answer(*service, self._local_endpoints.get(service, 0), self.fresh.healthy)

        try:
            self._open[service] = port, await pages.serve("", port, page)
        except OSError as error:
            name = "/".join(service)
            reason = f"listen tcp :{port}: bind: {os.strerror(error.errno or 0).lower()}"
            message = f'node {self._node_name} failed to start healthcheck "{name}" on port {port}: {reason}'
            log.error("%s", message)
            about = Service(metadata=Meta(namespace=service[0], name=service[1], uid=name))
            self._tell(about, "Warning", "FailedToStartServiceHealthcheck", message)
