"""Run a test in namespaces of its own, so that whatever it starts ends with it, and nothing it mounts is seen.

`isolated` turns a coroutine function into a test: it runs in a fresh interpreter under new PID, mount, network, UTS
and IPC namespaces, as a machine's kubelet does.  `Runtime` is a container runtime there.
"""

import asyncio
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from knet.images import Catalogue, ImageStore
from knet.kernel import mounts
from knet.kernel.cgroup import Hierarchies
from knet.kernel.namespaces import create
from knet.kernel.process import Process, Program, spawn, start_time
from knet.kubelet.runtime.containers import ContainerConfig, Containers, Running
from knet.kubelet.runtime.logs import LogOptions, read
from knet.kubelet.runtime.paths import Identity, PodPaths
from knet.kubelet.runtime.sandbox import KINDS, Sandbox

HERE = Path(__file__).parent
UNSHARE = ["unshare", "-m", "-n", "-u", "-i", "-p", "-f", "--mount-proc", "--kill-child"]
#: seconds after which a test that hangs is ended
PATIENCE = 60


def isolated(body: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """A test that runs ``body`` in a process of its own, in new namespaces."""
    module, name = body.__module__, body.__name__

    @functools.wraps(body)
    def test() -> None:
        paths = [str(HERE), str(HERE.parent.parent)]
        code = f"import asyncio, sys; sys.path[:0] = {paths!r}; import {module}; asyncio.run({module}.{name}.body())"
        done = subprocess.run(
            [*UNSHARE, sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    test.body = body  # type: ignore[attr-defined]
    return test


class Runtime:
    """A runtime with its state below a tmpfs, and one pod without a network."""

    def __init__(self, cgroups: Hierarchies | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="knet-test-", dir="/run"))
        self.images = ImageStore(self.root / "images", Catalogue())
        self.images.prepare()
        self.cgroups = cgroups
        self.containers = Containers(self.root, cgroups, f"knet-test-{os.getpid()}-{self.root.name}")
        self.paths = PodPaths(Identity("default", "p", "uid-1"), self.root, self.root / "logs")
        self.paths.create()
        for file in (self.paths.hosts, self.paths.hostname, self.paths.resolv_conf):
            file.write_text("# of the pod\n")
        namespaces = create(*KINDS)
        pause = spawn(Program(["sleep", "infinity"], {"PATH": "/usr/bin:/bin"}), namespaces)
        self.sandbox = Sandbox("sandbox", "", False, pause, namespaces, asyncio.ensure_future(pause.wait()))

    async def start(self, image: str, *argv: str, name: str = "c", number: int = 0, **more: Any) -> Running:
        """Start a container; ``more`` are fields of its ContainerConfig."""
        pulled = self.images.pull(image)
        words = argv or (*pulled.entrypoint, *pulled.cmd)
        config = ContainerConfig(
            name=name,
            number=number,
            image=pulled,
            argv=words,
            env={**pulled.env, **more.pop("env", {})},
            cwd=more.pop("cwd", pulled.workdir),
            user=more.pop("user", pulled.user),
            **more,
        )
        return await self.containers.start(config, self.paths, self.sandbox)

    async def run(self, image: str, *argv: str, **more: Any) -> tuple[int, str]:
        """Run a container to its end: exit code and output."""
        running = await self.start(image, *argv, **more)
        ended = await running.exit
        return ended.code, await self.output(more.get("name", "c"), more.get("number", 0))

    async def shell(self, script: str, image: str = "busybox", **more: Any) -> str:
        """The output of a shell script in a container; it has to succeed."""
        code, text = await self.run(image, "sh", "-ec", script, **more)
        assert code == 0, text
        return text

    async def output(self, name: str = "c", number: int = 0) -> str:
        return b"".join([text async for text in read(self.paths.log(name, number), LogOptions())]).decode()

    async def until_said(self, words: str, running: Running) -> None:
        """Wait until a container has written something."""
        text = b""
        async for part in read(self.paths.log(running.record.container, 0), LogOptions(), running.exit):
            text += part
            if words.encode() in text:
                return
        raise AssertionError(f"never said: {words!r} but {text!r}")


async def runtime(cgroups: Hierarchies | None = None) -> Runtime:
    """A fresh runtime; what it leaves behind ends with the test's process."""
    made_private()
    made = Runtime(cgroups)
    await made.containers.connect()
    return made


def made_private() -> None:
    """A /run of the test's own, and with it everything that is written there."""
    mounts.make_private()
    mounts.tmpfs("/run")


def process_of(pid: int) -> tuple[Process, int]:
    """A process we did not start, and its start time."""
    return Process(pid, os.pidfd_open(pid)), start_time(pid)
