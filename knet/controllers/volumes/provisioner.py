"""The provisioner of the class ``standard``: a volume is a directory of the machine that the scheduler has chosen.

Making one is making the object: the kubelet makes the directory when it mounts the volume.  Removing one needs a hand
on the machine, which is a pod there, as in local-path-provisioner.
"""

from knet.api.local_volumes import DIRECTORY, PROVISIONED_BY, PROVISIONER
from knet.api.names import SYSTEM_NAMESPACE
from knet.api.objects import JSON, Node, Pod
from knet.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from knet.api.volume_matching import points_at
from knet.client import AlreadyExists, Controller, Index, Key, NotFound, Result, key_of
from knet.controllers.context import Context
from knet.controllers.volumes.binder import SELECTED_NODE, STORAGE_PROVISIONER, Writes, class_of

HOSTNAME = "kubernetes.io/hostname"
#: on a clean-up pod: the volume that it is for
FOR_VOLUME = "knet.io/volume"
#: a directory can be mounted by the pods of one machine
ACCESS_MODES = {"ReadWriteOnce", "ReadWriteOncePod"}


def build(context: Context) -> list[Controller]:
    maker, remover = Maker(context), Remover(context)
    making, removing = Controller("local-volumes", maker), Controller("local-volumes clean-up", remover)
    maker.subscribe(making)
    remover.subscribe(removing)
    return [making, removing]


class Maker:
    """Keys are claims that the binder has asked us to serve."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder(PROVISIONER)
        self._claims = context.informers.of(PersistentVolumeClaim)
        self._volumes = context.informers.of(PersistentVolume)
        self._classes = context.informers.of(StorageClass)
        self._nodes = context.informers.of(Node)

    def subscribe(self, controller: Controller) -> None:
        def changed(old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
            if new is not None and new.metadata.annotations.get(STORAGE_PROVISIONER) == PROVISIONER:
                controller.enqueue(key_of(new))

        self._claims.subscribe(changed)

    async def reconcile(self, key: Key) -> Result | None:
        claim = self._claims.get(*key)
        if claim is None or claim.deleting or claim.spec.volumeName:
            return None
        name = f"pvc-{claim.uid}"
        kind = self._classes.get("", class_of(claim))
        there = self._volumes.get("", name)
        if kind is None or (there is not None and points_at(there, claim)):
            return None
        chosen = claim.metadata.annotations.get(SELECTED_NODE, "")
        node = self._nodes.get("", chosen)
        if why := _refusal(claim, chosen, node):
            text = f'failed to provision volume with StorageClass "{kind.name}": {why}'
            self._events.event(claim, "Warning", "ProvisioningFailed", text)
            return None
        assert node is not None
        text = f'External provisioner is provisioning volume for claim "{claim.namespace}/{claim.name}"'
        self._events.event(claim, "Normal", "Provisioning", text)
        try:
            made = await self._client.create(PersistentVolume, new_volume(name, claim, kind, node))
        except AlreadyExists:
            return None
        self._volumes.assume(made)
        self._events.event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
        return None


def _refusal(claim: PersistentVolumeClaim, chosen: str, node: Node | None) -> str:
    if not chosen:
        return "configuration error, no node was specified"
    if node is None:
        return f'node "{chosen}" not found'
    if not set(claim.spec.accessModes) <= ACCESS_MODES:
        return f"only {' and '.join(sorted(ACCESS_MODES))} are supported"
    if claim.spec.volumeMode == "Block":
        return "a directory is no block device"
    return ""


def new_volume(name: str, claim: PersistentVolumeClaim, kind: StorageClass, node: Node) -> JSON:
    """The volume for a claim, kept for it and tied to the node."""
    here = {"key": HOSTNAME, "operator": "In", "values": [node.metadata.labels.get(HOSTNAME, node.name)]}
    ref = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace, "name": claim.name}
    spec: JSON = {
        "capacity": {"storage": (claim.spec.resources.get("requests") or {})["storage"]},
        "accessModes": list(claim.spec.accessModes),
        "volumeMode": claim.spec.volumeMode,
        "storageClassName": kind.name,
        "persistentVolumeReclaimPolicy": kind.reclaimPolicy,
        "claimRef": {**ref, "uid": claim.uid, "resourceVersion": claim.metadata.resourceVersion},
        "hostPath": {"path": f"{DIRECTORY}/{name}_{claim.namespace}_{claim.name}", "type": "DirectoryOrCreate"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    return {"metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}}, "spec": spec}


class Remover:
    """Keys are our volumes. A released one goes once a pod on its machine has removed the directory."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._writes = Writes(context)
        self._events = context.recorder(PROVISIONER)
        self._volumes = context.informers.of(PersistentVolume)
        self._nodes = context.informers.of(Node)
        self._pods = context.informers.of(Pod)
        self._helpers = Index(self._pods, lambda pod: (pod.metadata.labels.get(FOR_VOLUME, ""),))

    def subscribe(self, controller: Controller) -> None:
        def volume_changed(old: PersistentVolume | None, new: PersistentVolume | None) -> None:
            if new is not None and new.status.phase in ("Released", "Failed"):
                controller.enqueue(key_of(new))

        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            changed = new or old
            assert changed is not None
            if name := changed.metadata.labels.get(FOR_VOLUME):
                controller.enqueue(Key("", name))

        self._volumes.subscribe(volume_changed)
        self._pods.subscribe(pod_changed)

    async def reconcile(self, key: Key) -> Result | None:
        volume = self._volumes.get(*key)
        helpers = self._helpers.get(key.name)
        if volume is None or volume.deleting or not _ours_to_remove(volume):
            for pod in helpers:
                await self._dismiss(pod)
            return None
        node = next((row for row in self._nodes.list() if row.name == _home(volume)), None)
        if node is None or any(pod.status.phase == "Succeeded" for pod in helpers):
            await self._forget(volume)
        elif failed := [pod for pod in helpers if pod.status.phase == "Failed" and not pod.deleting]:
            text = f"the pod {failed[0].name} on node {node.name} could not remove {_path(volume)}"
            self._events.event(volume, "Warning", "VolumeFailedDelete", text)
            await self._writes.phase(volume, "Failed", text)
        elif not helpers:
            made = await self._client.create(Pod, cleaner(volume, node.name), SYSTEM_NAMESPACE)
            self._pods.assume(made)
        return None

    async def _forget(self, volume: PersistentVolume) -> None:
        try:
            await self._client.delete(PersistentVolume, volume.name, uid=volume.uid)
        except NotFound:
            return

    async def _dismiss(self, pod: Pod) -> None:
        if pod.deleting:
            return
        try:
            await self._client.delete(Pod, pod.name, pod.namespace, uid=pod.uid)
        except NotFound:
            return


