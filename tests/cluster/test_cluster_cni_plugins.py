"""A cluster whose pods are connected by other people's CNI plugins, one of them a shell script of the user's own."""

import json
import shutil
from pathlib import Path

import pytest

from knet import Cluster
from knet.cni.external import PLUGIN_DIRS
from tests.cluster.test_cluster_faults import eventually
from tests.conftest import knet

NAME = "plugins"

pytestmark = pytest.mark.skipif(
    not any(shutil.which(f"{directory}/bridge") for directory in PLUGIN_DIRS),
    reason="no CNI plugins: apt-get install containernetworking-plugins",
)

CONFIGURATION = """{
  "cniVersion": "1.0.0",
  "name": "lab",
  "plugins": [
    {"type": "bridge", "bridge": "br0", "isGateway": true, "hairpinMode": true, "mtu": {{.Mtu}},
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "{{.PodCIDR}}"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}},
    {"type": "firewall"},
    {"type": "tell"}
  ]
}
"""
#: passes on what the plugins before it did, and keeps a list of who came and went
TELL = """#!/bin/sh
conf=$(cat)
echo "$CNI_COMMAND $CNI_ARGS" | sed 's/IgnoreUnknown=1;//; s/;K8S_POD_INFRA.*//' >> /var/lib/cni/told
[ "$CNI_COMMAND" = ADD ] || exit 0
echo "$conf" | python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["prevResult"]))'
"""


def _pod(name: str, node: str, **container: object) -> dict[str, object]:
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "nginx", **container}]}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_a_chain_of_plugins_connects_pods_across_machines(tmp_path: Path, home: Path) -> None:
    (tmp_path / "10-lab.conflist").write_text(CONFIGURATION)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tell").write_text(TELL)
    (tmp_path / "bin/tell").chmod(0o755)
    with Cluster(name=NAME, cni_conf=str(tmp_path)) as cluster:
        cluster.apply(_pod("web", "n1", ports=[{"containerPort": 80, "hostPort": 8080}]))
        ports = [{"port": 80}]
        spec = {"selector": {"app": "web"}, "ports": ports}
        cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
        cluster.wait("pod/web", "Ready")
        client = cluster.pod("client")
        assert "Welcome to nginx!" in client.run("curl -s --retry 9 --retry-connrefused http://web")
        n1 = cluster.machine("n1")
        outside = cluster.machine("client")
        assert "Welcome to nginx!" in outside.run("curl -s http://172.18.0.3:8080"), "portmap"
        [bridge] = json.loads(n1.run("ip -json link show br0"))
        [flannel] = json.loads(n1.run("ip -json link show flannel.1"))
        assert bridge["mtu"] == flannel["mtu"]
        knet("restart", "--name", NAME, "kubelet@n1")
        cluster.delete("pod/web", grace_period=0)
        cluster.wait("pod/web", "deleted")
        remembered = "cat /var/lib/cni/results/* 2>/dev/null || true"
        eventually(lambda: '"web"' not in n1.run(remembered), "an attachment outlived its pod")
        assert ":8080" not in n1.run("iptables-save -t nat")
        told = n1.run("grep NAME=web /var/lib/cni/told").splitlines()
        assert told == [f"{word} K8S_POD_NAMESPACE=default;K8S_POD_NAME=web" for word in ("ADD", "DEL")]


def test_a_configuration_that_cannot_work_is_refused(tmp_path: Path, home: Path) -> None:
    for content, why in (
        (None, f"--cni-conf no networks found in {tmp_path}."),
        ('{"name": "n", "type": "none"}', '--cni-conf failed to find plugin "none" in path ['),
    ):
        if content is not None:
            (tmp_path / "10.conf").write_text(content)
        refused = knet("up", "--name", NAME, "--cni-conf", str(tmp_path), check=False)
        assert refused.returncode == 2 and refused.stderr.startswith(f"knet: {why}")
