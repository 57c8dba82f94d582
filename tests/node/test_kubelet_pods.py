"""A kubelet and an API server: pods from creation to deletion, on a real machine's worth of namespaces."""

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubelet_harness import isolated

import knet.apiserver.main as apiserver
from knet.api.objects import ConfigMap, ContainerState, Event, Lease, Node, Pod, Secret, ServiceAccount, is_true
from knet.client import ApiError, Client
from knet.client.client import STRATEGIC
from knet.cluster import kubeconfig
from knet.cluster.pki import Authority, write_service_account_key
from knet.kernel import mounts
from knet.kernel.inotify import IN_DELETE, Watch
from knet.kubelet.main import Options

pytestmark = pytest.mark.root

ADDRESS = "10.99.0.1"
ROOT = Path("/run/knet-test")
REPOSITORY = Path(__file__).parent.parent.parent
WEB = {"httpGet": {"path": "/", "port": 80}}


class Machine:
    """A machine n1 with a kubelet, beside an API server on its loopback."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._kubelet: subprocess.Popen[bytes] | None = None

    def start_kubelet(self, memory: str = "4Gi") -> None:
        options = Options(
            kubeconfig=str(ROOT / "kubelet.conf"),
            node_name="n1",
            node_ip=ADDRESS,
            pki_dir=str(ROOT / "pki"),
            root_dir=str(ROOT / "kubelet"),
            log_dir=str(ROOT / "logs"),
            cpu="2",
            memory=memory,
        )
        code = f"from knet.kubelet.main import main, Options; main({options!r})"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self._kubelet = subprocess.Popen([sys.executable, "-c", code], env=environment)

    def signal_kubelet(self, number: int) -> None:
        assert self._kubelet is not None
        self._kubelet.send_signal(number)

    def stop_kubelet(self, number: int) -> None:
        assert self._kubelet is not None
        self.signal_kubelet(number)
        self._kubelet.wait()

    @staticmethod
    def provide_network() -> None:
        """What flanneld would do."""
        text = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
        Path("/run/flannel").mkdir(exist_ok=True)
        Path("/run/flannel/new").write_text(text)
        Path("/run/flannel/new").rename("/run/flannel/subnet.env")

    async def create(self, name: str, *, spec: dict[str, Any] | None = None, **container: Any) -> None:
        """A pod bound to n1, with one container c (busybox unless said otherwise)."""
        body = {"containers": [{"name": "c", "image": "busybox", **container}], **(spec or {})}
        body |= {"nodeName": "n1", "terminationGracePeriodSeconds": 2}
        await self.client.create(Pod, {"metadata": {"name": name}, "spec": body}, "default")

    async def until(self, name: str, holds: Callable[[Pod], bool]) -> Pod:
        """Watch a pod until something holds for it."""
        found = await self.client.list(Pod, "default", field_selector=f"metadata.name={name}")
        for pod in found.items:
            if holds(pod):
                return pod
        async for event in self.client.watch(
            Pod, found.resource_version, "default", field_selector=f"metadata.name={name}"
        ):
            if event.type != "BOOKMARK" and holds(event.object):
                return event.object
        raise AssertionError(f"{name}: the watch ended")

    async def until_gone(self, name: str) -> None:
        found = await self.client.list(Pod, "default", field_selector=f"metadata.name={name}")
        if not found.items:
            return
        async for event in self.client.watch(
            Pod, found.resource_version, "default", field_selector=f"metadata.name={name}"
        ):
            if event.type == "DELETED":
                return

    @staticmethod
    async def until_stopped(*uids: str) -> None:
        """Until the machine has nothing left of pods."""
        with Watch(ROOT / "kubelet/pods", IN_DELETE) as watch:
            while any((ROOT / "kubelet/pods" / uid).exists() for uid in uids):
                await watch.changed()

    async def until_waiting(self, name: str, reason: str) -> str:
        """Until the container waits for that reason; the message."""

        def waits(pod: Pod) -> bool:
            rows = pod.status.containerStatuses
            return bool(rows and rows[0].state.waiting and rows[0].state.waiting.reason == reason)

        waiting = (await self.until(name, waits)).status.containerStatuses[0].state.waiting
        return waiting.message if waiting is not None else ""

    async def events(self, name: str) -> dict[str, str]:
        """reason → message of a pod's Events."""
        found = await self.client.list(Event, "default")
        return {row.reason: row.message for row in found.items if row.involvedObject.name == name}

    async def log(self, name: str, **query: str) -> str:
        path = Pod.resource.path("default", name, "log")
        return (await self.client.raw("GET", path, params=query)).decode()

    async def until_logged(self, name: str, words: str) -> None:
        async with asyncio.timeout(20):
            async for line in self.client.lines(Pod.resource.path("default", name, "log"), {"follow": "true"}):
                if words.encode() in line:
                    return

    @staticmethod
    async def ask(path: str) -> str:
        """The kubelet's own answer, to the API server."""
        tls = ssl.create_default_context(cafile=ROOT / "pki/ca.crt")
        tls.load_cert_chain(ROOT / "pki/apiserver-kubelet-client.crt", ROOT / "pki/apiserver-kubelet-client.key")
        url = f"https://{ADDRESS}:10250{path}"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=tls, raise_for_status=True) as answer:
            return await answer.text()

    async def execute(self, name: str, *command: str, stdin: bytes | None = None) -> tuple[int, str]:
        """Run a command in a pod's container c by way of the API server; exit code and output."""
        query = [("container", "c"), ("stdout", "true"), ("stderr", "true"), *(("command", word) for word in command)]
        if stdin is not None:
            query.append(("stdin", "true"))
        path = Pod.resource.path("default", name, "exec")
        output, status = b"", {"status": "none"}
        async with self.client.websocket(path, query, ("v5.channel.k8s.io",)) as socket:
            if stdin is not None:
                await socket.send_bytes(b"\0" + stdin)
                await socket.send_bytes(b"\xff\0")
            async for message in socket:
                channel, data = message.data[0], message.data[1:]
                if channel in (1, 2):
                    output += data
                elif channel == 3:
                    status = json.loads(data)
        if status["status"] == "Success":
            return 0, output.decode()
        return int(status["details"]["causes"][0]["message"]), output.decode()