def _ours_to_remove(volume: PersistentVolume) -> bool:
    return (
        volume.metadata.annotations.get(PROVISIONED_BY) == PROVISIONER
        and volume.spec.persistentVolumeReclaimPolicy == "Delete"
        and volume.status.phase in ("Released", "Failed")
    )


def _path(volume: PersistentVolume) -> str:
    return volume.spec.hostPath.path if volume.spec.hostPath is not None else ""


def _home(volume: PersistentVolume) -> str:
    """The node that the volume is tied to."""
    terms = volume.spec.nodeAffinity.required.nodeSelectorTerms if volume.spec.nodeAffinity is not None else ()
    rows = [row for term in terms for row in term.matchExpressions if row.key == HOSTNAME]
    return rows[0].values[0] if rows and rows[0].values else ""


def cleaner(volume: PersistentVolume, node: str) -> JSON:
    """A pod on the volume's machine that removes the directory."""
    directory = _path(volume).removeprefix(f"{DIRECTORY}/")
    container: JSON = {
        "name": "clean-up",
        "image": "busybox",
        "command": ["rm", "-rf", f"/volumes/{directory}"],
        "volumeMounts": [{"name": "volumes", "mountPath": "/volumes"}],
    }
    spec: JSON = {
        "nodeName": node,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "volumes", "hostPath": {"path": DIRECTORY, "type": "DirectoryOrCreate"}}],
    }
    metadata = {"name": f"clean-up-{volume.name}", "labels": {FOR_VOLUME: volume.name}}
    return {"metadata": metadata, "spec": spec}
