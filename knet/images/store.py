"""Images unpacked: directories that overlayfs stacks, shared by all containers of a machine.

A container's root is, from the top: its own writes, the image's files, what every image has (/dev, /etc/passwd, the
empty places where things get mounted), and then either the host's file system with its private parts masked or
busybox alone.  All layers but the host's lie on one tmpfs, because overlayfs refuses a layer inside another of the
same filesystem, and the host's root is one of them.
"""

import hashlib
import json
import os
import py_compile
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import knet
from knet.images.catalogue import HERE, Catalogue, Entry, Row
from knet.images.reference import Reference, parse
from knet.kernel import mounts
from knet.kernel.programs import DEFAULT_PATH

#: directories of the host that no container sees, besides its /dev: people's files, secrets, state, other clusters
_HIDDEN = """
boot dev etc/ssh etc/sudoers.d etc/NetworkManager home media mnt root run srv tmp var/backups var/cache
var/lib/docker var/lib/containerd var/lib/kubelet var/lib/knet var/log var/mail var/spool var/tmp
"""

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
ACCOUNTS = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
curl_user:x:100:101:curl:/home/curl_user:/bin/sh
nginx:x:101:101:nginx:/var/cache/nginx:/usr/sbin/nologin
redis:x:999:999:redis:/var/lib/redis:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUPS = """\
root:x:0:
daemon:x:1:
bin:x:2:
tty:x:5:
www-data:x:33:
nginx:x:101:
redis:x:999:
nogroup:x:65534:
"""
_OPAQUE = "trusted.overlay.opaque"


class MissingProgram(LookupError):
    """The host lacks a program that the image is made of; the message names its Debian package."""


@dataclass(frozen=True)
class Image:
    """What a runtime needs to make containers of it. ``layers`` are overlayfs' lower directories, top first;
    ``binds`` are directories of the host that are shown read-only under the same path."""

    name: str
    digest: str
    layers: tuple[str, ...]
    binds: tuple[str, ...]
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: dict[str, str]
    workdir: str
    user: str
    stop_signal: int
    size: int

    @property
    def id(self) -> str:
        """As containerd reports it in status.imageID: ``docker.io/library/nginx@sha256:…``."""
        return f"{self.name.rpartition(':')[0]}@{self.digest}"


class ImageStore:
    """The images of one machine below ``root``, which becomes a tmpfs of this mount namespace."""

    def __init__(self, root: Path, catalogue: Catalogue) -> None:
        self._root = root
        self._catalogue = catalogue
        self._images: dict[str, Image] = {}

    def prepare(self) -> None:
        """Make the tmpfs; what an earlier kubelet unpacked there is used again. Raises OSError."""
        self._root.mkdir(parents=True, exist_ok=True)
        if not mounts.is_mount_point(str(self._root.resolve())):
            mounts.tmpfs(str(self._root))

    def present(self, name: str) -> Image | None:
        """The image if it was pulled before; raises InvalidReference."""
        return self._images.get(str(parse(name)))

    def images(self) -> list[Image]:
        return list(self._images.values())

    def pull(self, name: str) -> Image:
        """Unpack an image; raises InvalidReference, UnknownImage, CatalogueError, MissingProgram, OSError."""
        reference = parse(name)
        if str(reference) in self._images:
            return self._images[str(reference)]
        entry = self._catalogue.find(reference)
        for program, package in entry.row.needs.items():
            if not shutil.which(program, path=DEFAULT_PATH):
                raise MissingProgram(
                    f"{reference}: this machine has no program {program}; install it (apt-get install {package}) "
                    "and it will start at the next try"
                )
        image = self._unpack(reference, entry)
        self._images[str(reference)] = image
        return image

    def _unpack(self, reference: Reference, entry: Entry) -> Image:
        row = entry.row
        words = substitutions(reference)
        digest = hashlib.sha256(json.dumps([str(reference), repr(row)]).encode()).hexdigest()
        files = self._layer(f"image-{digest[:16]}", lambda target: _lay_files(target, entry, words))
        common = self._layer("common", _lay_common)
        below: tuple[str, ...]
        if row.base == "host":
            below = (self._layer("tools", _lay_tools), self._layer("mask", _lay_mask), "/")
        else:
            below = (self._layer("busybox", _lay_busybox),)
        environment = {"PATH": DEFAULT_PATH, **row.env}
        if row.python == "knet":
            environment["PYTHONPATH"] = str(_package().parent)
        return Image(
            name=str(reference).partition("@")[0],
            digest=reference.digest or f"sha256:{digest}",
            layers=(files, common, *below),
            binds=_binds(row),
            entrypoint=tuple(_replace(word, words) for word in row.entrypoint),
            cmd=tuple(_replace(word, words) for word in row.cmd),
            env={key: _replace(value, words) for key, value in environment.items()},
            workdir=row.workdir or "/",
            user=row.user,
            stop_signal=signal.Signals[row.stop_signal].value,
            size=sum(map(_size, {files, common, *below} - {"/"})),
        )

    def _layer(self, name: str, lay: Callable[[Path], None]) -> str:
        """A layer's directory, laid once: it appears under its name only when it is complete."""
        final = self._root / name
        if not final.exists():
            unfinished = self._root / f".{name}"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o755)
            lay(unfinished)
            unfinished.rename(final)
        return str(final)


def substitutions(reference: Reference) -> dict[str, str]:
    """What @WORDS@ in a catalogue's values and files stand for."""
    return {
        "@TAG@": reference.tag or "latest",
        "@IMAGE@": str(reference),
        "@PYTHON@": os.path.realpath(sys.executable),
        "@KNET_PYTHON@": sys.executable,
    }