def _private_machine() -> None:
    """Directories and a loopback of the test's own."""
    mounts.make_private()
    for place in ("/run", "/var/lib"):
        mounts.tmpfs(place)
    subprocess.run(f"ip link set lo up; ip address add {ADDRESS}/32 dev lo", shell=True, check=True)


@asynccontextmanager
async def machine(network: bool = True, memory: str = "4Gi") -> AsyncIterator[Machine]:
    """An API server in this process and a kubelet in another; all of it ends with this process' namespaces."""
    _private_machine()
    pki = ROOT / "pki"
    authority = Authority.create("kubernetes")
    authority.write(pki)
    write_service_account_key(pki)
    authority.sign("kube-apiserver", names=["127.0.0.1"], server=True).write(pki, "apiserver")
    authority.sign("kubelet-client", ("kubeadm:cluster-admins",)).write(pki, "apiserver-kubelet-client")
    authority.sign("other", ("system:nodes",)).write(pki, "other")
    authority.sign("system:node:n1", names=["n1", ADDRESS], server=True).write(pki, "kubelet")
    for name, user, group in (("admin", "admin", "system:masters"), ("kubelet", "system:node:n1", "system:nodes")):
        pair = authority.sign(user, (group,))
        config = kubeconfig.render("test", "https://127.0.0.1:6443", authority.pem, pair)
        kubeconfig.write(ROOT / f"{name}.conf", config)
    options = apiserver.Options(data_dir=str(ROOT / "api"), pki_dir=str(pki), advertise_address="127.0.0.1")
    server = asyncio.create_task(apiserver.serve(options))
    async with Client.from_kubeconfig(ROOT / "admin.conf") as client:
        await _until_served(client)
        there = Machine(client)
        if network:
            there.provide_network()
        there.start_kubelet(memory)
        yield there
    server.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await server


