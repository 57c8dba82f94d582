"""A pod's volumes: directories below the pod's own, filled with what the API says.

What a volume holds is decided first, as a mapping from path to content (`Content`); writing it is one step, done as
upstream's atomic writer does, so that a reader sees either all old files or all new ones: files are links into
``..data``, itself a link to a directory of one generation.
"""

import base64
import binascii
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from knet.api.local_volumes import PROVISIONED_BY, PROVISIONER
from knet.api.objects import (
    ConfigMap,
    ConfigMapVolume,
    DownwardAPIVolume,
    EmptyDirVolume,
    HostPathVolume,
    KeyToPath,
    Pod,
    ProjectedVolume,
    Secret,
    SecretVolume,
    TokenProjection,
    Volume,
)
from knet.api.quantity import whole
from knet.api.storage import PersistentVolume, PersistentVolumeClaim
from knet.kernel import mounts
from knet.kubelet.environment import ConfigError, Facts, field_value, resource_value
from knet.kubelet.runtime.paths import PodPaths

DEFAULT_MODE = 0o644


class VolumeError(RuntimeError):
    """A volume cannot be set up (yet); upstream's message for the FailedMount Event."""


class Unprocessed(VolumeError):
    """It is not even known what there is to set up."""


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int = DEFAULT_MODE


Content = dict[str, File]


@dataclass(frozen=True)
class Lookups:
    """How volumes get at objects; None where there is no such object.

    ``volume`` is asked for a PersistentVolume by name, ``token`` for a bound service account token.
    """

    config_map: Callable[[str, str], Awaitable[ConfigMap | None]]
    secret: Callable[[str, str], Awaitable[Secret | None]]
    claim: Callable[[str, str], Awaitable[PersistentVolumeClaim | None]]
    volume: Callable[[str], Awaitable[PersistentVolume | None]]
    token: Callable[[Pod, TokenProjection], Awaitable[str]]


#: the plugins, by the field of a Volume that asks for one: its name in /var/lib/kubelet/pods/UID/volumes, and whether
#: containers may only read what it shows, whatever they ask for
_PLUGINS = {
    "configMap": ("configmap", True),
    "secret": ("secret", True),
    "downwardAPI": ("downward-api", True),
    "projected": ("projected", True),
    "hostPath": ("host-path", False),
    "emptyDir": ("empty-dir", False),
    "persistentVolumeClaim": ("host-path", False),
    "ephemeral": ("host-path", False),
}


def _plugin(volume: Volume) -> tuple[str, bool]:
    """VolumeError for one that no plugin is there for (nfs, csi, iscsi …)."""
    if volume.csi is not None:
        raise VolumeError(
            "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: "
            f"driver name {volume.csi.driver} not found in the list of registered CSI drivers"
        )
    for field, plugin in _PLUGINS.items():
        if getattr(volume, field) is not None:
            return plugin
    raise Unprocessed(f'failed to get Plugin from volumeSpec for volume "{volume.name}" err=no volume plugin matched')


def shows_objects(volume: Volume) -> bool:
    """Whether it is made of API objects, which may change; containers can only read it."""
    return _plugin(volume)[1]


def read_only(volume: Volume) -> bool:
    """Whether containers may only read it, whatever they ask for."""
    claim = volume.persistentVolumeClaim
    return shows_objects(volume) or (claim is not None and claim.readOnly)


def _place(volume: Volume, paths: PodPaths) -> Path:
    return Path(f"{paths.volumes}/kubernetes.io~{_plugin(volume)[0]}/{volume.name}")


async def set_up(pod: Pod, volume: Volume, paths: PodPaths, facts: Facts, lookups: Lookups) -> Path:
    """Make a volume of the pod and return its path; raises VolumeError, OSError."""
    place = await _set_up(pod, volume, paths, facts, lookups)
    security = pod.spec.securityContext
    if security.fsGroup is not None and volume.hostPath is None:
        give(place, security.fsGroup, shows_objects(volume), security.fsGroupChangePolicy == "OnRootMismatch")
    return place


