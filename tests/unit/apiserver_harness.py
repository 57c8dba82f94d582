"""An API server on the loopback for tests: its own certificates, a store in a temporary directory, a real socket."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson

from knet.api.resources import SERVICEACCOUNTS
from knet.apiserver.main import Options, serve
from knet.cluster.pki import Authority, write_service_account_key

JSON = dict[str, Any]
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "{url}", certificate-authority: {pki}/ca.crt}}}}]
users: [{{name: admin, user: {{client-certificate: {pki}/admin.crt, client-key: {pki}/admin.key}}}}]
contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]
current-context: test
"""


class Answer(NamedTuple):
    """Code and decoded body of a response; ``warnings`` are its Warning headers."""

    code: int
    body: Any
    warnings: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """Of a Status."""
        return str(self.body["message"])


class Api:
    """A client that shows exactly what the server said."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def __call__(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **headers: str
    ) -> Answer:
        data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        sent = {"Content-Type": kind, **{key.replace("_", "-"): value for key, value in headers.items()}}
        async with self.session.request(method, self.url + path, data=data, headers=sent) as response:
            text = await response.read()
            is_json = response.content_type.startswith("application/json")
            warnings = tuple(response.headers.getall("Warning", []))
            return Answer(response.status, orjson.loads(text) if is_json else text.decode(), warnings)

    async def lines(self, path: str, count: int, **headers: str) -> list[JSON]:
        """The first events of a watch."""
        found: list[JSON] = []
        async with self.session.get(self.url + path, headers=headers) as response:
            async for line in response.content:
                found.append(orjson.loads(line))
                if len(found) == count:
                    break
        return found


class Server:
    """Where a running server is, and how to talk to it."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.pki = directory / "pki"
        self.url = f"https://127.0.0.1:{port}"
        self.kubeconfig = directory / "kubeconfig"

    def tls(self, name: str = "admin") -> ssl.SSLContext:
        """Client TLS under one of the identities, "" for none."""
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        if name:
            context.load_cert_chain(self.pki / f"{name}.crt", self.pki / f"{name}.key")
        return context

    def run(self, test: Callable[[Api], Awaitable[None]], name: str = "admin") -> None:
        """Run an asynchronous test against the server."""

        async def body() -> None:
            connector = aiohttp.TCPConnector(ssl=self.tls(name), limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:
                await asyncio.wait_for(test(Api(session, self.url)), 30)

        asyncio.run(body())


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_pki(pki: Path) -> None:
    """What the API server needs, and certificates of an administrator and of a kubelet (as client: ``node``)."""
    authority = Authority.create("kubernetes")
    authority.write(pki)
    authority.sign("kube-apiserver", names=("127.0.0.1", "localhost"), server=True).write(pki, "apiserver")
    authority.sign("kube-apiserver-kubelet-client", ("system:masters",)).write(pki, "apiserver-kubelet-client")
    authority.sign("kubernetes-admin", ("system:masters",)).write(pki, "admin")
    authority.sign("system:node:n1", ("system:nodes",)).write(pki, "node")
    authority.sign("system:node:n1", ("system:nodes",), ("127.0.0.1",), server=True).write(pki, "kubelet")
    Authority.create("somebody else").sign("kubernetes-admin", ("system:masters",)).write(pki, "forged")
    write_service_account_key(pki)


@contextmanager
def running(directory: Path, **more: Any) -> Iterator[Server]:
    """A server for a while, with the service account that Pods of ``default`` need; ``more`` are options of it."""
    if not (directory / "pki").exists():
        make_pki(directory / "pki")
    port = free_port()
    server = Server(directory, port)
    server.kubeconfig.write_text(_KUBECONFIG.format(url=server.url, pki=server.pki))
    options = Options(
        data_dir=str(directory / "data"),
        pki_dir=str(server.pki),
        advertise_address="127.0.0.1",
        bind_port=port,
        **more,
    )
    loop = asyncio.new_event_loop()
    task = loop.create_task(serve(options))

    def work() -> None:
        asyncio.set_event_loop(loop)
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        server.run(_ready)
        yield server
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


async def _ready(api: Api) -> None:
    while True:
        with suppress(aiohttp.ClientConnectionError):
            if (await api("GET", "/readyz")).code == 200:
                break
    await api("POST", SERVICEACCOUNTS.path("default"), {"metadata": {"name": "default"}})


def pod(name: str = "", **more: Any) -> JSON:
    """A small Pod."""
    value: JSON = {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "busybox:1"}]}}
    return {**value, **more}


def deployment(name: str = "web", replicas: int = 3) -> JSON:
    """A small Deployment."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "nginx:1"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }
