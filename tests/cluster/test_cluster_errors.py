"""Bad input: one line that says what to do, exit code 2, nothing left behind."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.cluster import host
from tests.conftest import KNET, knet

TOPOLOGIES = {
    "syntax": ("def broken(:\n", "bad.py:1: "),
    "no topos": ("x = 1\n", "topos"),
    "no worker": ("    self.addHost('cp1', role='control-plane')\n", "worker"),
    "no control plane": ("    self.addHost('n1', role='worker')\n", "no control plane"),
    "twice": ("    self.addHost('cp1', role='control-plane')\n    self.addHost('cp1', role='worker')\n", "bad.py:6: "),
    "long name": (
        "    self.addHost('cp1', role='control-plane')\n"
        "    n = self.addHost('a-very-long-machine-name', role='worker')\n"
        "    self.addLink(n, 'cp1')\n",
        "a-very-long-machine-name",
    ),
    "overlap": (
        "    c = self.addHost('cp1', role='control-plane', ip='10.244.1.1/24')\n"
        "    n = self.addHost('n1', role='worker', ip='10.244.1.2/24')\n"
        "    self.addLink(c, n)\n",
        "10.244",
    ),
}
HEAD = "from mininet.topo import Topo\nclass Bad(Topo):\n  def build(self, workers=2):\n    pass\n"


@pytest.mark.parametrize("case", TOPOLOGIES)
def test_a_topology_with_an_error_is_refused(case: str, tmp_path: Path, home: Path) -> None:
    body, complaint = TOPOLOGIES[case]
    text = body if case in ("syntax", "no topos") else f"{HEAD}{body}topos = {{'bad': Bad}}\n"
    (tmp_path / "bad.py").write_text(text)
    _refused(["up", "--name", "bad", "--topo", str(tmp_path / "bad.py")], complaint, "bad")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["up", "--name", "bad", "--topo", "no_such"], "no_such"),
        (["up", "--name", "bad", "--workers", "0"], "--workers 0"),
        (["up", "--name", "bad", "--cluster-cidr", "172.18.0.0/16"], "172.18.0.0/16"),
        (["up", "--name", "bad", "--images", "/no/such"], "--images /no/such"),
        (["up", "--name", "bad", "--scheduler-plugin", "/no/such.py"], "--scheduler-plugin /no/such.py: no such file"),
        (["up", "--name", "bad", "--scheduler-config", "/no/such"], "--scheduler-config /no/such: No such file"),
        (["down", "--name", "bad"], "there is no cluster bad"),
        (["status", "--name", "bad"], "cluster bad is not up"),
        (["exec", "--name", "bad", "n1", "--", "true"], "cluster bad is not up"),
        (["shell", "--name", "bad"], "cluster bad is not up"),
        (["link", "--name", "bad"], "cluster bad is not up"),
        (["logs", "--name", "bad"], "cluster bad has no logs"),
        (["kubeconfig", "--name", "bad"], "there is no cluster bad"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(words: list[str], complaint: str, home: Path) -> None:
    _refused(words, complaint, "bad")


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("- names: [app]\n  files: missing\n", "row 1: files: there is no directory"),
        ("- {names: [app], bse: host}\n", "bse"),
        ("- names: [\n", "rows.yaml: "),
    ],
)
def test_a_catalogue_with_an_error_is_refused(rows: str, complaint: str, tmp_path: Path, home: Path) -> None:
    (tmp_path / "rows.yaml").write_text(rows)
    _refused(["up", "--name", "bad", "--images", str(tmp_path / "rows.yaml")], complaint, "bad")


def test_a_port_in_use_is_refused(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        _refused(["up", "--name", "bad", "--port", port], f"127.0.0.1:{port} cannot be used", "bad")


def test_without_root_it_says_sudo(home: Path) -> None:
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    if subprocess.run([*nobody, KNET, "version"], capture_output=True, check=False).returncode:
        pytest.skip("another user cannot read this checkout")
    done = subprocess.run([*nobody, KNET, "up"], capture_output=True, text=True, check=False)
    assert (done.returncode, "sudo knet up" in done.stderr) == (2, True), done.stderr


def test_a_missing_program_is_named_with_its_package(tmp_path: Path, home: Path) -> None:
    for program in ("busybox", "modprobe"):
        if where := shutil.which(program):
            (tmp_path / program).symlink_to(where)
    environment = os.environ | {"PATH": str(tmp_path)}
    done = knet("up", "--name", "bad", check=False, env=environment)
    assert done.returncode == 2
    assert "iptables-restore, nft not found; install with: apt-get install iptables nftables " in done.stderr
    assert host.traces("bad") == []


def test_a_kernel_without_ipv6_is_told_before_anything_is_made(home: Path) -> None:
    hide = 'mount -t tmpfs none /proc/sys/net/ipv6 && exec "$@"'  # what ipv6.disable=1 leaves out
    command = ["unshare", "--mount", "sh", "-c", hide, "sh", KNET, "up", "--name", "bad", "--ip-family", "dual"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "knet: --ip-family dual needs IPv6, which is off in this kernel: start it without ipv6.disable=1, or load the "
        "module ipv6; or use --ip-family ipv4\n",
    )
    assert host.traces("bad") == []


def _refused(words: list[str], complaint: str, name: str) -> None:
    before = host.network()
    done = knet(*words, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert complaint in done.stderr
    assert done.stderr.startswith("knet: ") and done.stderr.count("\n") == 1, done.stderr
    assert host.traces(name) == []
    assert host.processes(name) == []
    assert host.network() == before
