"""``python -m knet.dns`` as it runs in a pod: beside a real API server, with a service account's volume."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dnslib import RCODE, DNSRecord

from knet.api.resources import SERVICEACCOUNTS, SERVICES
from knet.dns.connection import SERVICE_ACCOUNT_DIR
from knet.kernel import links, mounts, namespaces
from knet.kernel.namespaces import run_in
from knet.kernel.netlink import Netlink
from tests.unit.apiserver_harness import Api, Server, running

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]


def private_run() -> None:
    """A /run of our own, where the volume can be laid out without anybody seeing it."""
    mounts.make_private("/")
    mounts.tmpfs("/run")


async def lay_out_volume(api: Api, server: Server) -> None:
    """Of the account that may see what a DNS server has to see."""
    await api("POST", SERVICEACCOUNTS.path("kube-system"), {"metadata": {"name": "coredns"}})
    token = await api("POST", SERVICEACCOUNTS.path("kube-system", "coredns", "token"), {"spec": {}})
    SERVICE_ACCOUNT_DIR.mkdir(parents=True)
    (SERVICE_ACCOUNT_DIR / "token").write_text(token.body["status"]["token"])
    (SERVICE_ACCOUNT_DIR / "ca.crt").write_bytes((server.pki / "ca.crt").read_bytes())


@contextmanager
def dns(server: Server, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The server, from when it says that it serves."""
    port = server.url.rpartition(":")[2]
    env = {**os.environ, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    command = [sys.executable, "-m", "knet.dns", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = ""
            while "serving cluster.local" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            yield process
        finally:
            process.kill()


def ask(name: str) -> DNSRecord:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", 53))
        client.send(bytes(DNSRecord.question(name).pack()))
        return DNSRecord.parse(client.recv(4096))


def in_pod(tmp_path: Path, body: Callable[[Server], None]) -> None:
    """Run ``body(server)`` in network and mount namespaces where a pod's files are."""
    space = namespaces.create("net", "mnt", setup=private_run)
    with Netlink(space.fds["net"]) as netlink:
        netlink.send(links.change("lo", up=True))

    def inside() -> None:
        with running(tmp_path) as server:
            server.run(lambda api: lay_out_volume(api, server))
            body(server)

    try:
        run_in(space, inside)
    finally:
        space.close()


def test_it_answers_with_what_the_api_server_says(tmp_path: Path):
    def body(server: Server) -> None:
        with dns(server):
            assert str(ask("kubernetes.default.svc.cluster.local").rr[0].rdata) == "10.96.0.1"
            assert ask("web.default.svc.cluster.local").header.rcode == RCODE.NXDOMAIN

            async def create(api: Api) -> None:
                spec = {"clusterIP": "10.96.0.80", "ports": [{"port": 80}]}
                await api("POST", SERVICES.path("default"), {"metadata": {"name": "web"}, "spec": spec})

            server.run(create)
            found: list[str] = []
            while not found:  # until the watch has brought it
                found = [str(row.rdata) for row in ask("web.default.svc.cluster.local").rr]
            assert found == ["10.96.0.80"]

    in_pod(tmp_path, body)


def test_it_goes_on_for_a_while_after_it_is_told_to_stop(tmp_path: Path):
    def body(server: Server) -> None:
        with dns(server, "--lameduck", "1") as process:
            process.send_signal(signal.SIGTERM)
            assert ask("kubernetes.default.svc.cluster.local").rr
            assert process.wait(10) == 0

    in_pod(tmp_path, body)


def test_outside_of_a_pod_it_says_so():
    env = {key: value for key, value in os.environ.items() if not key.startswith("KUBERNETES_")}
    done = subprocess.run(
        [sys.executable, "-m", "knet.dns"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=30
    )
    assert done.returncode != 0
    assert "not in a pod" in done.stderr
