"""What `knet up` refuses before it makes anything, and in which words."""

import pytest

from knet.cluster.config import PROXY_MODES, ClusterConfig
from knet.cluster.errors import KnetError
from knet.proxy.modes import MODES


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"name": "Lab"}, "cluster name 'Lab': use at most 32 lower-case letters"),
        ({"name": "a" * 33}, "cluster name"),
        ({"name": "../etc"}, "cluster name"),
        ({"cni": "calico"}, "--cni calico: choose one of vxlan, host-gw, direct-routing."),
        ({"proxy": "ebpf"}, "--proxy ebpf: choose one of"),
        ({"lb_mode": "ospf"}, "--lb-mode ospf: choose one of layer2, bgp."),
        ({"store": "mysql"}, "--store mysql: choose one of"),
        ({"timing": "fast"}, "--timing fast: choose one of lab, upstream"),
        ({"workers": 0}, "--workers 0: a cluster needs at least one worker"),
        ({"port": 70000}, "--port 70000: a port is a number from 1 to 65535"),
        ({"cluster_cidr": "10.96.0.0/16"}, "--cluster-cidr 10.96.0.0/16 and --service-cidr 10.96.0.0/12 overlap"),
        ({"cluster_cidr": "10.244.0.0/25"}, "every machine gets a /24 of it"),
        ({"ip_family": "ipv5"}, "--ip-family ipv5: choose one of ipv4, ipv6, dual."),
        (
            {"ip_family": "dual", "cluster_cidr": "10.244.0.0/16"},
            "--cluster-cidr 10.244.0.0/16: with --ip-family dual give an IPv4 range and then an IPv6 range.",
        ),
        ({"cluster_cidr": "fd00::/56"}, "--cluster-cidr fd00::/56: with --ip-family ipv4 give an IPv4 range."),
        (
            {"ip_family": "ipv6", "service_cidr": "fd00::/112,fd01::/112"},
            "--service-cidr fd00::/112,fd01::/112: give one range, or one of each address family.",
        ),
        ({"ip_family": "ipv6", "cluster_cidr": "fd00::/72"}, "every machine gets a /64 of it"),
        ({"ip_family": "dual", "mtu": 1200}, "--mtu 1200: IPv6 needs links of at least 1280 bytes."),
        ({"mtu": 100}, "--mtu 100: an MTU is a number of bytes from 576 to 65535."),
        ({"service_cidr": "10.0.0.300/12"}, "--service-cidr 10.0.0.300/12:"),
        ({"dns_upstream": "resolver"}, "--dns-upstream resolver: give the resolver's IP address."),
        (
            {"audit_log": "/no/such/audit.log"},
            "--audit-log /no/such/audit.log: choose a file in a directory that exists",
        ),
        ({"audit_log": "/run/audit.log"}, "not below /run."),
        ({"audit_policy": "/dev/null"}, "--audit-policy /dev/null: Expected `object`, got `null`."),
        ({"audit_policy": "/no/policy.yaml"}, "--audit-policy /no/policy.yaml: [Errno 2] No such file"),
        ({"ipvs_scheduler": "best"}, "--ipvs-scheduler best: choose one of rr, wrr,"),
        ({"images": "/no/such/file.yaml"}, "--images /no/such/file.yaml: no such file"),
    ],
)
def test_unsound_options_are_refused_with_one_line(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(KnetError) as caught:
        ClusterConfig(**options).check()  # type: ignore[arg-type]
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_proxy_mode_that_can_be_asked_for_can_be_started():
    assert list(PROXY_MODES) == list(MODES)


def test_addresses_that_follow_from_the_service_range() -> None:
    config = ClusterConfig(service_cidr="172.30.0.0/16").check()
    assert (config.kubernetes_ip, config.dns_ip) == ("172.30.0.1", "172.30.0.10")


@pytest.mark.parametrize(
    ("ip_family", "pods", "services", "dns"),
    [
        ("ipv4", "10.244.0.0/16", "10.96.0.0/12", "10.96.0.10"),
        ("ipv6", "fd00:10:244::/56", "fd00:10:96::/112", "fd00:10:96::a"),
        ("dual", "10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/12,fd00:10:96::/112", "10.96.0.10"),
    ],
)
def test_each_family_has_its_ranges(ip_family: str, pods: str, services: str, dns: str) -> None:
    config = ClusterConfig(ip_family=ip_family).check()
    assert ",".join(map(str, config.pod_ranges.values())) == pods
    assert ",".join(map(str, config.service_ranges.values())) == services
    assert config.dns_ip == dns