async def _until_served(client: Client) -> None:
    while True:
        try:
            await client.raw("GET", "/readyz")
            await client.create(ServiceAccount, {"metadata": {"name": "default"}}, "default")
            return
        except (ConnectionError, ApiError):
            await asyncio.sleep(0.02)


def ready(pod: Pod) -> bool:
    return pod.ready


@isolated
async def test_a_pod_runs_answers_logs_executes_and_goes() -> None:
    async with machine() as there:
        await there.create("web", image="nginx:1.27", readinessProbe=WEB)
        pod = await there.until("web", ready)
        assert pod.status.phase == "Running" and pod.status.hostIP == ADDRESS
        assert pod.status.podIP.startswith("10.244.1.")
        status = pod.status.containerStatuses[0]
        assert (status.image, status.restartCount, status.started) == ("docker.io/library/nginx:1.27", 0, True)
        async with aiohttp.ClientSession() as session, session.get(f"http://{pod.status.podIP}/") as answer:
            assert "Welcome to nginx!" in await answer.text()
        await there.until_logged("web", "kube-probe/")  # nginx writes its log when it has answered
        assert await there.execute("web", "hostname") == (0, "web\n")
        assert await there.execute("web", "sh", "-c", "cat; exit 3", stdin=b"in\n") == (3, "in\n")
        code, text = await there.execute(
            "web", "sh", "-c", "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace"
        )
        assert (code, text) == (0, "default")
        assert {"Pulled", "Created", "Started"} <= set(await there.events("web"))
        await there.client.delete(Pod, "web", "default")
        await there.until_gone("web")
        assert not list((ROOT / "kubelet/pods").iterdir()) and not list((ROOT / "logs").iterdir())


@isolated
async def test_whoever_says_of_a_ready_pod_that_it_is_not_is_corrected() -> None:
    async with machine() as there:
        await there.create("quiet", command=["sleep", "1000"])
        await there.until("quiet", ready)
        # as the node lifecycle controller does when a node was silent for a while
        doubt = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        doubted = await there.client.patch(Pod, "quiet", doubt, "default", "status", kind=STRATEGIC)
        assert not ready(doubted)
        await there.until("quiet", ready)


@isolated
async def test_without_a_pod_network_the_node_is_not_ready_and_pods_wait() -> None:
    async with machine(network=False) as there:
        await there.create("web", command=["sleep", "1000"])
        await there.until_waiting("web", "ContainerCreating")
        node = await there.client.get(Node, "n1")
        assert not node.ready
        condition = next(row for row in node.status.conditions if row.type == "Ready")
        assert condition.reason == "KubeletNotReady" and "cni plugin not initialized" in condition.message
        there.provide_network()
        await there.until("web", ready)
        while not (await there.client.get(Node, "n1")).ready:
            await asyncio.sleep(0.02)
        assert (await there.client.get(Lease, "n1", "kube-node-lease")).spec.holderIdentity == "n1"
        assert "NetworkNotReady" in await there.events("web")


@isolated
async def test_pods_survive_a_killed_kubelet_with_their_addresses() -> None:
    async with machine() as there:
        await there.create("stays", command=["sleep", "1000"])
        await there.create("ends", spec={"restartPolicy": "Never"}, command=["sh", "-c", "sleep 1; exit 9"])
        await there.create("leaves", command=["sleep", "1000"])
        before = await there.until("stays", ready)
        for name in ("ends", "leaves"):
            await there.until(name, ready)
        there.stop_kubelet(signal.SIGKILL)
        await there.client.delete(Pod, "leaves", "default", grace_period=0)
        while not list((ROOT / "kubelet/pods").glob("*/containers/c/0.exit")):
            await asyncio.sleep(0.02)
        there.start_kubelet()
        ended = await there.until("ends", lambda pod: pod.finished)
        terminated = ended.status.containerStatuses[0].state.terminated
        assert ended.status.phase == "Failed" and terminated is not None and terminated.exitCode == 9
        after = await there.client.get(Pod, "stays", "default")
        assert after.status.podIP == before.status.podIP
        assert after.status.containerStatuses[0].containerID == before.status.containerStatuses[0].containerID
        assert await there.execute("stays", "hostname") == (0, "stays\n")
        while len(list((ROOT / "kubelet/pods").iterdir())) > 2:
            await asyncio.sleep(0.02)  # the one that was deleted meanwhile is cleaned up


