"""Every image of the catalogue starts, and the servers among them answer as the originals do."""

import asyncio
import sys

import pytest
from kubelet_harness import Runtime, isolated, runtime

from knet.images import Catalogue, ImageStore, MissingProgram
from knet.kernel.process import Program, spawn
from knet.kubelet.runtime.containers import Running
from knet.kubelet.runtime.execution import run_command

pytestmark = pytest.mark.root

SERVERS = [
    ("nginx:1.27", (), 80, "/", "<title>Welcome to nginx!</title>"),
    ("nginx:1.28", (), 80, "/", "image docker.io/library/nginx:1.28"),
    ("httpd:2.4", (), 80, "/", "<h1>It works!</h1>"),
    ("traefik/whoami", (), 80, "/path", "GET /path HTTP/1.1"),
    ("hashicorp/http-echo", ("/http-echo", "-text=hello world", "-listen=:8000"), 8000, "/", "hello world"),
    ("gcr.io/google-samples/hello-app:2.0", (), 8080, "/", "Version: 2.0"),
    ("registry.k8s.io/echoserver:1.10", (), 8080, "/x?y=1", "query=y=1"),
    ("registry.k8s.io/e2e-test-images/agnhost:2.53", ("/agnhost", "netexec"), 8080, "/echo?msg=hi+there", "hi there"),
    ("registry.k8s.io/e2e-test-images/agnhost:2.53", ("/agnhost", "netexec"), 8080, "/shell?cmd=echo+$((6*7))", "42"),
    (
        "registry.k8s.io/e2e-test-images/agnhost:2.53",
        ("/agnhost", "netexec"),
        8080,
        "/dial?host=127.0.0.1&port=8081&protocol=udp&request=echo%20x&tries=2",
        '{"responses": ["x", "x"]}',
    ),
]


@isolated
async def test_servers_answer_and_end_when_asked_to() -> None:
    there = await with_loopback()
    for index, (image, argv, port, path, expected) in enumerate(SERVERS):
        running = await there.start(image, *argv, name=f"c{index}")
        answer = await asked(there, running, port, path)
        assert expected in answer, (image, answer)
        running.process.kill(running.record.stop_signal)
        assert (await running.exit).code == 0, image


async def with_loopback() -> Runtime:
    there = await runtime()
    up = Program(["ip", "link", "set", "lo", "up"], {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    assert await spawn(up, there.sandbox.namespaces.only("net")).wait() == 0
    return there


async def asked(there: Runtime, running: Running, port: int, path: str) -> str:
    """The answer to a GET from inside the container, as soon as it is there."""
    while not running.exit.done():
        code, text = await run_command(there.containers, running, ("wget", "-qO-", f"http://127.0.0.1:{port}{path}"))
        if code == 0:
            return text
        await asyncio.sleep(0.01)
    return await there.output(running.record.container)


@isolated
async def test_the_servers_log_where_kubectl_logs_looks() -> None:
    there = await with_loopback()
    running = await there.start("nginx")
    assert "Welcome" in await asked(there, running, 80, "/index.html")
    running.process.kill(running.record.stop_signal)
    await running.exit
    assert '"GET /index.html HTTP/1.1" 200' in await there.output()


@isolated
async def test_tools_of_the_other_images() -> None:
    there = await runtime()
    cases: list[tuple[str, tuple[str, ...], str]] = [
        ("busybox", ("sh", "-c", "echo $0; busybox | head -1"), "BusyBox"),
        ("alpine:3.20", ("sh", "-c", ". /etc/os-release; echo $NAME $VERSION_ID"), "Alpine Linux 3.20"),
        ("debian", ("bash", "-c", "echo $BASH_VERSION"), "5."),
        ("nicolaka/netshoot", ("bash", "-c", "ip -br link; which nslookup"), "nslookup"),
        ("curlimages/curl", ("/entrypoint.sh", "--version"), "curl "),
        ("curlimages/curl", ("/entrypoint.sh", "echo", "plain program"), "plain program"),
        ("python:3.12", ("python3", "-c", "print(6 * 7)"), "42"),
        ("knet/dns", (sys.executable, "-c", "import knet.dns; print('importable')"), "importable"),
    ]
    for index, (image, argv, expected) in enumerate(cases):
        code, text = await there.run(image, *argv, name=f"c{index}")
        assert code == 0 and expected in text, (image, text)


@isolated
async def test_pause_pauses_and_ends_at_once() -> None:
    there = await runtime()
    for image in ("registry.k8s.io/pause:3.10", "registry.k8s.io/e2e-test-images/agnhost:2.53"):
        running = await there.start(image, name=image.rpartition("/")[2].partition(":")[0])
        while not running.exit.done():  # it hears the signal once it has asked for it
            running.process.kill(running.record.stop_signal)
            await asyncio.sleep(0.01)
        assert (await running.exit).code == 0


@isolated
async def test_a_missing_program_names_its_package() -> None:
    there = await runtime()
    (there.root / "mine.yaml").write_text("- {names: [mine], needs: {nosuchprogram: some-package}, cmd: [x]}\n")
    store = ImageStore(there.root / "images", Catalogue(there.root / "mine.yaml"))
    with pytest.raises(MissingProgram, match="no program nosuchprogram; install it"):
        store.pull("mine")
