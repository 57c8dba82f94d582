"""Where a pod's things are: as on a real node, below /var/lib/kubelet/pods/UID and /var/log/pods.

The first is a tmpfs of the machine's: what is kept there (records, /etc files, projected volumes) is needed only while
the machine lives, and creating twenty small files for each pod on ext4 was two thirds of a kubelet's CPU time in a
burst.  What may grow is on disk: logs, and emptyDir volumes, to which the usual path is a link.
"""

import shutil
from pathlib import Path

import msgspec

from knet.api.objects import Pod
from knet.kernel import mounts


class Identity(msgspec.Struct, frozen=True):
    """Who a pod directory belongs to, for the kubelet that finds it without an object in the API."""

    namespace: str
    name: str
    uid: str


class PodPaths:
    """``directory`` holds everything but logs and emptyDirs (``disk``); all of it goes with the pod.

    Made once per pod: the names are kept.
    """

    def __init__(self, identity: Identity, root_dir: Path, log_dir: Path) -> None:
        self.identity = identity
        self.directory = directory = Path(f"{root_dir}/pods/{identity.uid}")
        self.logs = Path(f"{log_dir}/{identity.namespace}_{identity.name}_{identity.uid}")
        self.disk = Path(f"{root_dir}/empty-dirs/{identity.uid}")
        self.volumes = Path(f"{directory}/volumes")
        self.hosts = Path(f"{directory}/etc-hosts")
        self.hostname = Path(f"{directory}/etc-hostname")
        self.resolv_conf = Path(f"{directory}/etc-resolv.conf")
        self._containers: dict[str, Path] = {}

    @classmethod
    def of(cls, pod: Pod, root_dir: Path, log_dir: Path) -> "PodPaths":
        return cls(Identity(pod.namespace, pod.name, pod.uid), root_dir, log_dir)

    def container(self, name: str) -> Path:
        if name not in self._containers:
            self._containers[name] = Path(f"{self.directory}/containers/{name}")
        return self._containers[name]

    def log(self, container: str, number: int) -> Path:
        return Path(f"{self.logs}/{container}/{number}.log")

    def create(self) -> None:
        """Make the directory and note whose it is."""
        self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        file = self.directory / "pod.json"
        if not file.exists():
            file.write_bytes(msgspec.json.encode(self.identity))

    def remove(self) -> None:
        """Forget the pod."""
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.disk, ignore_errors=True)
        shutil.rmtree(self.logs, ignore_errors=True)


def prepare(root_dir: Path) -> None:
    """Mount the tmpfs that pod directories are in, unless an earlier kubelet of this machine did; raises OSError."""
    place = root_dir / "pods"
    place.mkdir(parents=True, exist_ok=True)
    if not mounts.is_mount_point(str(place.resolve())):
        mounts.tmpfs(str(place), mode=0o750)


def known_pods(root_dir: Path) -> list[Identity]:
    """The pods that have a directory here: those of an earlier kubelet among them."""
    found = []
    for file in (root_dir / "pods").glob("*/pod.json"):
        try:
            found.append(msgspec.json.decode(file.read_bytes(), type=Identity))
        except msgspec.DecodeError:  # written when the machine died: nothing can be running of it
            shutil.rmtree(file.parent, ignore_errors=True)
    return found


def clean_up_after_a_reboot(root_dir: Path, log_dir: Path, known: set[str]) -> None:
    """Remove from the disk what belonged to pods that neither this machine nor the API knows any more (uids)."""
    for place in (root_dir / "empty-dirs").glob("*"):
        if place.name not in known:
            shutil.rmtree(place, ignore_errors=True)
    for place in log_dir.glob("*_*_*"):
        if place.name.rpartition("_")[2] not in known:
            shutil.rmtree(place, ignore_errors=True)
