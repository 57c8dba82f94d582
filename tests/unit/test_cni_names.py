"""Names, hardware addresses and files that people and other programs meet."""

from pathlib import Path

import pytest

from knet.cni import NetworkConfig, network_config, veth_name
from knet.cni.bridge import mac_of
from knet.cni.network import parse, write

CONFIG = NetworkConfig("10.244.0.0/16", "10.244.1.0/24", 1450)
TEXT = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"


def test_a_veth_is_named_after_its_pod_within_the_kernels_limit():
    name = veth_name("default/web-6c9f-2xkqp")
    assert name == veth_name("default/web-6c9f-2xkqp") == "veth1612324c"
    assert len(veth_name("a" * 63 + "/" + "b" * 253)) <= 15


def test_pods_are_told_apart_by_namespace_and_name():
    pods = [f"{namespace}/web-{number}" for namespace in ("default", "kube-system") for number in range(1000)]
    assert len({veth_name(pod) for pod in pods}) == len(pods)


def test_a_hardware_address_shows_the_ip_address():
    assert mac_of("10.244.1.255") == "0a:58:0a:f4:01:ff"


def test_subnet_env_is_upstreams_text():
    assert str(CONFIG) == TEXT
    assert parse(TEXT) == CONFIG
    assert CONFIG.gateway == "10.244.1.1"


def test_a_file_of_docker_days_is_understood():
    text = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=8951\nFLANNEL_IPMASQ=false\n"
    assert parse(text) == NetworkConfig("10.5.0.0/16", "10.5.72.0/24", 8951, ipmasq=False)


def test_there_is_no_network_until_flanneld_says_so(tmp_path: Path):
    path = tmp_path / "flannel" / "subnet.env"
    assert network_config(path) is None
    assert write(CONFIG, path)
    assert network_config(path) == CONFIG
    assert not write(CONFIG, path)
    assert [found.name for found in path.parent.iterdir()] == ["subnet.env"]


def test_a_file_without_a_subnet_is_refused():
    with pytest.raises(ValueError, match="no line FLANNEL_SUBNET"):
        parse("FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_MTU=1450\n")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            NetworkConfig("10.244.0.0/16,fd00:10:244::/56", "10.244.1.0/24,fd00:10:244:1::/64", 1430),
            "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n"
            "FLANNEL_IPV6_NETWORK=fd00:10:244::/56\nFLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64\n"
            "FLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n",
        ),
        (
            NetworkConfig("fd00:10:244::/56", "fd00:10:244:1::/64", 1430),
            "FLANNEL_IPV6_NETWORK=fd00:10:244::/56\nFLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64\n"
            "FLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n",
        ),
    ],
)
def test_the_file_has_lines_for_each_family(config: NetworkConfig, text: str):
    assert str(config) == text
    assert parse(text) == config