@isolated
async def test_what_is_missing_is_told_and_made_good() -> None:
    async with machine() as there:
        late = {"valueFrom": {"configMapKeyRef": {"name": "late", "key": "word"}}}
        await there.create("env", command=["sh", "-c", "echo $WORD; sleep 1000"], env=[{"name": "WORD", **late}])
        volume = {"volumes": [{"name": "v", "configMap": {"name": "late"}}]}
        mount = [{"name": "v", "mountPath": "/v"}]
        await there.create("mount", spec=volume, command=["sh", "-c", "cat /v/word; sleep 1000"], volumeMounts=mount)
        assert await there.until_waiting("env", "CreateContainerConfigError") == 'configmap "late" not found'
        while "FailedMount" not in await there.events("mount"):
            await asyncio.sleep(0.05)
        await there.client.create(ConfigMap, {"metadata": {"name": "late"}, "data": {"word": "hello"}}, "default")
        for name, text in (("env", "hello\n"), ("mount", "hello")):
            await there.until(name, ready)
            while await there.log(name) != text:
                await asyncio.sleep(0.02)


@isolated
async def test_images_and_commands_that_do_not_exist() -> None:
    async with machine() as there:
        await there.create("image", image="foo/bar:v1")
        await there.create("name", image="Foo")
        await there.create("command", command=["nosuch"])
        assert "not in knet's image catalogue" in await there.until_waiting("image", "ErrImagePull")
        assert "Back-off pulling image" in await there.until_waiting("image", "ImagePullBackOff")
        assert "couldn't parse image name" in await there.until_waiting("name", "InvalidImageName")
        assert "restarting failed container=c pod=command" in await there.until_waiting("command", "CrashLoopBackOff")
        pod = await there.client.get(Pod, "command", "default")
        last = pod.status.containerStatuses[0].lastState.terminated
        assert last is not None and (last.exitCode, last.reason) == (128, "StartError")
        assert 'exec: "nosuch": executable file not found in $PATH' in last.message


