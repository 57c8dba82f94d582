"""The loop: what has changed in the cluster becomes a new configuration, and nginx goes over to it.

nginx does that itself, on SIGHUP: new workers take new connections, old ones end when theirs have ended, so nobody is
cut off.  A configuration that nginx refuses is not taken, and the last good one stays.
"""

import asyncio
import contextlib
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from knet.api.ingress import Ingress, IngressClass
from knet.api.objects import EndpointSlice, KubeObject, LoadBalancerIngress, Secret, Service
from knet.client import ApiError, Client, EventRecorder, Informer, LeaderElector, NotFound, Unavailable
from knet.ingress import fake
from knet.ingress.model import Model, build, is_ours
from knet.ingress.nginx import FAKE, Settings, render

log = logging.getLogger("ingress")

#: seconds between two reloads, at least: a rollout changes endpoints many times (--sync-rate-limit)
REST = 0.2
_FILE = "nginx.conf"


@dataclass(frozen=True)
class Options:
    """As the flags of ingress-nginx; ``publish_service`` is NAMESPACE/NAME, "" for none."""

    controller_class: str
    ingress_class: str
    publish_service: str
    namespace: str
    election_id: str
    pod: str
    shutdown_grace_period: float


class IngressController:
    """``run`` until cancelled, or until nginx ends, which it must not."""

    def __init__(self, client: Client, options: Options, settings: Settings) -> None:
        self._client = client
        self._options = options
        self._settings = settings
        self._ingresses = Informer(client, Ingress)
        self._classes = Informer(client, IngressClass)
        self._services = Informer(client, Service)
        self._slices = Informer(client, EndpointSlice)
        self._secrets = Informer(client, Secret, field_selector="type=kubernetes.io/tls")
        self._events = EventRecorder(client, "nginx-ingress-controller")
        self._elector = LeaderElector(client, options.election_id, options.pod, options.namespace)
        self._changed = asyncio.Event()
        self._leads = False
        self._seen: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()
        self._text = ""
        self._nginx: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """RuntimeError where nginx has ended, or refuses its first configuration."""
        informers = (self._ingresses, self._classes, self._services, self._slices, self._secrets)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._events.run())
            for informer in informers:
                informer.subscribe(self._note)
                tasks.create_task(informer.run())
            for informer in informers:
                await informer.synced.wait()
            fake.write(Path(self._settings.certificate(FAKE)))
            await self._configure()
            if self._nginx is None:
                raise RuntimeError("nginx refuses its configuration")
            tasks.create_task(self._watch_nginx(self._nginx))
            tasks.create_task(self._lead())
            try:
                await self._follow()
            finally:
                await asyncio.shield(self._quit(self._nginx))

    def _note(self, old: KubeObject | None, new: KubeObject | None) -> None:
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._configure()
            if self._leads:
                await self._publish()
            await asyncio.sleep(REST)

    # ---- nginx ---------------------------------------------------------------------------------------------------

    def _ours(self) -> list[Ingress]:
        classes = list(self._classes.list())
        options = self._options
        return [
            row
            for row in self._ingresses.list()
            if not row.deleting and is_ours(row, classes, options.controller_class, options.ingress_class)
        ]

    async def _configure(self) -> None:
        ours = self._ours()
        services = {(row.namespace, row.name): row for row in self._services.list()}
        secrets = {(row.namespace, row.name): row for row in self._secrets.list()}
        model = build(ours, services, self._slices.list(), secrets)
        self._tell(ours, model)
        certificates = self._certificates(model)
        text = render(model, self._settings)
        if text == self._text and not certificates:
            return
        directory = Path(self._settings.directory)
        proposed = directory / f"{_FILE}.new"
        proposed.write_text(text)
        check = await asyncio.create_subprocess_exec(
            "nginx", "-t", "-q", "-c", str(proposed), stderr=asyncio.subprocess.PIPE
        )
        _, said = await check.communicate()
        if check.returncode:
            log.error("nginx refuses the new configuration, the last one stays: %s", said.decode().strip())
            return
        proposed.rename(directory / _FILE)
        self._text = text
        if self._nginx is None:
            self._nginx = await asyncio.create_subprocess_exec("nginx", "-c", str(directory / _FILE))
            log.info("nginx is running")
        else:
            self._nginx.send_signal(signal.SIGHUP)
            log.info("backend successfully reloaded")

    def _certificates(self, model: Model) -> bool:
        """Write the files of certificates; whether one changed."""
        changed = False
        for found in {server.certificate for server in model.servers if server.certificate is not None}:
            path = Path(self._settings.certificate(found.name))
            if not path.exists() or path.read_bytes() != found.pem:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with open(descriptor, "wb") as file:
                    file.write(found.pem)
                changed = True
        return changed

    async def _watch_nginx(self, nginx: asyncio.subprocess.Process) -> None:
        code = await nginx.wait()
        raise RuntimeError(f"nginx has ended with {code}")

    async def _quit(self, nginx: asyncio.subprocess.Process) -> None:
        """Go on until nobody sends us anything new, then let what is under way come to its end."""
        await asyncio.sleep(self._options.shutdown_grace_period)
        with contextlib.suppress(ProcessLookupError):
            nginx.send_signal(signal.SIGQUIT)
        await nginx.wait()

    # ---- what Ingresses are told ---------------------------------------------------------------------------------

    def _tell(self, ours: list[Ingress], model: Model) -> None:
        by_name = {f"{row.namespace}/{row.name}": row for row in ours}
        for row in ours:
            if self._seen.get(row.uid) != row.metadata.generation:
                self._events.event(row, "Normal", "Sync", "Scheduled for sync")
        self._seen = {row.uid: row.metadata.generation for row in ours}
        for name, why in set(model.faults) - self._told:
            log.warning("%s: %s", name, why)
            self._events.event(by_name[name], "Warning", "Rejected", why)
        self._told = set(model.faults)

    async def _lead(self) -> None:
        """Of several replicas one writes the addresses; it gives them another life when it has lost the lead."""
        while True:
            await self._elector.acquire()
            self._leads = True
            self._changed.set()
            await self._elector.hold()
            self._leads = False

    async def _publish(self) -> None:
        wanted = self._addresses()
        for row in self._ours():
            if row.status.loadBalancer.ingress != wanted:
                rows = [{"ip": entry.ip} if entry.ip else {"hostname": entry.hostname} for entry in wanted]
                patch = {"status": {"loadBalancer": {"ingress": rows or None}}}
                try:
                    await self._client.patch(Ingress, row.name, patch, row.namespace, subresource="status")
                except NotFound:
                    continue
                except (ApiError, Unavailable) as error:
                    log.warning("status of %s/%s not written: %s", row.namespace, row.name, error)

    def _addresses(self) -> tuple[LoadBalancerIngress, ...]:
        """Those of the Service before us: its load balancer's, else what else leads to it."""
        namespace, _, name = self._options.publish_service.partition("/")
        service = self._services.get(namespace, name)
        if service is None:
            return ()
        if service.spec.type == "LoadBalancer":
            found = service.status.loadBalancer.ingress
            return tuple(LoadBalancerIngress(ip=row.ip, hostname=row.hostname) for row in found)
        return tuple(LoadBalancerIngress(ip=ip) for ip in (*service.spec.externalIPs, service.spec.clusterIP) if ip)
