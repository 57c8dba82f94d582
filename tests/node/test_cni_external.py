"""Real CNI plugins (Debian's containernetworking-plugins) in throw-away namespaces, called as a runtime calls them."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest
from underlay_sandbox import isolated

from knet.cni import CniError
from knet.cni.attach import Attachment
from knet.cni.external import PLUGIN_DIRS, Chain, load
from knet.cni.network import NetworkConfig
from knet.kernel import namespaces
from knet.kernel.namespaces import Namespaces, run_in

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        not any(shutil.which(f"{directory}/bridge") for directory in PLUGIN_DIRS),
        reason="no CNI plugins: apt-get install containernetworking-plugins",
    ),
]

NETWORK = NetworkConfig("10.244.0.0/16", "10.244.1.0/24", 1400)


def chain(tmp_path: Path, *others: object) -> Chain:
    """A bridge, and other plugins."""
    ipam = {
        "type": "host-local",
        "dataDir": str(tmp_path / "held"),
        "ranges": [[{"subnet": "{{.PodCIDR}}"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [{"type": "bridge", "bridge": "br0", "isGateway": True, "mtu": "{{.Mtu}}", "ipam": ipam}, *others]
    directory = tmp_path / "net.d"
    (directory / "bin").mkdir(parents=True, exist_ok=True)
    text = json.dumps({"cniVersion": "1.0.0", "name": "lab", "plugins": plugins})
    (directory / "10-lab.conflist").write_text(text.replace('"{{.Mtu}}"', "{{.Mtu}}"))
    return Chain(directory, tmp_path / "results")


def attachment(space: Namespaces, number: int, **more: object) -> Attachment:
    return Attachment(f"{number:064}", space.fds["net"], "default", f"pod-{number}", "uid", **more)  # type: ignore[arg-type]


def rules() -> str:
    return os.popen("iptables-save -t nat").read()


def shell(space: Namespaces, command: str) -> str:
    return run_in(space, lambda: os.popen(command).read())


@isolated
def test_a_chain_connects_pods_and_maps_ports(tmp_path: Path) -> None:
    plugins = chain(tmp_path, {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True})
    one, two = namespaces.create("net"), namespaces.create("net")

    async def life() -> None:
        mapping = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""}
        first = await plugins.add(attachment(one, 1, ports=[mapping]), NETWORK)
        second = await plugins.add(attachment(two, 2), NETWORK)
        assert (first, second) == (["10.244.1.2"], ["10.244.1.3"])
        assert "1 received" in await asyncio.to_thread(shell, one, "ping -c1 -W2 10.244.1.3")
        assert "mtu 1400" in shell(one, "ip link show eth0") and ",UP" in shell(one, "ip link show lo")
        assert "--dport 8080" in rules()
        await plugins.remove(attachment(one, 1).container_id, one.fds["net"])
        assert "--dport 8080" not in rules()
        assert "eth0" not in shell(one, "ip -br link")
        await plugins.remove(attachment(one, 1).container_id)
        assert await plugins.gc({"other"}) == [attachment(two, 2).container_id]
        assert list((tmp_path / "results").iterdir()) == []
        assert not list((tmp_path / "held/lab").glob("10.*")), "an address is still taken"

    asyncio.run(life())


@isolated
def test_what_fails_takes_nothing_and_says_whose_fault_it_is(tmp_path: Path) -> None:
    refusing = """#!/bin/sh
[ "$CNI_COMMAND" = DEL ] && exit 0
echo '{"cniVersion": "1.0.0", "code": 100, "msg": "no", "details": "'$CNI_IFNAME of $CNI_ARGS'"}'
exit 1
"""
    plugins = chain(tmp_path, {"type": "mine"})
    space = namespaces.create("net")

    async def attempt() -> str:
        with pytest.raises(CniError) as caught:
            await plugins.add(attachment(space, 1), NETWORK)
        assert not list((tmp_path / "held/lab").glob("10.*"))
        assert "eth0" not in shell(space, "ip -br link")
        return str(caught.value)

    missing = f'failed to find plugin "mine" in path [{tmp_path}/net.d/bin /opt/cni/bin /usr/lib/cni]'
    with pytest.raises(CniError) as caught:
        plugins.check(NETWORK)
    assert str(caught.value) == missing
    assert asyncio.run(attempt()) == missing
    (tmp_path / "net.d/bin/mine").write_text(refusing)
    (tmp_path / "net.d/bin/mine").chmod(0o755)
    plugins.check(NETWORK)
    arguments = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-1"
    assert f'plugin type="mine" failed (add): no: eth0 of IgnoreUnknown=1;{arguments}' in asyncio.run(attempt())


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no networks found in {dir}"),
        ({"README": "{}"}, "no networks found in {dir}"),
        ({"b.conf": '{"type": "bridge"}', "a.json": "{"}, "{dir}/a.json: error parsing configuration: "),
        ({"a.conf": '{"type": "bridge"}'}, "{dir}/a.conf: a network configuration needs a name"),
        (
            {"a.conflist": '{"name": "n", "plugins": []}'},
            "{dir}/a.conflist: a network configuration list needs",
        ),
        ({"a.conflist": '{"name": "n", "plugins": [{}]}'}, "{dir}/a.conflist: each plugin needs a type"),
        ({"a.conf": '{"name": "{{.Name}}"}'}, "{dir}/a.conf: {{.Name}} is none of {{.PodCIDR}}, {{.Mtu}}"),
    ],
)
def test_a_configuration_that_is_none_is_refused_in_one_line(tmp_path: Path, files: dict[str, str], why: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(CniError) as caught:
        load(tmp_path, NETWORK)
    assert str(caught.value).startswith(why.replace("{dir}", str(tmp_path)))


@isolated
def test_a_chain_gives_a_pod_an_address_of_each_family(tmp_path: Path) -> None:
    plugins = chain(tmp_path)
    config = tmp_path / "net.d/10-lab.conflist"
    both = '[[{"subnet": "{{.PodCIDR}}"}], [{"subnet": "{{.PodCIDR6}}"}]]'
    config.write_text(config.read_text().replace('[[{"subnet": "{{.PodCIDR}}"}]]', both))
    network = NetworkConfig("10.244.0.0/16,fd00:10:244::/56", "10.244.1.0/24,fd00:10:244:1::/64", 1400)
    one, two = namespaces.create("net"), namespaces.create("net")

    async def life() -> None:
        assert await plugins.add(attachment(one, 1), network) == ["10.244.1.2", "fd00:10:244:1::2"]
        assert await plugins.add(attachment(two, 2), network) == ["10.244.1.3", "fd00:10:244:1::3"]
        for address in ("10.244.1.3", "fd00:10:244:1::3"):
            assert "1 received" in await asyncio.to_thread(shell, one, f"ping -c1 -W2 {address}")

    asyncio.run(life())


def test_the_first_file_counts_and_a_plugin_alone_is_a_list_of_one(tmp_path: Path) -> None:
    (tmp_path / "20.conflist").write_text('{"name": "late", "plugins": [{"type": "x"}]}')
    (tmp_path / "10.conf").write_text('{"name": "first", "type": "ptp", "ipam": {"subnet": "{{.PodCIDR}}"}}')
    found = load(tmp_path, NETWORK)
    assert found["name"] == "first" and found["plugins"][0]["ipam"] == {"subnet": "10.244.1.0/24"}
