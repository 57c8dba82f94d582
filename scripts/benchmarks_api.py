"""What the API server does per second, in milliseconds and in memory, beside a real kube-apiserver's figures.

The server runs alone on the first core, over TLS, with its store on disk; the clients on the others.  They are lean:
requests are bytes made in advance, and of an answer no more is read than its length.  Beside each figure stands the
server's CPU time per operation, which is the same on a busy machine: its inverse is what an idle core could do.
"""

import asyncio
import json
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import uvloop

from knet.cluster.pki import Authority, write_service_account_key

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)

CONNECTIONS = 32
WATCHERS = 50
#: requests of one round
GETS, CREATES = 20_000, 6_000
OBJECTS = 100_000
PODS = "/api/v1/namespaces/default/pods"

#: as a Deployment makes it
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "",
        "labels": {"app": "web", "pod-template-hash": "6b7f675859"},
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6b7f675859", "controller": True,
             "blockOwnerDeletion": True, "uid": "6f3b6f9e-2a2b-4c3a-9d6e-0f2f5d5f4b11"}
        ],
    },
    "spec": {
        "containers": [
            {
                "name": "web",
                "image": "nginx:1.27",
                "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
                "env": [{"name": "MODE", "value": "production"}, {"name": "LEVEL", "value": "info"}],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "web"}}],
    },
}  # fmt: skip

SERVER = """
import sys, msgspec
from knet.apiserver.main import Options, main
main(msgspec.json.decode(sys.argv[1], type=Options))
"""


class Server(NamedTuple):
    """A running API server: where its certificates are, its process, its port."""

    directory: Path
    process: subprocess.Popen[bytes]
    port: int

    @property
    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.directory / "ca.crt"))
        context.load_cert_chain(self.directory / "admin.crt", self.directory / "admin.key")
        return context

    @property
    def cpu(self) -> float:
        """Seconds of CPU time that it has used, all threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        rows = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(row.split()[1]) for row in rows if row.startswith("VmRSS:")) / 1000


@contextmanager
def server() -> Iterator[Server]:
    """An API server with an empty store, on a core of its own."""
    directory = Path(tempfile.mkdtemp(prefix="knet-bench-"))
    authority = Authority.create("kubernetes")
    authority.write(directory)
    authority.sign("kube-apiserver", names=("127.0.0.1",), server=True).write(directory, "apiserver")
    authority.sign("kube-apiserver-kubelet-client", ("system:masters",)).write(directory, "apiserver-kubelet-client")
    authority.sign("kubernetes-admin", ("system:masters",)).write(directory, "admin")
    write_service_account_key(directory)
    options = {"data_dir": str(directory), "pki_dir": str(directory), "advertise_address": "127.0.0.1"}
    cores = sorted(os.sched_getaffinity(0))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        number, port = listener.fileno(), listener.getsockname()[1]
        words = [sys.executable, "-c", SERVER, json.dumps(options | {"listen_fds": [number]})]
        process = subprocess.Popen(words, stderr=(directory / "log").open("wb"), pass_fds=[number])
    os.sched_setaffinity(process.pid, cores[:1])
    os.sched_setaffinity(0, cores[1:] or cores)
    try:
        found = Server(directory, process, port)
        uvloop.run(ready(found))
        yield found
    finally:
        os.sched_setaffinity(0, cores)
        process.terminate()
        process.wait()
        shutil.rmtree(directory)


async def ready(server: Server) -> None:
    """Wait until the server answers, whose connections wait so long; make what Pods need."""
    account = {"metadata": {"name": "default"}}
    try:
        await ask(server, request("POST", "/api/v1/namespaces/default/serviceaccounts", account))
    except ConnectionError:
        raise SystemExit((server.directory / "log").read_text()) from None


# ---- clients -----------------------------------------------------------------------------------------------------


def request(method: str, path: str, body: object = None, content_type: str = "application/json") -> bytes:
    """A request as bytes, with the fields that clients of Kubernetes send."""
    data = json.dumps(body).encode() if body is not None else b""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/1 (linux/amd64)\r\n"
        f"Accept: application/json, */*\r\nContent-Type: {content_type}\r\n"
    )
    return head.encode() + (b"Content-Length: %d\r\n" % len(data) if data else b"") + b"\r\n" + data


class Caller(asyncio.Protocol):
    """One connection; ``answered`` is called with each answer, or None when the server has hung up."""

    def __init__(self, answered: Callable[["Caller", bytes | None], None]) -> None:
        self._answered = answered
        self._received = bytearray()
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._answered(self, None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._size:
            end = self._received.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            begin = self._received.find(b"Content-Length: ", 0, end) + 16
            self._size = end + int(self._received[begin : self._received.find(b"\r", begin)])
        if len(self._received) >= self._size:
            answer, self._received, self._size = bytes(self._received), bytearray(), 0
            self._answered(self, answer)


async def connect(server: Server, protocol: Callable[[], Protocol]) -> Protocol:
    """A connection to the server."""
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(protocol, "127.0.0.1", server.port, ssl=server.tls))[1]


async def ask(server: Server, data: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body of its answer."""
    answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    caller = await connect(server, lambda: Caller(lambda _, text: answer.done() or answer.set_result(text)))
    caller.transport.write(data)
    text = await answer
    caller.transport.close()
    if text is None:
        raise ConnectionResetError("the server hung up")
    return int(text[9:12]), text.partition(b"\r\n\r\n")[2]