@isolated
async def test_liveness_restarts_and_crashes_back_off() -> None:
    async with machine() as there:
        probe = {"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1}
        script = "trap 'exit 0' TERM; touch /tmp/ok; sleep 0.5; rm /tmp/ok; while :; do sleep 0.1; done"
        await there.create("sick", command=["sh", "-c", script], livenessProbe=probe)
        pod = await there.until("sick", lambda pod: any(row.restartCount for row in pod.status.containerStatuses))
        assert pod.status.phase == "Running"
        events = await there.events("sick")
        assert events["Killing"] == "Container c failed liveness probe, will be restarted"
        assert events["Unhealthy"].startswith("Liveness probe failed: cat: can't open '/tmp/ok'")
        await there.create("crash", command=["sh", "-c", "echo run; exit 3"])
        await there.until_waiting("crash", "CrashLoopBackOff")
        assert await there.log("crash", previous="true") == "run\n"


@isolated
async def test_init_containers_hooks_and_the_order_of_an_end() -> None:
    async with machine() as there:
        shared = [{"name": "w", "mountPath": "/w"}]
        init = {"name": "i", "image": "busybox", "command": ["sh", "-c", "echo init >> /w/log"], "volumeMounts": shared}
        script = "trap 'echo term >> /w/log; cat /w/log; exit 0' TERM; while :; do sleep 0.05; done"
        hooks = {
            "postStart": {"exec": {"command": ["sh", "-c", "echo post >> /w/log"]}},
            "preStop": {"exec": {"command": ["sh", "-c", "echo pre >> /w/log"]}},
        }
        spec = {"initContainers": [init], "volumes": [{"name": "w", "emptyDir": {}}]}
        await there.create("p", spec=spec, command=["sh", "-c", script], volumeMounts=shared, lifecycle=hooks)
        pod = await there.until("p", ready)
        assert pod.status.initContainerStatuses[0].state.terminated is not None
        path = Pod.resource.path("default", "p", "log")
        following = asyncio.create_task(_collect(there.client.lines(path, {"follow": "true"})))
        await there.client.delete(Pod, "p", "default")
        await there.until_gone("p")
        assert await following == [b"init", b"post", b"pre", b"term"]


@isolated
async def test_a_hook_that_hangs_does_not_hold_a_deletion_up() -> None:
    async with machine() as there:
        hooks = {"postStart": {"exec": {"command": ["sleep", "1000"]}}}
        await there.create(
            "p", command=["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"], lifecycle=hooks
        )
        while "Started" not in await there.events("p"):
            await asyncio.sleep(0.02)
        assert not (await there.client.get(Pod, "p", "default")).ready
        await there.client.delete(Pod, "p", "default")
        await there.until_gone("p")


@isolated
async def test_a_second_deletion_shortens_the_first_ones_grace() -> None:
    async with machine() as there:
        await there.create("deaf", command=["sleep", "1000"])  # process 1 without a handler hears no SIGTERM
        await there.until("deaf", ready)
        await there.client.delete(Pod, "deaf", "default", grace_period=1000)
        await there.until("deaf", lambda pod: pod.deleting)
        while "Killing" not in await there.events("deaf"):
            await asyncio.sleep(0.02)
        await there.client.delete(Pod, "deaf", "default", grace_period=1)
        await there.until_gone("deaf")


@isolated
async def test_ports_are_forwarded_into_the_pod() -> None:
    async with machine() as there:
        await there.create("web", image="nginx", readinessProbe=WEB)
        await there.until("web", ready)
        path = Pod.resource.path("default", "web", "portforward")
        async with there.client.websocket(path, [("ports", "80"), ("ports", "81")], ("v4.channel.k8s.io",)) as socket:
            heads = [await socket.receive_bytes() for _ in range(4)]
            assert heads == [bytes([channel, 80 + channel // 2, 0]) for channel in range(4)]
            refused = await socket.receive_bytes()
            assert refused[0] == 3 and b"dial tcp4 127.0.0.1:81: connect: connection refused" in refused
            await socket.send_bytes(b"\0GET / HTTP/1.0\r\n\r\n")
            answer = await socket.receive_bytes()
            assert answer.startswith(b"\0HTTP/1.1 200 OK")


async def _collect(lines: AsyncIterator[bytes]) -> list[bytes]:
    return [line async for line in lines]


@isolated
async def test_a_pod_that_does_not_fit_is_rejected_and_one_that_is_late_is_ended() -> None:
    async with machine() as there:
        await there.create("big", resources={"requests": {"cpu": "3"}})
        pod = await there.until("big", lambda pod: pod.finished)
        assert (pod.status.phase, pod.status.reason) == ("Failed", "OutOfcpu")
        await there.create("late", spec={"activeDeadlineSeconds": 1}, command=["sleep", "1000"])
        pod = await there.until("late", lambda pod: pod.finished)
        assert (pod.status.phase, pod.status.reason) == ("Failed", "DeadlineExceeded")


@isolated
async def test_only_administrators_may_use_the_kubelets_port() -> None:
    async with machine() as there:
        await there.create("p", command=["sleep", "1000"])
        await there.until("p", ready)
        results = {}
        for name in ("apiserver-kubelet-client", "other"):
            tls = ssl.create_default_context(cafile=ROOT / "pki/ca.crt")
            tls.load_cert_chain(ROOT / f"pki/{name}.crt", ROOT / f"pki/{name}.key")
            url = f"https://{ADDRESS}:10250/pods"
            async with aiohttp.ClientSession() as session, session.get(url, ssl=tls) as answer:
                results[name] = answer.status
        assert results == {"apiserver-kubelet-client": 200, "other": 403}
        nobody = ssl.create_default_context(cafile=ROOT / "pki/ca.crt")
        async with aiohttp.ClientSession() as session, session.get(url, ssl=nobody) as answer:
            assert (answer.status, await answer.text()) == (401, "Unauthorized")


async def debug(there: Machine, pod: str, *command: str, **more: Any) -> Callable[[Pod], ContainerState]:
    """Add an ephemeral container to a pod and wait until it runs, has ended, or cannot; how to tell its state."""
    name = f"d{len((await there.client.get(Pod, pod, 'default')).spec.ephemeralContainers)}"
    body = {"spec": {"ephemeralContainers": [{"name": name, "image": "busybox", "command": command, **more}]}}
    await there.client.patch(Pod, pod, body, "default", "ephemeralcontainers", kind=STRATEGIC)

    def state(found: Pod) -> ContainerState:
        rows = {row.name: row.state for row in found.status.ephemeralContainerStatuses}
        return rows.get(name, ContainerState())

    def settled(found: Pod) -> bool:
        waiting = state(found).waiting
        return state(found) != ContainerState() and (waiting is None or bool(waiting.message))

    await there.until(pod, settled)
    return state


@isolated
async def test_an_ephemeral_container_sees_its_targets_processes() -> None:
    async with machine() as there:
        spec = {"initContainers": [{"name": "over", "image": "busybox", "command": ["true"]}]}
        spec["containers"] = [{"name": "c", "image": "busybox", "command": ["sleep", "1111"]}]
        await there.create("web", spec=spec)
        await there.until("web", ready)
        may = {"capabilities": {"add": ["SYS_PTRACE"]}}
        script = "tr '\\0' ' ' < /proc/1/cmdline; ls /proc/1/root > /dev/null; exec sleep 2222"
        inside = await debug(there, "web", "sh", "-c", script, targetContainerName="c", securityContext=may)
        while "sleep 1111" not in await there.log("web", container="d0"):
            pass
        assert "sleep 2222" in (await there.execute("web", "ps", "-o", "args"))[1]
        beside = await debug(there, "web", "sh", "-c", "ps -o args; exit 3")
        found = await there.until("web", lambda pod: beside(pod).terminated is not None)
        ended = beside(found).terminated
        assert ended is not None and ended.exitCode == 3
        assert "1111" not in await there.log("web", container="d1")
        lost = await debug(there, "web", "true", targetContainerName="over")
        found = await there.client.get(Pod, "web", "default")
        waiting = lost(found).waiting
        assert waiting is not None and waiting.message == "unable to find target container over"
        assert inside(found).running is not None and found.ready and found.status.phase == "Running"
        await there.client.delete(Pod, "web", "default")
        await there.until_gone("web")
        assert not [row for row in commands() if b"2222" in row]


@isolated
async def test_containers_may_share_their_processes_or_the_machines() -> None:
    async with machine() as there:
        pair = [
            {"name": "c", "image": "busybox", "command": ["sleep", "1111"]},
            {"name": "d", "image": "busybox", "command": ["sh", "-c", "(sleep 0.1 &); exec sleep 2222"]},
        ]
        await there.create("pair", spec={"containers": pair, "shareProcessNamespace": True})
        host = {"hostPID": True, "hostIPC": True, "hostNetwork": True}
        await there.create("host", spec=host, command=["sleep", "3333"])
        for name in ("pair", "host"):
            await there.until(name, ready)
        shared = {row.strip() for row in (await there.execute("pair", "ps", "-o", "pid,args"))[1].splitlines()}
        # busybox says where a process' name is not that of its program
        assert any(re.fullmatch(r"1 (\{sleep\} )?/pause infinity", row) for row in shared), shared
        assert not any("3333" in row for row in shared)
        assert {row.partition(" ")[2] for row in shared} >= {"sleep 1111", "sleep 2222"}
        # orphans are the pause process' to reap
        while "[sleep]" in (text := (await there.execute("pair", "ps", "-o", "args"))[1]) or "sleep 0.1" in text:
            pass
        everything = (await there.execute("host", "ps", "-o", "args"))[1]
        assert all(f"sleep {number}" in everything for number in ("1111", "2222", "3333"))
        ipc = (await there.execute("host", "readlink", "/proc/self/ns/ipc"))[1]
        assert ipc.strip() == os.readlink("/proc/self/ns/ipc")
        for name in ("pair", "host"):
            await there.client.delete(Pod, name, "default")
            await there.until_gone(name)
        assert not [row for row in commands() if row.startswith(b"sleep")]


def commands() -> list[bytes]:
    """The command lines of all processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" "))
    return found


@isolated
async def test_what_pods_use_is_measured() -> None:
    async with machine() as there:
        await there.create("busy", command=["sh", "-c", "while :; do :; done"])
        await there.create("idle", command=["sleep", "1000"])
        for name in ("busy", "idle"):
            await there.until(name, ready)
        while True:  # until the one that runs has left the other's start behind, however slow the machine
            stats = json.loads(await there.ask("/stats/summary"))
            pods = {row["podRef"]["name"]: row for row in stats["pods"]}
            busy, idle = pods["busy"]["containers"][0], pods["idle"]["containers"][0]
            uses = ("usageCoreNanoSeconds", "usageNanoCores")
            if all(busy["cpu"][key] > 10 * idle["cpu"][key] for key in uses):
                break
        assert idle["cpu"]["usageCoreNanoSeconds"] > 0
        assert idle["memory"]["workingSetBytes"] > 0
        assert [row["name"] for row in pods["idle"]["network"]["interfaces"]] == ["eth0"]
        node = stats["node"]
        assert node["cpu"]["usageCoreNanoSeconds"] >= busy["cpu"]["usageCoreNanoSeconds"]
        assert [row["name"] for row in node["systemContainers"]] == ["kubelet", "pods"]
        lines = (await there.ask("/metrics/resource")).splitlines()
        assert any(row.startswith('pod_memory_working_set_bytes{namespace="default",pod="idle"} ') for row in lines)
        assert 'container_network_receive_bytes_total{interface="eth0"' in await there.ask("/metrics/cadvisor")
        assert "kubelet_running_pods 2" in await there.ask("/metrics")
        await there.client.delete(Pod, "busy", "default")
        await there.until_gone("busy")
        assert [row["podRef"]["name"] for row in json.loads(await there.ask("/stats/summary"))["pods"]] == ["idle"]


@isolated
async def test_the_security_context_of_pod_and_container() -> None:
    async with machine() as there:
        await there.client.create(Secret, {"metadata": {"name": "key"}, "stringData": {"k": "v"}}, "default")
        script = (
            "id -u; id -G; grep NoNewPrivs /proc/self/status; cat /proc/sys/net/ipv4/tcp_syncookies;"
            " stat -c %g:%a /scratch; stat -L -c %g:%a /key/k; touch /scratch/f; stat -c %g /scratch/f;"
            " ls /sub; hostname; echo gone wrong; exit 1"
        )
        security: dict[str, Any] = {"runAsUser": 1000, "supplementalGroups": [7], "fsGroup": 2000}
        security["sysctls"] = [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]
        spec = {
            "restartPolicy": "Never",
            "securityContext": security,
            "subdomain": "deep",
            "setHostnameAsFQDN": True,
            "volumes": [
                {"name": "scratch", "emptyDir": {}},
                {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
            ],
        }
        await there.create(
            "safe",
            spec=spec,
            command=["sh", "-c", script],
            env=[{"name": "WHO", "value": "me"}],
            securityContext={"allowPrivilegeEscalation": False},
            terminationMessagePolicy="FallbackToLogsOnError",
            volumeMounts=[
                {"name": "scratch", "mountPath": "/scratch"},
                {"name": "scratch", "mountPath": "/sub/dir", "subPathExpr": "of-$(WHO)"},
                {"name": "key", "mountPath": "/key"},
            ],
        )
        ended = (await there.until("safe", lambda pod: pod.finished)).status.containerStatuses[0].state.terminated
        assert ended is not None
        told = await there.log("safe")
        assert told.splitlines() == [
            "1000",
            "0 7 2000",
            "NoNewPrivs:\t1",
            "0",
            "2000:2777",
            "2000:440",
            "2000",
            "dir",
            "safe.deep.default.svc.cluster.local",
            "gone wrong",
        ]
        assert ended.message == told


@isolated
async def test_a_pod_that_must_not_be_root_waits_and_says_why() -> None:
    async with machine() as there:
        await there.create("root", securityContext={"runAsNonRoot": True})
        assert "image will run as root" in await there.until_waiting("root", "CreateContainerConfigError")


STATIC = """\
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{tier: static}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "echo {word}; touch /up; exec sleep 1d"]
    readinessProbe: {{exec: {{command: [test, -e, /up]}}}}
"""


@isolated
async def test_static_pods_are_mirrored_come_back_and_go_with_their_file() -> None:
    async with machine() as there:
        manifests = ROOT / "kubelet/manifests"
        manifests.mkdir(parents=True, exist_ok=True)
        (manifests / "broken.yaml").write_text("kind: [")
        (manifests / "web.yaml").write_text(STATIC.format(word="one"))
        first = await there.until("web-n1", ready)
        assert first.metadata.ownerReferences[0].kind == "Node" and first.mirrors
        assert await there.log("web-n1") == "one\n"
        assert (await there.execute("web-n1", "echo", "hello")) == (0, "hello\n")
        started = first.status.containerStatuses[0].containerID
        await there.client.delete(Pod, "web-n1", "default")
        second = await there.until("web-n1", lambda pod: pod.uid != first.uid and ready(pod))
        assert second.status.containerStatuses[0].containerID == started  # only its reflection was gone
        there.stop_kubelet(signal.SIGKILL)
        there.start_kubelet()
        (manifests / "web.yaml").write_text(STATIC.format(word="two"))
        third = await there.until("web-n1", lambda pod: pod.mirrors != first.mirrors and ready(pod))
        assert await there.log("web-n1") == "two\n" and third.metadata.labels == {"tier": "static"}
        (manifests / "web.yaml").unlink()
        await there.until_gone("web-n1")
        await there.until_stopped(first.mirrors, third.mirrors)


@isolated
async def test_a_machine_short_of_memory_evicts_who_takes_too_much() -> None:
    async with machine(memory="400Mi") as there:
        await there.create("modest", command=["sleep", "1000"])
        hungry = ["python3", "-c", "import time; hoard = bytearray(1 << 29); time.sleep(1000)"]
        await there.create("hungry", image="python", command=hungry)
        ended = await there.until("hungry", lambda pod: pod.finished)
        assert (ended.status.phase, ended.status.reason) == ("Failed", "Evicted")
        assert ended.status.message.startswith("The node was low on resource: memory. Threshold quantity: 40Mi, avail")
        assert is_true(ended.status.conditions, "DisruptionTarget")
        assert "Evicted" in await there.events("hungry")
        node = await there.client.get(Node, "n1")
        assert is_true(node.status.conditions, "MemoryPressure")
        await there.create("late", command=["sleep", "1000"])
        refused = await there.until("late", lambda pod: pod.finished)
        assert refused.status.message == "Pod was rejected: The node had condition: [MemoryPressure]. "
        assert (await there.client.get(Pod, "modest", "default")).status.phase == "Running"


@isolated
async def test_a_machine_that_goes_down_ends_its_pods_in_order() -> None:
    async with machine() as there:
        script = "trap 'echo told; exit 0' TERM; while :; do sleep 0.05; done"
        await there.create("plain", command=["sh", "-c", script])
        await there.create("critical", command=["sh", "-c", script], spec={"priorityClassName": "system-node-critical"})
        for name in ("plain", "critical"):
            await there.until(name, ready)
        there.signal_kubelet(signal.SIGPWR)
        for name in ("plain", "critical"):
            ended = await there.until(name, lambda pod: pod.finished)
            assert (ended.status.phase, ended.status.reason) == ("Failed", "Terminated")
            assert ended.status.message == "Pod was terminated in response to imminent node shutdown."
        assert await there.log("plain", timestamps="true") < await there.log("critical", timestamps="true")
        node = await there.client.get(Node, "n1")
        assert [row.message for row in node.status.conditions if row.type == "Ready"] == ["node is shutting down"]
        await there.create("late", command=["sleep", "1000"])
        assert (await there.until("late", lambda pod: pod.finished)).status.reason == "NodeShutdown"