async def _set_up(pod: Pod, volume: Volume, paths: PodPaths, facts: Facts, lookups: Lookups) -> Path:
    if volume.hostPath is not None:
        return _host_path(volume.hostPath)
    place = _place(volume, paths)
    if name := volume.claim_of(pod.name):
        return _link(place, _persistent(await _bound(pod, volume, name, lookups)))
    if volume.emptyDir is not None:
        return _empty_dir(place, paths.disk / volume.name, volume.emptyDir)
    try:
        content = await _content(pod, volume, facts, lookups)
    except ConfigError as error:
        raise VolumeError(str(error)) from None
    write(place, content)
    return place


def told(pod: Pod, volume: Volume, there: Mapping[str, Path], error: Exception) -> str:
    """The FailedMount Event's message: ``volume`` cannot be set up, ``there`` are those that have been."""
    text = str(error)
    if isinstance(error, Unprocessed):
        without = " ".join(row.name for row in pod.spec.volumes if row.name not in there)
        lists = f"unmounted volumes=[{without}], unattached volumes=[], failed to process volumes=[{volume.name}]"
        return f"Unable to attach or mount volumes: {lists}: {text}"
    return text if text.startswith("MountVolume") else f'MountVolume.SetUp failed for volume "{volume.name}" : {text}'


def places(pod: Pod, paths: PodPaths) -> dict[str, Path]:
    """Where the volumes of a pod are that were set up before."""
    return {
        volume.name: Path(volume.hostPath.path) if volume.hostPath is not None else _place(volume, paths).resolve()
        for volume in pod.spec.volumes
    }


async def _bound(pod: Pod, volume: Volume, name: str, lookups: Lookups) -> PersistentVolume:
    """The PersistentVolume behind a claim; VolumeError in upstream's words where the claim is not ready for use."""
    where = f"error processing PVC {pod.namespace}/{name}: "
    claim = await lookups.claim(pod.namespace, name)
    if claim is None:
        raise Unprocessed(f'{where}failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found')
    holder = claim.controller()
    if volume.ephemeral is not None and (holder is None or holder.uid != pod.uid):
        raise Unprocessed(
            f'{where}PVC "{pod.namespace}/{name}" was not created for pod "{pod.namespace}/{pod.name}"'
            " (pod is not owner)"
        )
    if claim.deleting:
        raise Unprocessed(f"{where}PVC is being deleted")
    if claim.status.phase != "Bound" or not claim.spec.volumeName:
        raise Unprocessed(f"{where}PVC is not bound")
    found = await lookups.volume(claim.spec.volumeName)
    if found is None:
        text = f'failed to fetch PV "{claim.spec.volumeName}" from API server'
        raise Unprocessed(f'{where}{text}: persistentvolumes "{claim.spec.volumeName}" not found')
    if found.spec.claimRef is None or found.spec.claimRef.uid != claim.uid:
        raise Unprocessed(f"{where}PV {found.name} does not have a claimRef of the PVC (uid {claim.uid})")
    return found


def _persistent(volume: PersistentVolume) -> Path:
    """A directory of this machine; one of our own class is made when it is first used, for containers of any user."""
    if volume.spec.hostPath is not None:
        ours = volume.metadata.annotations.get(PROVISIONED_BY) == PROVISIONER
        path = Path(volume.spec.hostPath.path)
        if ours and not path.exists():
            path.mkdir(parents=True)
            path.chmod(0o777)
        return _host_path(volume.spec.hostPath)
    if volume.spec.local is not None:
        path = Path(volume.spec.local.path)
        if not path.exists():
            raise VolumeError(
                f'MountVolume.NewMounter initialization failed for volume "{volume.name}" : '
                f'path "{path}" does not exist'
            )
        return path
    raise Unprocessed(f'failed to get Plugin from volumeSpec for volume "{volume.name}" err=no volume plugin matched')


