"""Static pods: manifests in a directory of the machine, run by the kubelet whether or not anybody else is there.

In the API each one is shown by a mirror pod, which tells what runs and orders nothing: deleted, it comes back.
https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import yaml

from knet.api.names import MIRROR_ANNOTATION
from knet.api.objects import JSON, Node, Pod
from knet.client import AlreadyExists, ApiError, Informer, NotFound, Unavailable
from knet.client.events import rfc3339_micro
from knet.kernel.inotify import IN_CREATE, IN_DELETE, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, Watch
from knet.kubelet.machine import Machine
from knet.kubelet.pods import Pods

log = logging.getLogger(__name__)

#: below the kubelet's root directory, because a machine's /etc is the host's
DIRECTORY = "manifests"
HASH, SOURCE, SEEN = (f"kubernetes.io/config.{word}" for word in ("hash", "source", "seen"))
#: seconds between attempts to write a mirror pod
RETRY = 1.0
_CHANGES = IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM


class ManifestError(ValueError):
    """A file that is no pod; the message says why."""


def read_manifest(path: Path, node: str) -> JSON:
    """The pod of a file as this node runs it: named after the node, known by the hash of what it is.

    Raises ManifestError.
    """
    try:
        data = path.read_bytes()
        body = yaml.safe_load(data)
    except (OSError, yaml.YAMLError) as error:
        raise ManifestError(f"{path}: {error}") from None
    if not isinstance(body, dict) or (body.get("apiVersion"), body.get("kind")) != ("v1", "Pod"):
        raise ManifestError(f"{path}: not a v1 Pod")
    metadata, spec = dict(body.get("metadata") or {}), dict(body.get("spec") or {})
    if not metadata.get("name"):
        raise ManifestError(f"{path}: metadata.name is missing")
    uid = hashlib.md5(f"{node} {path} ".encode() + data, usedforsecurity=False).hexdigest()
    metadata |= {"name": f"{metadata['name']}-{node}", "namespace": metadata.get("namespace") or "default"}
    annotations = {HASH: uid, SOURCE: "file", SEEN: rfc3339_micro()}
    metadata |= {"uid": uid, "annotations": {**(metadata.get("annotations") or {}), **annotations}}
    tolerations = [*(spec.get("tolerations") or ()), {"operator": "Exists", "effect": "NoExecute"}]
    spec |= {"nodeName": node, "tolerations": tolerations}
    for volume in spec.get("volumes") or ():
        if isinstance(volume, dict) and set(volume) == {"name"}:
            volume["emptyDir"] = {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def mirror_of(manifest: JSON, node: Node) -> JSON:
    """The mirror pod of a static pod."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "uid"}
    metadata["annotations"] = {**metadata["annotations"], MIRROR_ANNOTATION: manifest["metadata"]["uid"]}
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid, "controller": True}
    return {**manifest, "metadata": {**metadata, "ownerReferences": [owner]}}


class StaticPods:
    """The pods of the directory, and their mirrors."""

    def __init__(self, machine: Machine, pods: Pods, informer: Informer[Pod]) -> None:
        self._machine = machine
        self._pods = pods
        self._informer = informer
        self._directory = machine.root_dir / DIRECTORY
        self._manifests: dict[str, JSON] = {}
        self._stale = asyncio.Event()

    def read(self) -> None:
        """Start what has come, stop what has gone; a file that is no pod is told of and left out."""
        found: dict[str, JSON] = {}
        for path in sorted(self._directory.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                manifest = read_manifest(path, self._machine.node_name)
                uid = manifest["metadata"]["uid"]
                if uid not in self._manifests:
                    self._pods.start_static(msgspec.convert(manifest, Pod))
            except (ManifestError, msgspec.ValidationError) as error:
                log.warning("could not process manifest file %s: %s", path, error)
                continue
            found[uid] = self._manifests.get(uid, manifest)
        for uid in self._manifests.keys() - found.keys():
            self._pods.stop_static(uid)
        self._manifests = found
        self._stale.set()

    async def follow(self) -> None:
        """Keep up with the directory, until cancelled."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with Watch(self._directory, _CHANGES) as watch:
            self.read()
            while True:
                await watch.changed()
                self.read()

    async def mirror(self) -> None:
        """Keep the mirrors, until cancelled; to be called when the API's pods are known."""
        self._informer.subscribe(self._mirror_changed)
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                for pod in self._superfluous():
                    await self._delete(pod)
                for manifest in list(self._manifests.values()):
                    await self._show(manifest)
            except (ApiError, Unavailable) as error:
                log.warning("mirror pods: %s", error)
                await asyncio.sleep(RETRY)
                self._stale.set()

    def _mirror_changed(self, old: Pod | None, new: Pod | None) -> None:
        if any(row is not None and row.mirrors for row in (old, new)) and (new is None or old is None or new.deleting):
            self._stale.set()

    def _superfluous(self) -> Iterator[Pod]:
        """Mirrors of what does not run here any more, and those that somebody has deleted."""
        for pod in self._informer.list():
            if pod.mirrors and (pod.deleting or pod.mirrors not in self._manifests):
                yield pod

    async def _delete(self, mirror: Pod) -> None:
        try:
            await self._machine.client.delete(Pod, mirror.name, mirror.namespace, grace_period=0, uid=mirror.uid)
        except NotFound:
            return

    async def _show(self, manifest: JSON) -> None:
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        if self._informer.get(namespace, name) is not None:
            return  # the watch will tell when it is another's, or gone
        node = await self._machine.client.get(Node, self._machine.node_name)
        try:
            made = await self._machine.client.create(Pod, mirror_of(manifest, node), namespace)
        except AlreadyExists:
            return
        self._informer.assume(made)
        self._machine.statuses.repeat(manifest["metadata"]["uid"])
