"""Services of SCTP, whose sockets the running kernel may lack, in each mode of kube-proxy."""

import socket
import subprocess
from pathlib import Path

import pytest

from knet.cluster.config import PROXY_MODES
from knet.cluster.preflight import FEATURES
from knet.kernel import features
from knet.kernel.namespaces import Namespaces, run_in
from tests.node.proxy_harness import BRIDGE, CLIENT, NODE, PATIENCE, VIP, WEB_1, Lab, made, snapshot

#: how much slower the machine is
SLOW = 10 * PATIENCE


def sctp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


@pytest.mark.parametrize("mode", PROXY_MODES)
def test_an_association_is_translated_to_the_pod(mode: str, tmp_path: Path) -> None:
    features.require(*FEATURES, *PROXY_MODES[mode])
    subprocess.run(["modprobe", "sctp"], check=True)
    with made(mode, tmp_path) as lab:
        lab.apply(snapshot(WEB_1, protocol="SCTP", node_port=30080))
        with run_in(lab.pods["web-1"], sctp) as server:
            server.bind(("", 8080))
            server.listen()
            assert _seen(lab, server, lab.pods["client"], VIP, 80) == CLIENT
            assert _seen(lab, server, lab.outsider, VIP, 80) == BRIDGE
            assert _seen(lab, server, lab.outsider, NODE, 30080) == BRIDGE


def _seen(lab: Lab, server: socket.socket, source: Namespaces, address: str, port: int) -> str:
    """The source address that the pod sees."""
    with run_in(source, sctp) as caller:
        caller.settimeout(SLOW)
        caller.connect((address, port))
        return str(server.accept()[1][0])
