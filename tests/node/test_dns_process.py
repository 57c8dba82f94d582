"""``python -m knet.dns`` as it runs in a pod: beside a real API server, with a service account's volume."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dnslib import RCODE, DNSRecord

from knet.api.resources import CLUSTERROLEBINDINGS, SERVICEACCOUNTS, SERVICES
from knet.cluster.addons import COREFILE
from knet.dns.connection import SERVICE_ACCOUNT_DIR
from knet.kernel import links, mounts, namespaces
from knet.kernel.namespaces import run_in
from knet.kernel.netlink import Netlink
from tests.unit.apiserver_harness import Api, Server, running

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
#: a cluster's file, but nobody is asked: the host's name server may be 127.0.0.53, and here that is this one
ALONE = re.sub(r" +forward [^}]*}\n", "", COREFILE)


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
def dns(server: Server, corefile: str = ALONE, until: str = "serving .") -> Iterator["subprocess.Popen[str]"]:
    """The server, from when it says so."""
    conf = server.directory / "Corefile"
    conf.write_text(corefile)
    port = server.url.rpartition(":")[2]
    env = {**os.environ, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    command = [sys.executable, "-m", "knet.dns", "-conf", str(conf)]
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = ""
            while until not in said:
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
        with dns(server, ALONE.replace("lameduck 5s", "lameduck 1s")) as process:
            process.send_signal(signal.SIGTERM)
            assert ask("kubernetes.default.svc.cluster.local").rr
            assert process.wait(10) == 0

    in_pod(tmp_path, body)


def page(port: int, path: str) -> str:
    """What is there, or what a refusal says."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return f"{error.code}: {error.read().decode()}"


def test_health_readiness_and_metrics_are_where_coredns_has_them(tmp_path: Path):
    def body(server: Server) -> None:
        with dns(server):
            ask("kubernetes.default.svc.cluster.local")
            assert (page(8080, "/health"), page(8181, "/ready")) == ("OK", "OK")
            metrics = page(9153, "/metrics").splitlines()
            assert any(line.startswith("coredns_dns_requests_total{") and line.endswith(" 1") for line in metrics)

    in_pod(tmp_path, body)


def test_a_server_that_may_not_see_services_says_so(tmp_path: Path):
    """In its log, to who asks whether it is ready, and to who asks it for a name: it does not know."""

    def body(server: Server) -> None:
        async def forbid(api: Api) -> None:
            answer = await api("DELETE", CLUSTERROLEBINDINGS.path("", "system:coredns"))
            assert answer.code == 200

        server.run(forbid)
        with dns(server, until="failed to list *v1.Service: ") as process:
            assert process.stderr is not None
            user = 'User "system:serviceaccount:kube-system:coredns"'
            forbidden = f'services is forbidden: {user} cannot list resource "services" in API group ""'
            ready = page(8181, "/ready")
            while "Namespace" not in ready:
                ready = page(8181, "/ready")
            assert ready.startswith("503: kubernetes\n")
            assert f"failed to list *v1.Service: {forbidden}" in ready
            assert ask("kubernetes.default.svc.cluster.local").header.rcode == RCODE.SERVFAIL

    in_pod(tmp_path, body)


def test_a_changed_corefile_takes_effect_and_a_wrong_one_does_not(tmp_path: Path):
    def body(server: Server) -> None:
        conf = server.directory / "Corefile"

        def awaited(process: "subprocess.Popen[str]", text: str) -> None:
            assert process.stderr is not None
            while text not in (line := process.stderr.readline()):
                assert line, "it has ended"

        with dns(server) as process:
            conf.write_text(ALONE.replace("ttl 5", "ttl 7"))
            awaited(process, "Reloading complete")
            assert ask("kubernetes.default.svc.cluster.local").rr[0].ttl == 7
            conf.write_text(ALONE.replace("ttl 5", "tll 5"))
            awaited(process, "Restart failed: Corefile:7 - Error during parsing: plugin/kubernetes: unknown property")
            assert ask("kubernetes.default.svc.cluster.local").rr[0].ttl == 7

    in_pod(tmp_path, body)


def test_name_servers_that_ask_us_are_a_loop(tmp_path: Path):
    def body(server: Server) -> None:
        with dns(server, COREFILE.replace("/etc/resolv.conf", "127.0.0.1"), until="plugin/loop: Loop ") as process:
            assert process.wait(10) == 1

    in_pod(tmp_path, body)


def test_outside_of_a_pod_it_says_so(tmp_path: Path):
    corefile = tmp_path / "Corefile"
    corefile.write_text(ALONE)
    env = {key: value for key, value in os.environ.items() if not key.startswith("KUBERNETES_")}
    done = subprocess.run(
        [sys.executable, "-m", "knet.dns", "-conf", str(corefile)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0
    assert "not in a pod" in done.stderr