def _link(place: Path, target: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to(target)
    return target


async def _content(pod: Pod, volume: Volume, facts: Facts, lookups: Lookups) -> Content:
    if volume.configMap is not None:
        return await _config_map(pod, volume.configMap, volume.configMap.defaultMode, lookups)
    if volume.secret is not None:
        return await _secret(pod, volume.secret, volume.secret.defaultMode, lookups)
    if volume.downwardAPI is not None:
        return downward(pod, volume.downwardAPI, volume.downwardAPI.defaultMode, facts)
    return await _projected(pod, volume.projected or ProjectedVolume(), facts, lookups)


async def _projected(pod: Pod, volume: ProjectedVolume, facts: Facts, lookups: Lookups) -> Content:
    content: Content = {}
    for source in volume.sources:
        if source.configMap is not None:
            content |= await _config_map(pod, source.configMap, volume.defaultMode, lookups)
        if source.secret is not None:
            content |= await _secret(pod, source.secret, volume.defaultMode, lookups)
        if source.downwardAPI is not None:
            content |= downward(pod, source.downwardAPI, volume.defaultMode, facts)
        if source.serviceAccountToken is not None:
            token = await lookups.token(pod, source.serviceAccountToken)
            content[source.serviceAccountToken.path] = File(token.encode(), volume.defaultMode or DEFAULT_MODE)
    return content


async def _config_map(pod: Pod, volume: ConfigMapVolume, mode: int | None, lookups: Lookups) -> Content:
    found = await lookups.config_map(pod.namespace, volume.name)
    if found is None:
        if volume.optional:
            return {}
        raise ConfigError(f'configmap "{volume.name}" not found')
    rows = {key: text.encode() for key, text in found.data.items()}
    rows |= {key: base64.b64decode(text) for key, text in found.binaryData.items()}
    return select(rows, volume.items, mode, volume.optional, "configmap references non-existent config key: {}")


async def _secret(pod: Pod, volume: SecretVolume, mode: int | None, lookups: Lookups) -> Content:
    name = volume.secretName or volume.name
    found = await lookups.secret(pod.namespace, name)
    if found is None:
        if volume.optional:
            return {}
        raise ConfigError(f'secret "{name}" not found')
    try:
        rows = {key: base64.b64decode(text) for key, text in found.data.items()}
    except binascii.Error:
        raise ConfigError(f'secret "{name}" holds something that is not base64') from None
    return select(rows, volume.items, mode, volume.optional, "references non-existent secret key: {}")


def select(
    rows: Mapping[str, bytes], items: tuple[KeyToPath, ...], mode: int | None, optional: bool, missing: str
) -> Content:
    """All keys under their own names, or just ``items`` under theirs; ConfigError for a key that is not there."""
    default = DEFAULT_MODE if mode is None else mode
    if not items:
        return {key: File(data, default) for key, data in rows.items()}
    content: Content = {}
    for item in items:
        if item.key in rows:
            content[item.path] = File(rows[item.key], default if item.mode is None else item.mode)
        elif not optional:
            raise ConfigError(missing.format(item.key))
    return content


def downward(pod: Pod, volume: DownwardAPIVolume, mode: int | None, facts: Facts) -> Content:
    """Files of the downward API; raises ConfigError."""
    default = DEFAULT_MODE if mode is None else mode
    content: Content = {}
    for item in volume.items:
        if item.fieldRef is not None:
            text = field_value(pod, item.fieldRef.fieldPath, facts)
        elif item.resourceFieldRef is not None:
            text = resource_value(pod, item.resourceFieldRef, item.resourceFieldRef.containerName, facts)
        else:
            continue
        content[item.path] = File(text.encode(), default if item.mode is None else item.mode)
    return content


def write(place: Path, content: Content) -> None:
    """Show exactly these files below ``place``, exchanged in one rename; nothing happens if they are there already."""
    top = str(place)
    os.makedirs(top, exist_ok=True)
    data = place / "..data"
    if _written(data, content):
        return
    generation = time.strftime(f"..%Y_%m_%d_%H_%M_%S.{time.time_ns() % 10**9}", time.gmtime())
    os.mkdir(f"{top}/{generation}")
    for name, file in content.items():
        _write_file(f"{top}/{generation}/{name}", file)
    there = set(os.listdir(top))
    before = os.readlink(data) if data.name in there else ""
    fresh = f"{top}/..data_tmp"
    if "..data_tmp" in there:
        os.unlink(fresh)
    os.symlink(generation, fresh)
    os.rename(fresh, data)
    wanted = {name.split("/")[0] for name in content}
    for name in there - wanted:
        if not name.startswith(".."):
            os.unlink(f"{top}/{name}")
    for name in wanted - there:
        os.symlink(f"..data/{name}", f"{top}/{name}")
    if before:
        shutil.rmtree(place / before, ignore_errors=True)


def _write_file(path: str, file: File) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, file.mode)
    try:
        os.fchmod(fd, file.mode)  # whatever our umask is
        os.write(fd, file.content)
    finally:
        os.close(fd)


