"""pods/log, exec, attach and portforward: passed on to the Pod's kubelet.

A WebSocket is opened to the kubelet first, with the subprotocols that the client offers; what the kubelet chooses is
offered to the client, and from then on messages are copied both ways, unread.  So every version of the remote command
protocol works that the kubelet knows (v5.channel.k8s.io half-closes, v4 does not).
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import aiohttp
from aiohttp import WSMsgType, web

from knet.apiserver.call import Call
from knet.apiserver.options import flag
from knet.apiserver.reads import find
from knet.apiserver.status import StatusError, bad_request
from knet.apiserver.subresources.kubelets import Kubelets
from knet.store import Object

_LOG_OPTIONS = (
    "follow",
    "previous",
    "timestamps",
    "sinceSeconds",
    "sinceTime",
    "tailLines",
    "limitBytes",
    "insecureSkipTLSVerifyBackend",
    "stream",
)
#: the API's name of a stream → the kubelet's
_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}

Query = list[tuple[str, str]]


class Streams:
    """The handlers; they share the session to the kubelets."""

    def __init__(self, kubelets: Kubelets) -> None:
        self._kubelets = kubelets

    async def log(self, call: Call) -> web.StreamResponse:
        """GET pods/log: text, as long as it flows."""
        pod = find(call.context, call.target).decode()
        container = choose_container(pod, call.query.get("container", ""))
        node = pod["spec"].get("nodeName")
        if not node:
            return web.Response(text="")
        for key in ("sinceSeconds", "tailLines", "limitBytes"):
            text = call.query.get(key, "")
            if text and not text.isdecimal():
                raise bad_request(f'{key}: Invalid value: "{text}": must be a whole number greater than or equal to 0')
        query = [(key, call.query[key]) for key in _LOG_OPTIONS if key in call.query]
        path = f"/containerLogs/{call.target.namespace}/{call.target.name}/{container}"
        return await self._copy(call, self._kubelets.url(node) + path, query)

    async def exec(self, call: Call) -> web.StreamResponse:
        """pods/exec: run a command in a container."""
        commands = [("command", word) for word in call.request.query.getall("command", [])]
        if not commands:
            raise bad_request("you must specify at least 1 command for the container")
        return await self._remote_command(call, "exec", commands)

    async def attach(self, call: Call) -> web.StreamResponse:
        """pods/attach: the streams of a container's first process."""
        return await self._remote_command(call, "attach", [])

    async def port_forward(self, call: Call) -> web.StreamResponse:
        """pods/portforward: connections into the pod's network namespace."""
        pod = find(call.context, call.target).decode()
        url = f"{self._kubelet_of(pod)}/portForward/{call.target.namespace}/{call.target.name}"
        ports = [("port", port) for port in call.request.query.getall("ports", [])]
        return await self._tunnel(call, url, ports)

    async def _remote_command(self, call: Call, verb: str, query: Query) -> web.StreamResponse:
        pod = find(call.context, call.target).decode()
        container = choose_container(pod, call.query.get("container", ""))
        query = query + [(name, "1") for key, name in _STREAMS.items() if flag(call.query, key)]
        url = f"{self._kubelet_of(pod)}/{verb}/{call.target.namespace}/{call.target.name}/{container}"
        return await self._tunnel(call, url, query)

    def _kubelet_of(self, pod: Object) -> str:
        node = pod["spec"].get("nodeName")
        if not node:
            raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
        return self._kubelets.url(node)

    async def _copy(self, call: Call, url: str, query: Query) -> web.StreamResponse:
        try:
            upstream = await self._kubelets.session.get(url, params=query)
        except aiohttp.ClientConnectionError as error:
            raise _unreachable(url, error) from None
        async with upstream:
            if upstream.status != 200:
                raise _refused(upstream.status, await upstream.text())
            response = web.StreamResponse(headers={"Content-Type": "text/plain"})
            response.enable_chunked_encoding()
            await response.prepare(call.request)
            # from here on an error has no place in the answer: the stream ends where the kubelet, or the client, did
            with suppress(aiohttp.ClientError, ConnectionError):
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    async def _tunnel(self, call: Call, url: str, query: Query) -> web.StreamResponse:
        if call.request.headers.get("Upgrade", "").lower() != "websocket":
            raise bad_request("unable to upgrade: only WebSocket is spoken here (kubectl 1.31 or later)")
        protocols = _protocols(call.request)
        try:
            inner = await self._kubelets.session.ws_connect(
                url, params=query, protocols=protocols, max_msg_size=0, autoping=False, compress=0
            )
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(error.status, error.message) from None
        except aiohttp.ClientConnectionError as error:
            raise _unreachable(url, error) from None
        async with inner:
            outer = web.WebSocketResponse(
                protocols=[inner.protocol] if inner.protocol else (), max_msg_size=0, autoping=False, compress=False
            )
            await outer.prepare(call.request)
            copies = {
                asyncio.ensure_future(_relay(outer, inner)),
                asyncio.ensure_future(_relay(inner, outer)),
            }
            try:
                # either side's end is the end of both
                await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for copy in copies:
                    copy.cancel()
                await asyncio.gather(*copies, return_exceptions=True)
            await outer.close(code=inner.close_code or 1000)
            return outer


Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _relay(source: Socket, sink: Socket) -> None:
    """Copy messages until the source closes or the sink is gone."""
    try:
        while True:
            message = await source.receive()
            if message.type is WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is WSMsgType.PING:
                await sink.ping(message.data)
            elif message.type is WSMsgType.PONG:
                await sink.pong(message.data)
            else:
                return
    except ConnectionError:
        return


def _protocols(request: web.BaseRequest) -> list[str]:
    lines: Iterable[str] = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [part.strip() for line in lines for part in line.split(",")]


def choose_container(pod: Object, name: str) -> str:
    """The container meant; StatusError 400 if there is no such one, or several and none is named."""
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    names = [row["name"] for row in spec.get("containers", ())]
    others = [row["name"] for key in ("initContainers", "ephemeralContainers") for row in spec.get(key, ())]
    if name:
        if name not in names and name not in others:
            raise bad_request(f"container {name} is not valid for pod {pod_name}")
        return name
    if len(names) == 1:
        return str(names[0])
    raise bad_request(f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]")


def _refused(code: int, text: str) -> StatusError:
    """What the kubelet said, under its code where clients know it."""
    text = text.strip() or "the kubelet refused"
    if code == 404:
        return StatusError(404, "NotFound", text)
    return bad_request(text) if code == 400 else StatusError(500, "InternalError", text)


def _unreachable(url: str, error: Exception) -> StatusError:
    return StatusError(500, "InternalError", f'Internal error occurred: error dialing backend: Get "{url}": {error}')
