"""Routes, and the requests for logs, pods and figures."""

import asyncio
import contextlib
import logging
import ssl
import time
from datetime import datetime
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from knet.api.exposition import CONTENT_TYPE, exposition
from knet.api.objects import Pod
from knet.kubelet.container_run import ContainerRun
from knet.kubelet.machine import Machine
from knet.kubelet.node import PORT
from knet.kubelet.pods import Pods
from knet.kubelet.runtime.logs import LogOptions, read
from knet.kubelet.server.access import Access
from knet.kubelet.server.attach import attach, replay
from knet.kubelet.server.execute import execute
from knet.kubelet.server.exposition import container_metrics, own_metrics, resource_metrics
from knet.kubelet.server.port_forward import port_forward
from knet.kubelet.server.summary import summary
from knet.kubelet.state import Attempt
from knet.kubelet.usage import Usage

log = logging.getLogger(__name__)

#: why a container waits → what its log says instead, where upstream has other words
_PENDING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
#: seconds for which a container that has ended can still be attached to, to see what it said
JUST_ENDED = 10.0


class Server:
    """`run` serves until cancelled."""

    def __init__(self, machine: Machine, pods: Pods, usage: Usage | None, pki: Path) -> None:
        """``usage`` is None where the kernel gives no account of it."""
        self._machine = machine
        self._pods = pods
        self._usage = usage
        self._pki = pki
        self._access = Access(machine.client, machine.node_name)

    async def run(self) -> None:
        app = web.Application(middlewares=[self._authorize])
        routes = "{namespace}/{pod}/{container}"
        app.router.add_get("/healthz", _healthz)
        app.router.add_get("/pods", self._list)
        app.router.add_get("/stats/summary", self._summary)
        app.router.add_get("/metrics{which:(/resource|/cadvisor)?}", self._metrics)
        app.router.add_get(f"/containerLogs/{routes}", self._logs)
        for method in ("GET", "POST"):
            app.router.add_route(method, f"/exec/{routes}", self._exec)
            app.router.add_route(method, f"/attach/{routes}", self._attach)
            app.router.add_route(method, "/portForward/{namespace}/{pod}", self._port_forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._machine.node_ip, PORT, ssl_context=self._tls(), reuse_address=True)
            await site.start()
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pki / "kubelet.crt", self._pki / "kubelet.key")
        context.load_verify_locations(self._pki / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        await self._access.check(request)
        return await handler(request)

    # ---- requests --------------------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.StreamResponse:
        items = [{"kind": "Pod", "apiVersion": "v1", **msgspec.to_builtins(pod)} for pod in self._pods.list()]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _summary(self, request: web.Request) -> web.StreamResponse:
        usage = self._measured()
        pods = usage.pods()
        brief = request.query.get("only_cpu_and_memory") == "true"
        return web.json_response(summary(self._machine, usage.machine(pods), pods, brief))

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        usage = self._measured()
        pods = usage.pods()
        families = {
            "/resource": lambda: resource_metrics(usage.machine(pods), pods),
            "/cadvisor": lambda: container_metrics(pods),
            "": lambda: own_metrics(self._machine.node_name, usage.machine(pods), pods),
        }[request.match_info["which"]]()
        return web.Response(text=exposition(families), headers={"Content-Type": CONTENT_TYPE})

    def _measured(self) -> Usage:
        if self._usage is None:
            raise web.HTTPInternalServerError(text="no usage is known: the kernel has no cgroup2 hierarchy for us")
        return self._usage

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        pod, run = self._find(request)
        attempt, alive = _attempt(pod, run, request.query.get("previous") == "true")
        options = _log_options(request)
        path = self._machine.paths(pod).log(run.spec.name, attempt.number)
        follow = request.query.get("follow") == "true" and alive
        running = run.running if follow else None
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            async for text in read(path, options, running.exit if running is not None else None):
                await response.write(text)
            await response.write_eof()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        _, run = self._find(request)
        if run.running is None:
            raise web.HTTPInternalServerError(text=f'container not found ("{run.spec.name}")')
        return await execute(request, self._machine.containers, run.running)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        pod, run = self._find(request)
        attempt = run.current
        if attempt is None or (attempt.exit is not None and time.time() - attempt.exit.at > JUST_ENDED):
            raise web.HTTPInternalServerError(text=f'container not found ("{run.spec.name}")')
        path = self._machine.paths(pod).log(run.spec.name, attempt.number)
        if run.running is None:
            return await replay(request, path)
        return await attach(request, self._machine.containers, run.running, run.spec, path)

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        found = self._pods.find(namespace, name)
        sandbox = found[1].sandbox if found is not None else None
        if sandbox is None:
            raise web.HTTPNotFound(text=f'pod does not exist: "{name}_{namespace}"')
        return await port_forward(request, sandbox)

    def _find(self, request: web.Request) -> tuple[Pod, ContainerRun]:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        container = request.match_info["container"]
        found = self._pods.find(namespace, name)
        if found is None:
            raise web.HTTPNotFound(text=f'pod "{name}" not found')
        run = found[1].runs.get(container)
        if run is None:
            raise web.HTTPNotFound(text=f"container {container} is not valid for pod {name}")
        return found[0], run


async def _healthz(_: web.Request) -> web.StreamResponse:
    return web.Response(text="ok")


def _attempt(pod: Pod, run: ContainerRun, previous: bool) -> tuple[Attempt, bool]:
    """The run whose log is meant, and whether it goes on; HTTP 400 in upstream's words where there is none."""
    view = run.view
    if previous:
        attempt = view.previous if view.running or view.waiting is None else view.current
        if attempt is None:
            name = run.spec.name
            raise web.HTTPBadRequest(text=f'previous terminated container "{name}" in pod "{pod.name}" not found')
        return attempt, False
    if view.current is None:
        first = "PodInitializing" if pod.spec.initContainers and not view.init else "ContainerCreating"
        reason = view.waiting.reason if view.waiting is not None else first
        reason = _PENDING.get(reason, reason)
        text = f'container "{run.spec.name}" in pod "{pod.name}" is waiting to start: {reason}'
        raise web.HTTPBadRequest(text=text)
    return view.current, view.running


def _log_options(request: web.Request) -> LogOptions:
    query = request.query
    since = 0.0
    try:
        if "sinceSeconds" in query:
            since = time.time() - int(query["sinceSeconds"])
        elif "sinceTime" in query:
            since = datetime.fromisoformat(query["sinceTime"]).timestamp()
        return LogOptions(
            tail=int(query["tailLines"]) if "tailLines" in query else None,
            since=since,
            timestamps=query.get("timestamps") == "true",
            limit=int(query["limitBytes"]) if "limitBytes" in query else None,
            stream={"Stdout": "stdout", "Stderr": "stderr"}.get(query.get("stream", ""), ""),
        )
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