async def drive(server: Server, requests: Iterator[bytes], connections: int = CONNECTIONS) -> float:
    """Send requests over so many connections, each as soon as the one before is answered; seconds it took."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    idle = 0

    def answered(caller: Caller, answer: bytes | None) -> None:
        nonlocal idle
        if ended.done():
            return
        if answer is None or answer[9:10] != b"2":
            ended.set_exception(SystemExit(f"bench: {answer!r}"))
        elif (data := next(requests, None)) is not None:
            caller.transport.write(data)
        else:
            idle += 1
            if idle == connections:
                ended.set_result(None)

    callers = [await connect(server, lambda: Caller(answered)) for _ in range(connections)]
    began = time.perf_counter()
    for caller in callers:
        caller.transport.write(next(requests))
    await ended
    took = time.perf_counter() - began
    for caller in callers:
        caller.transport.close()
    return took


class Watcher(asyncio.Protocol):
    """Notes when events arrive."""

    def __init__(self, path: str, times: list[float]) -> None:
        self._path = path
        self._times = times

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(request("GET", self._path))

    def data_received(self, data: bytes) -> None:
        self._times += data.count(b'{"type":"ADDED"') * [time.perf_counter()]


# ---- what is measured --------------------------------------------------------------------------------------------


def pod(name: str) -> dict[str, object]:
    return POD | {"metadata": POD["metadata"] | {"name": name}}  # type: ignore[operator]


class Measured(NamedTuple):
    """A figure, and the server's CPU seconds per operation behind it."""

    value: float
    cpu: float | None = None


def median(rows: Iterable[Measured]) -> Measured:
    """Of each of both."""
    values, times = zip(*rows, strict=True)
    return Measured(statistics.median(values), None if None in times else statistics.median(times))


def rate(server: Server, requests: list[bytes]) -> Measured:
    """Answers per second."""
    before = server.cpu
    took = uvloop.run(drive(server, iter(requests)))
    return Measured(len(requests) / took, (server.cpu - before) / len(requests))


def creates(begin: int, count: int) -> list[bytes]:
    return [request("POST", PODS, pod(f"web-6b7f675859-{number:06d}")) for number in range(begin, begin + count)]


def milliseconds(server: Server, data: bytes, times: int = 21) -> Measured:
    """Median of one request alone, on a connection that is there already."""

    async def body() -> float:
        return statistics.median([await drive(server, iter([data]), 1) for _ in range(times)]) * 1000

    before = server.cpu
    return Measured(uvloop.run(body()), (server.cpu - before) / times)


def watch_milliseconds(server: Server, first: int, writes: int = 300, per_second: int = 100) -> Measured:
    """Median from sending a write to its event's arrival, over all watchers, at a steady rate of writes."""
    path = "/api/v1/namespaces/default/configmaps"
    maps = [request("POST", path, {"metadata": {"name": f"watched-{first + number}"}}) for number in range(writes)]

    async def body() -> Measured:
        _, answer = await ask(server, request("GET", path))
        revision = json.loads(answer)["metadata"]["resourceVersion"]
        seen: list[list[float]] = [[] for _ in range(WATCHERS)]
        since = f"{path}?watch=1&resourceVersion={revision}"
        watchers = [await connect(server, lambda times=times: Watcher(since, times)) for times in seen]
        caller = await connect(server, lambda: Caller(lambda caller, answer: None))
        sent = []
        before = server.cpu
        for data in maps:
            await asyncio.sleep(1 / per_second)
            sent.append(time.perf_counter())
            caller.transport.write(data)
        while min(map(len, seen)) < writes:
            await asyncio.sleep(0.01)
        cpu = (server.cpu - before) / writes
        for connection in (*watchers, caller):
            connection.transport.close()
        took = [at - begun for times in seen for begun, at in zip(sent, times, strict=True)]
        return Measured(statistics.median(took) * 1000, cpu)

    return uvloop.run(body())


def kubectl_milliseconds(server: Server, times: int = 9) -> Measured:
    """Median of ``kubectl get pods``, process and all; its discovery is cached."""
    words = [
        "kubectl",
        f"--server=https://127.0.0.1:{server.port}",
        f"--certificate-authority={server.directory}/ca.crt",
    ]
    words += [f"--client-certificate={server.directory}/admin.crt", f"--client-key={server.directory}/admin.key"]
    words += [f"--cache-dir={server.directory}/cache", "get", "pods"]
    took = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"KUBECONFIG": os.devnull})
        took.append(time.perf_counter() - began)
    return Measured(statistics.median(took) * 1000)


def measurements(rounds: int, objects: int = OBJECTS) -> Iterator[tuple[str, Measured]]:
    """Name and value of each figure, in the order in which a store fills up; medians of so many rounds."""
    with server() as running:
        uvloop.run(drive(running, iter(creates(0, 10)), 1))
        yield "kubectl 10", kubectl_milliseconds(running)
        yield "watch", median(watch_milliseconds(running, turn * 1000) for turn in range(rounds))
        uvloop.run(drive(running, iter(creates(10, 490)), 8))
        yield "kubectl 500", kubectl_milliseconds(running)
        uvloop.run(drive(running, iter(creates(500, 500)), 8))
        yield "list", median(milliseconds(running, request("GET", PODS)) for _ in range(rounds))
        gets = [request("GET", f"{PODS}/web-6b7f675859-{n % 1000:06d}") for n in range(GETS)]
        yield "get", median(rate(running, gets) for _ in range(rounds))
        done = 1000
        yield "create", median(rate(running, creates(done + turn * CREATES, CREATES)) for turn in range(rounds))
        done += rounds * CREATES
        for begin in range(done, objects, 5000):
            uvloop.run(drive(running, iter(creates(begin, min(5000, objects - begin)))))
        yield "memory", Measured(running.megabytes / 1000)
