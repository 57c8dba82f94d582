"""Machines that join and leave a running cluster: what a user's side has to do.

The supervisor plugs a machine in or pulls it out (`knet.cluster.emulation`).  Before a machine leaves, its pods are
moved as ``kubectl drain`` moves them; after it, its Node is deleted, and with it what the others know of its pods.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import orjson

from knet.api.names import MIRROR_ANNOTATION
from knet.api.objects import JSON
from knet.api.resources import NODES, PODS
from knet.client import ApiError, Client, NotFound
from knet.client.client import STRATEGIC
from knet.cluster import channel, operations
from knet.cluster.errors import KnetError
from knet.cluster.operations import Target
from knet.cluster.state import StateDir

#: seconds: until a new machine's Node is Ready; until all pods have left one, graces included; and, as ``kubectl
#: drain`` has it, between attempts to evict a pod that its disruption budget protects
JOIN_DEADLINE, DRAIN_DEADLINE, EVICT_AGAIN = 60, 120, 5

Told = Callable[[str], None]


async def add(client: Client, state: StateDir, name: str, **options: Any) -> JSON:
    """Let a machine join (`Joining`'s fields) and wait until its Node is Ready; where it has been plugged in."""
    given = {key: value for key, value in options.items() if value}
    answer, _ = await asyncio.to_thread(channel.request, state.control, {"op": "join", "name": name, **given})
    node = Target.parse(f"node/{name}")
    await operations.until(client, node, operations.has_condition("Ready"), "condition Ready", JOIN_DEADLINE)
    return answer


async def remove(client: Client, state: StateDir, name: str, force: bool, told: Told) -> None:
    """Let a machine leave, and delete its Node.

    With ``force`` at once, as if somebody pulled the plug: its pods are lost.  Without, they are evicted first, and
    KnetError names those that nobody would start anew, or that have not gone within `DRAIN_DEADLINE`.
    """
    await asyncio.to_thread(channel.request, state.control, {"op": "leave", "machine": name, "dry_run": True})
    if not force:
        await _drain(client, name, told)
    await asyncio.to_thread(channel.request, state.control, {"op": "leave", "machine": name})
    with contextlib.suppress(NotFound):
        await client.raw("DELETE", NODES.path("", name))


async def _drain(client: Client, name: str, told: Told) -> None:
    try:
        await client.raw("PATCH", NODES.path("", name), {"spec": {"unschedulable": True}}, content_type=STRATEGIC)
    except NotFound:
        return
    told(f"node/{name} cordoned")
    rows = await _pods(client, name)
    if lost := [_key(pod) for pod in rows if not _owner(pod)]:
        raise KnetError(
            f"{name} has pods that no controller would start elsewhere: {', '.join(lost)}; delete them, or lose them: "
            f"knet node remove {name} --force"
        )
    evicted = [pod for pod in rows if _owner(pod) != "DaemonSet"]
    try:
        async with asyncio.timeout(DRAIN_DEADLINE):
            await _evict_all(client, evicted, told)
    except TimeoutError:
        left = [_key(pod) for pod in await _pods(client, name) if _owner(pod) != "DaemonSet"]
        raise KnetError(f"{name} still has {', '.join(left)} after {DRAIN_DEADLINE} s; it stays, cordoned") from None


async def _evict_all(client: Client, pods: list[JSON], told: Told) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            for pod in pods:
                tasks.create_task(_evict(client, pod, told))
    except* ApiError as errors:
        raise KnetError(str(errors.exceptions[0])) from None


async def _evict(client: Client, pod: JSON, told: Told) -> None:
    """Evict a pod as soon as its disruption budget allows it, and wait until it has gone."""
    meta = pod["metadata"]
    body = {"metadata": {"name": meta["name"], "namespace": meta["namespace"]}}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", **body}
    told(f"evicting pod {_key(pod)}")
    while True:
        try:
            await client.raw("POST", PODS.path(meta["namespace"], meta["name"], "eviction"), eviction)
            break
        except NotFound:
            return
        except ApiError as error:
            if error.code != 429:
                raise
            told(f"error when evicting pods/{meta['name']} (will retry after {EVICT_AGAIN}s): {error.message}")
            await asyncio.sleep(EVICT_AGAIN)
    gone = Target(PODS, meta["name"], meta["namespace"])
    uid = meta["uid"]
    await operations.until(
        client, gone, lambda found: found is None or found["metadata"]["uid"] != uid, "deletion", DRAIN_DEADLINE
    )
    told(f"pod/{meta['name']} evicted")


async def _pods(client: Client, node: str) -> list[JSON]:
    """The pods of a node that are still to end, without those that stand in its files."""
    path = PODS.path("")
    listing = orjson.loads(await client.raw("GET", path, params={"fieldSelector": f"spec.nodeName={node}"}))
    return [
        pod
        for pod in listing["items"]
        if MIRROR_ANNOTATION not in (pod["metadata"].get("annotations") or {})
        and pod["status"].get("phase") not in ("Succeeded", "Failed")
    ]


def _owner(pod: JSON) -> str:
    """The kind of a pod's controller, "" where it has none."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner["kind"]) for owner in owners if owner.get("controller")), "")


def _key(pod: JSON) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
