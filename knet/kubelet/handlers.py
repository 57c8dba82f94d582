"""Asking a container: HTTP, TCP, a command inside, or a pause. What probes and lifecycle hooks are made of.

Requests leave from the machine, as a real kubelet's do.  Answers and wording: upstream's pkg/probe.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from knet.api.families import host_port
from knet.api.names import KUBERNETES_VERSION
from knet.api.objects import Container, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction

#: of an answer's body and of a command's output, bytes that end up in a message
SHOWN = 10 * 1024
USER_AGENT = "kube-probe/" + ".".join(KUBERNETES_VERSION.lstrip("v").split(".")[:2])


class Verdict(Enum):
    """UNKNOWN: nobody could be asked, for want of a port or a program. For a probe that counts neither way."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    """What came of asking, and how a message tells it."""

    verdict: Verdict
    text: str = ""

    @property
    def good(self) -> bool:
        return self.verdict is Verdict.SUCCESS


#: run a command in the container: exit code and output; OSError if it cannot be started
Execute = Callable[[tuple[str, ...]], Awaitable[tuple[int, str]]]


@dataclass(frozen=True)
class Target:
    """Whom to ask: a container of a pod at ``address``."""

    container: Container
    address: str
    execute: Execute


def port_number(container: Container, port: int | str) -> int:
    """The number of a port given by number or by name; ValueError, in upstream's words, where there is no such name."""
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    for row in container.ports:
        if row.name == port:
            return row.containerPort
    raise ValueError(f'strconv.Atoi: parsing "{port}": invalid syntax')


def title(handler: Probe | LifecycleHandler, container: Container) -> str:
    """What a handler asks, in a few words: "GET /healthz:8080", "tcp :80", "exec cat", "grpc :9000"."""
    if (http := handler.httpGet) is not None:
        return f"GET {http.path if http.path.startswith('/') else '/' + http.path}:{http.port}"
    if handler.tcpSocket is not None:
        return f"tcp :{handler.tcpSocket.port}"
    if handler.exec is not None:
        return f"exec {' '.join(handler.exec.command[:1])}"
    if isinstance(handler, Probe) and handler.grpc is not None:
        return f"grpc :{handler.grpc.port}"
    return "sleep"


async def ask(handler: Probe | LifecycleHandler, target: Target, timeout: float | None) -> Answer:
    """Carry out a handler within ``timeout`` seconds (None: no limit); never raises for what the container does."""
    try:
        if handler.httpGet is not None:
            return await _http(handler.httpGet, target, timeout)
        if handler.tcpSocket is not None:
            return await _tcp(handler.tcpSocket, target, timeout)
        if handler.exec is not None:
            return await _exec(handler.exec.command, target, timeout)
        if isinstance(handler, Probe) and handler.grpc is not None:
            from knet.kubelet import grpc_health  # 20 MB that most machines never need

            return await grpc_health.check(target.address, handler.grpc.port, handler.grpc.service, timeout)
        if isinstance(handler, LifecycleHandler) and handler.sleep is not None:
            await asyncio.sleep(handler.sleep.seconds)
            return Answer(Verdict.SUCCESS)
    except ValueError as error:
        return Answer(Verdict.UNKNOWN, str(error))
    return Answer(Verdict.FAILURE, "missing probe handler")


async def _http(action: HTTPGetAction, target: Target, timeout: float | None) -> Answer:
    host = action.host or target.address
    port = port_number(target.container, action.port)
    path = action.path if action.path.startswith("/") else f"/{action.path}"
    url = f"{action.scheme.lower()}://{host_port(host, port)}{path}"
    try:
        async with asyncio.timeout(timeout):
            status, body = await _get(action, host, port, path)
    except TimeoutError:
        text = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        return Answer(Verdict.FAILURE, text)
    except OSError as error:
        return Answer(Verdict.FAILURE, f'Get "{url}": {_dial_error(host, port, error)}')
    except (ValueError, EOFError):
        return Answer(Verdict.FAILURE, f'Get "{url}": EOF')
    if 200 <= status < 400:
        return Answer(Verdict.SUCCESS, body)
    return Answer(Verdict.FAILURE, f"HTTP probe failed with statuscode: {status}")


async def _get(action: HTTPGetAction, host: str, port: int, path: str) -> tuple[int, str]:
    """One GET; status and the beginning of the body. ValueError or EOFError for something that is not HTTP."""
    given = {row.name.lower(): row for row in action.httpHeaders}
    lines = [f"GET {path} HTTP/1.1"]
    for name, value in (("Host", host_port(host, port)), ("User-Agent", USER_AGENT), ("Accept", "*/*")):
        if name.lower() not in given:
            lines.append(f"{name}: {value}")
    lines += [f"{row.name}: {row.value}" for row in action.httpHeaders]
    request = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
    answer = await (_ask_tls if action.scheme.upper() == "HTTPS" else _ask_plain)(host, port, request)
    first, _, rest = answer.partition(b"\r\n")
    words = first.split()
    if len(words) < 2:
        raise EOFError
    status = int(words[1])
    return status, "" if 200 <= status < 400 else rest.decode(errors="replace")


async def _ask_plain(host: str, port: int, request: bytes) -> bytes:
    """Send a request; the first part of the answer, its status line included. A third of what streams cost."""
    loop = asyncio.get_running_loop()
    with socket.socket(_family(host), socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (host, port))
        await loop.sock_sendall(sock, request)
        answer = b""
        while b"\r\n" not in answer:
            part = await loop.sock_recv(sock, SHOWN)
            if not part:
                break
            answer += part
        return answer


async def _ask_tls(host: str, port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, ssl=_unverified())
    try:
        writer.write(request)
        return await reader.readline() + b"\r\n"
    finally:
        writer.close()


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _unverified() -> ssl.SSLContext:
    """Probes do not check certificates, by upstream's documentation."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _tcp(action: TCPSocketAction, target: Target, timeout: float | None) -> Answer:
    host = action.host or target.address
    port = port_number(target.container, action.port)
    try:
        with socket.socket(_family(host), socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except TimeoutError:
        return Answer(Verdict.FAILURE, f"dial tcp {host_port(host, port)}: i/o timeout")
    except OSError as error:
        return Answer(Verdict.FAILURE, _dial_error(host, port, error))
    return Answer(Verdict.SUCCESS)


async def _exec(command: tuple[str, ...], target: Target, timeout: float | None) -> Answer:
    try:
        async with asyncio.timeout(timeout):
            code, output = await target.execute(command)
    except TimeoutError:
        return Answer(Verdict.FAILURE, f'command "{" ".join(command)}" timed out')
    except OSError as error:
        return Answer(Verdict.UNKNOWN, f"rpc error: code = Unknown desc = failed to exec in container: {error}")
    return Answer(Verdict.SUCCESS if code == 0 else Verdict.FAILURE, output)


def _dial_error(host: str, port: int, error: OSError) -> str:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"dial tcp {host_port(host, port)}: connect: {reason}"
