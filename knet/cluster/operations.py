"""What people do with a cluster from a script, as coroutines on an API client: wait, run, roll out, roll back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import aiohttp
import orjson

from knet.api.names import REVISION_ANNOTATION, TEMPLATE_HASH_LABEL
from knet.api.objects import JSON
from knet.api.resources import PODS, REPLICASETS, RESOURCES, Resource
from knet.client import ApiError, Client, Gone, Unavailable
from knet.client.client import JSON_PATCH
from knet.cluster.errors import KnetError

EXEC_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
#: channels of the exec protocol (k8s.io/apimachinery/pkg/util/remotecommand)
STDIN, STDOUT, STDERR, ERROR = range(4)


@dataclass(frozen=True)
class Target:
    """``deployment/web``, ``pod/client``, ``svc/web``: an object as people name it on a command line."""

    row: Resource
    name: str
    namespace: str

    @classmethod
    def parse(cls, text: str, namespace: str = "default") -> "Target":
        """KnetError for a kind that knet does not serve, or a missing name."""
        kind, slash, name = text.partition("/")
        for row in RESOURCES:
            if kind in (row.plural, row.singular, row.kind, row.group_resource, *row.short_names):
                if not slash or not name:
                    raise KnetError(f"{text!r}: say {kind}/NAME")
                return cls(row, name, namespace if row.namespaced else "")
        raise KnetError(f'the server doesn\'t have a resource type "{kind}"')

    @property
    def path(self) -> str:
        return self.row.path(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.row.singular}/{self.name}"


async def get(client: Client, target: Target) -> JSON:
    found: JSON = orjson.loads(await client.raw("GET", target.path))
    return found


async def states(client: Client, target: Target) -> AsyncGenerator[JSON | None, None]:
    """The object now and after each change; None while it does not exist."""
    selector = {"fieldSelector": f"metadata.name={target.name}"}
    collection = target.row.path(target.namespace)
    while True:
        try:
            listing = orjson.loads(await client.raw("GET", collection, params=selector))
            items = listing["items"]
            yield items[0] if items else None
            since = {"watch": "true", "resourceVersion": listing["metadata"]["resourceVersion"]}
            async for line in client.lines(collection, selector | since):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    break
                yield None if event["type"] == "DELETED" else event["object"]
        except (Gone, Unavailable):  # the API server restarts: look again
            await asyncio.sleep(0.1)


async def until(client: Client, target: Target, done: Callable[[JSON | None], bool], what: str, timeout: float) -> None:
    """Wait for an object to be so; KnetError, with how it is instead, after ``timeout`` seconds."""
    last: JSON | None = None
    try:
        async with asyncio.timeout(timeout), contextlib.aclosing(states(client, target)) as stream:
            async for last in stream:
                if done(last):
                    return
    except TimeoutError:
        raise KnetError(f"timed out waiting for {what} on {target}: {_summary(last)}") from None


def _summary(found: JSON | None) -> str:
    if found is None:
        return "it does not exist"
    status = found.get("status") or {}
    rows = status.get("conditions") or ()
    conditions = [f"{row['type']}={row['status']} {row.get('reason', '')}".strip() for row in rows]
    return ", ".join(conditions) or str(status.get("phase") or "no status yet")


def has_condition(kind: str) -> Callable[[JSON | None], bool]:
    """True once the condition is "True" for the object's present generation."""

    def done(found: JSON | None) -> bool:
        if found is None:
            return False
        status = found.get("status") or {}
        observed = status.get("observedGeneration")
        if observed is not None and observed < found["metadata"].get("generation", 0):
            return False
        rows = status.get("conditions") or ()
        return any(row["type"].lower() == kind.lower() and row["status"] == "True" for row in rows)

    return done


def rolled_out(found: JSON | None) -> bool:
    """The test of ``kubectl rollout status`` for a Deployment."""
    if found is None:
        return False
    spec, status = found["spec"], found.get("status") or {}
    wanted = spec.get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= found["metadata"].get("generation", 0)
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


async def rollback(client: Client, target: Target) -> int:
    """Put a Deployment's previous template back, as ``kubectl rollout undo``; the revision it came from.

    KnetError where there is none to go back to.
    """
    deployment = await get(client, target)
    listing = orjson.loads(await client.raw("GET", REPLICASETS.path(target.namespace)))
    uid = deployment["metadata"]["uid"]
    revisions: list[tuple[int, JSON]] = []
    for row in listing["items"]:
        if any(owner["uid"] == uid for owner in row["metadata"].get("ownerReferences", ())):
            number = int((row["metadata"].get("annotations") or {}).get(REVISION_ANNOTATION, 0))
            revisions.append((number, row["spec"]["template"]))
    revisions.sort(key=lambda pair: pair[0])
    if len(revisions) < 2:
        raise KnetError(f"no rollout history found for {target}")
    number, template = revisions[-2]
    template["metadata"]["labels"].pop(TEMPLATE_HASH_LABEL, None)
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    await client.raw("PATCH", target.path, patch, content_type=JSON_PATCH)
    return number


@dataclass(frozen=True)
class Output:
    """What a command printed, and how it ended."""

    stdout: str
    stderr: str
    code: int


async def execute(client: Client, pod: str, namespace: str, argv: list[str], container: str = "") -> Output:
    """Run a command in a pod by the exec subresource, as ``kubectl exec``; ApiError where the pod does not run it."""
    params = [("command", word) for word in argv] + [("stdout", "true"), ("stderr", "true")]
    if container:
        params.append(("container", container))
    streams = {STDOUT: bytearray(), STDERR: bytearray(), ERROR: bytearray()}
    try:
        async with client.websocket(PODS.path(namespace, pod, "exec"), params, EXEC_PROTOCOLS) as socket:
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY and message.data:
                    streams.setdefault(message.data[0], bytearray()).extend(message.data[1:])
    except aiohttp.WSServerHandshakeError as error:
        raise ApiError(error.status, "", f"exec in pod {pod}: {error.message or error.status}") from None
    except aiohttp.ClientError as error:
        raise Unavailable(f"exec in pod {pod}: {error}") from error
    status = orjson.loads(bytes(streams[ERROR]) or b'{"status":"Failure","message":"the connection was cut"}')
    code = 0
    if status["status"] != "Success":
        causes = (status.get("details") or {}).get("causes") or []
        exits = [int(row["message"]) for row in causes if row.get("reason") == "ExitCode"]
        if not exits:
            raise ApiError(500, str(status.get("reason", "")), f"exec in pod {pod}: {status.get('message')}")
        code = exits[0]
    return Output(streams[STDOUT].decode(errors="replace"), streams[STDERR].decode(errors="replace"), code)


async def run_pod(client: Client, name: str, namespace: str, image: str) -> None:
    """A pod that does nothing but be there, as ``kubectl run NAME --image IMAGE -- sleep infinity``."""
    container = {"name": name, "image": image, "command": ["sleep", "infinity"]}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"run": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    deadline = time.monotonic() + 10
    while True:
        try:
            await client.raw("POST", PODS.path(namespace), body)
            return
        except ApiError as error:
            # the namespace's default service account is made by a controller a moment after the namespace
            if "serviceaccount" not in error.message or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