def _written(data: Path, content: Content) -> bool:
    if not data.is_dir():
        return False
    there = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    return there == set(content) and all((data / name).read_bytes() == file.content for name, file in content.items())


def _empty_dir(place: Path, on_disk: Path, volume: EmptyDirVolume) -> Path:
    if volume.medium == "Memory":
        place.mkdir(parents=True, exist_ok=True)
        if not mounts.is_mount_point(str(place.resolve())):
            limit = volume.sizeLimit
            mounts.tmpfs(str(place), size=whole(limit) if limit else 0, mode=0o777)
        return place
    on_disk.mkdir(parents=True, exist_ok=True)
    on_disk.chmod(0o777)
    return _link(place, on_disk)


def _host_path(volume: HostPathVolume) -> Path:
    path, text, kind = Path(volume.path), volume.path, volume.type
    checks: dict[str, tuple[Callable[[], bool], str]] = {
        "Directory": (path.is_dir, "is not a directory"),
        "DirectoryOrCreate": (path.is_dir, "is not a directory"),
        "File": (path.is_file, "is not a file"),
        "FileOrCreate": (path.is_file, "is not a file"),
        "Socket": (path.is_socket, "is not a socket file"),
        "CharDevice": (path.is_char_device, "is not a character device"),
        "BlockDevice": (path.is_block_device, "is not a block device"),
    }
    if kind in ("DirectoryOrCreate", "") and not path.exists():
        path.mkdir(mode=0o755, parents=True)  # without a type, as container runtimes do for a bind mount's source
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    if kind in checks and not checks[kind][0]():
        raise VolumeError(f"hostPath type check failed: {text} {checks[kind][1]}")
    return path


def give(place: Path, group: int, read_only: bool, if_root_differs: bool = False) -> None:
    """Let a group have a volume (fsGroup): all below it is the group's to read, and to write unless ``read_only``.

    ``if_root_differs``: only if the volume's own directory is not the group's yet (fsGroupChangePolicy OnRootMismatch).
    """
    there = place.stat()
    if if_root_differs and there.st_gid == group and there.st_mode & 0o2770 == 0o2770:
        return
    bits = 0o440 if read_only else 0o660
    for path in (place, *place.rglob("*")):
        found = path.lstat()
        if found.st_gid != group:
            os.lchown(path, -1, group)
        if not path.is_symlink():
            mode = found.st_mode | bits | (0o2110 if path.is_dir() else 0)
            path.chmod(mode & 0o7777)


def tear_down(paths: PodPaths) -> None:
    """Unmount and delete a pod's volumes; hostPath volumes stay what they are."""
    for place in paths.volumes.glob("kubernetes.io~empty-dir/*"):
        if not place.is_symlink() and mounts.is_mount_point(str(place.resolve())):
            mounts.unmount(str(place))
    shutil.rmtree(paths.volumes, ignore_errors=True)
    shutil.rmtree(paths.disk, ignore_errors=True)
