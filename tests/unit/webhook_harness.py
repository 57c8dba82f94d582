"""Admission webhooks for tests: a real HTTPS server, with a CA of its own, that answers as it is told."""

import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from apiserver_harness import Api

from knet.cluster.pki import Authority

JSON = dict[str, Any]
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"

#: the request of a review → the response, without its uid; bytes go out as they are, an exception is an HTTP error
Behaviour = Callable[[JSON], "JSON | bytes | Awaitable[JSON]"]


def allow(_: JSON) -> JSON:
    """No objection."""
    return {"allowed": True}


def patching(*operations: JSON) -> Behaviour:
    """Changes the object by JSON patch operations."""
    patch = base64.b64encode(orjson.dumps(operations)).decode()
    return lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": patch}


def denying(**status: Any) -> Behaviour:
    """Refuses, with a status."""
    return lambda _: {"allowed": False, "status": status}


EVERYTHING: JSON = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}


def rule(resources: str, operations: str = "CREATE", groups: str = "", versions: str = "*") -> JSON:
    """A rule for some resources."""
    return {
        "operations": operations.split(),
        "apiGroups": groups.split(" "),
        "apiVersions": versions.split(),
        "resources": resources.split(),
    }


class Webhooks:
    """The server: path → behaviour; ``asked`` are the requests of all reviews, ``urls`` the paths and queries."""

    def __init__(self, api: Api, url: str, bundle: str) -> None:
        self._api = api
        self.url = url
        self.bundle = bundle
        self.behaviours: dict[str, Behaviour] = {}
        self.asked: list[tuple[str, JSON]] = []
        self.urls: list[str] = []
        self._made: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        review = orjson.loads(await request.read())
        name = request.path.lstrip("/")
        self.asked.append((name, review["request"]))
        self.urls.append(request.path_qs)
        response = self.behaviours[name](review["request"])
        if isinstance(response, Awaitable):
            response = await response
        if isinstance(response, dict):
            uid = {"uid": review["request"]["uid"]}
            response = orjson.dumps(
                {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": uid | response}
            )
        return web.Response(body=response, content_type="application/json")

    def hook(self, name: str, **more: Any) -> JSON:
        """One row of a configuration, for all requests about ConfigMaps unless it says otherwise."""
        row: JSON = {
            "name": f"{name}.example.com",
            "clientConfig": {"url": f"{self.url}/{name}", "caBundle": self.bundle},
            "rules": [rule("configmaps", "*")],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        }
        return row | more

    async def configure(self, phase: str, name: str, *hooks: JSON) -> None:
        """Store a configuration: ``phase`` is Mutating or Validating."""
        path = f"{REGISTRATION}/{phase.lower()}webhookconfigurations"
        answer = await self._api("POST", path, {"metadata": {"name": name}, "webhooks": list(hooks)})
        assert answer.code == 201, answer.body
        self._made.append(f"{path}/{name}")

    async def add(self, phase: str, name: str, behaviour: Behaviour, **more: Any) -> None:
        """A webhook with a configuration of its own."""
        self.behaviours[name] = behaviour
        await self.configure(phase, name, self.hook(name, **more))

    async def clear(self) -> None:
        """Forget all configurations."""
        for path in self._made:
            await self._api("DELETE", path)
        self._made.clear()
        self.asked.clear()


@asynccontextmanager
async def webhooks(api: Api, directory: Path) -> AsyncIterator[Webhooks]:
    """A server for a while."""
    authority = Authority.create("webhooks")
    authority.sign("webhook", names=("127.0.0.1",), server=True).write(directory, "webhook")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "webhook.crt", directory / "webhook.key")
    hooks = Webhooks(api, "", base64.b64encode(authority.pem).decode())
    app = web.Application()
    app.router.add_route("POST", "/{name:.*}", hooks.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    hooks.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield hooks
    finally:
        await hooks.clear()
        await runner.cleanup()