def _size(layer: str) -> int:
    """Bytes of all that is in a directory."""
    with os.scandir(layer) as entries:
        return sum(
            (_size(entry.path) if entry.is_dir(follow_symlinks=False) else 0)
            + entry.stat(follow_symlinks=False).st_size
            for entry in entries
        )


def _replace(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _package() -> Path:
    return Path(knet.__file__).resolve().parent


def _binds(row: Row) -> tuple[str, ...]:
    """The directories of our interpreter that containers do not see anyway."""
    wanted: list[str] = {"": [], "base": [sys.base_prefix], "knet": [sys.base_prefix, sys.prefix, str(_package())]}[
        row.python
    ]
    return tuple(dict.fromkeys(path for path in wanted if path != "/usr"))


def _lay_files(target: Path, entry: Entry, words: dict[str, str]) -> None:
    row = entry.row
    source = entry.directory / row.files
    for path in sorted(source.rglob("*")) if row.files else ():
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        for word, value in words.items():
            content = content.replace(word.encode(), value.encode())
        copy.write_bytes(content)
        copy.chmod(0o755 if content.startswith((b"#!", b"\x7fELF")) else 0o644)
        if copy.suffix == ".py" and row.python:
            _compile(copy, f"/{copy.relative_to(target)}")
    for directory in row.opaque:
        _opaque(target / directory.lstrip("/"))
    for directory in _binds(row):
        (target / directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
    if "nginx" in row.needs:
        logs = target / "var/log/nginx"
        logs.mkdir(parents=True)
        (logs / "access.log").symlink_to("/dev/stdout")
        (logs / "error.log").symlink_to("/dev/stderr")
    _set_modes(target)


def _compile(source: Path, shown: str) -> None:
    """Compile once what every start of a container would compile anew, its writes being its own."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), dfile=shown, doraise=True, invalidation_mode=mode)


def _lay_common(target: Path) -> None:
    for name in ("dev/pts", "dev/shm", "proc", "sys", "tmp", "root", "etc", "run", "var/tmp", "home"):
        (target / name).mkdir(parents=True, exist_ok=True)
    for name, (major, minor) in DEVICES.items():
        os.mknod(target / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        (target / "dev" / name).chmod(0o666)
    for name, goal in LINKS.items():
        (target / "dev" / name).symlink_to(goal)
    for name, content in {
        "passwd": ACCOUNTS,
        "group": GROUPS,
        "shadow": "root:*:::::::\n",
        "hosts": "",
        "hostname": "",
        "resolv.conf": "",
        "machine-id": "",
    }.items():
        (target / "etc" / name).write_text(content)
    (target / "dev/termination-log").touch()
    (target / "etc/shadow").chmod(0o640)
    _set_modes(target)


def _lay_mask(target: Path) -> None:
    """Opaque directories: what the host has under these names does not shine through."""
    for name in _HIDDEN.split():
        if (Path("/") / name).is_dir() and not (Path("/") / name).is_symlink():
            _opaque(target / name)
    for name in ("run/lock", "var/cache/nginx", "var/log"):
        (target / name).mkdir(parents=True, exist_ok=True)
    _set_modes(target)


def _lay_tools(target: Path) -> None:
    """busybox' applets for what the host does not have: nslookup, wget, nc, vi, …"""
    tools = target / "usr/local/bin"
    tools.mkdir(parents=True)
    busybox = shutil.which("busybox", path=DEFAULT_PATH)
    for applet in _applets(busybox) if busybox else ():
        if not shutil.which(applet, path=DEFAULT_PATH):
            (tools / applet).symlink_to(str(busybox))
    for script in _SCRIPTS.iterdir():
        if (tools / script.name).is_symlink():
            _lay_script(script, tools)


def _lay_busybox(target: Path) -> None:
    busybox = shutil.which("busybox", path=DEFAULT_PATH)
    if busybox is None:
        raise MissingProgram("this machine has no program busybox; install it (apt-get install busybox-static)")
    for name in ("bin", "etc", "usr/bin", "usr/sbin", "usr/local/bin", "var/log", "var/spool", "lib", "mnt", "srv"):
        (target / name).mkdir(parents=True, exist_ok=True)
    (target / "sbin").symlink_to("bin")
    (target / "var/run").symlink_to("/run")
    shutil.copy(busybox, target / "bin/busybox")
    for applet in _applets(busybox):
        if applet != "busybox":
            os.symlink("busybox", f"{target}/bin/{applet}")
    for script in _SCRIPTS.iterdir():
        _lay_script(script, target / "bin")
    (target / "usr/bin/env").symlink_to("/bin/busybox")
    (target / "etc/nsswitch.conf").write_text("hosts: files dns\n")


#: applets of the image's busybox that Debian's lacks, or has with less
_SCRIPTS = HERE / "files/busybox/bin"


def _lay_script(script: Path, place: Path) -> None:
    (place / script.name).unlink(missing_ok=True)
    (place / script.name).write_bytes(script.read_bytes())
    (place / script.name).chmod(0o755)


def _applets(busybox: str) -> list[str]:
    return subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()


def _opaque(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    os.setxattr(directory, _OPAQUE, b"y")


def _set_modes(target: Path) -> None:
    """The topmost layer that has a directory decides on its mode."""
    for name in ("tmp", "var/tmp", "dev/shm"):
        if (target / name).is_dir():
            (target / name).chmod(0o1777)
