"""What pods find in /etc, in their volumes and in their arguments."""

import asyncio
import contextlib
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from knet.api.objects import Container, DownwardAPIVolume, KeyToPath, Pod, TokenProjection, Volume
from knet.api.storage import PersistentVolume, PersistentVolumeClaim
from knet.images import Image
from knet.kernel.cgroup import Limits, settings
from knet.kubelet.admission import Needs, capacity, forbidden_sysctl, needs, port_taken, reject
from knet.kubelet.container_config import arguments, container_config, limits
from knet.kubelet.environment import ConfigError, Facts
from knet.kubelet.etc_files import ClusterDNS, fqdn, hostname, hosts, resolv_conf
from knet.kubelet.runtime.paths import Identity, PodPaths
from knet.kubelet.volumes import File, Lookups, VolumeError, downward, give, read_only, select, set_up, write

DNS = ClusterDNS("10.96.0.10", "cluster.local")
MACHINE = "search lab.example\nnameserver 172.18.0.1\n"


def pod(**spec: Any) -> Pod:
    return msgspec.convert({"metadata": {"name": "web-1", "namespace": "shop"}, "spec": spec}, Pod)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            {},
            "search shop.svc.cluster.local svc.cluster.local cluster.local lab.example\n"
            "nameserver 10.96.0.10\noptions ndots:5\n",
        ),
        ({"dnsPolicy": "Default"}, MACHINE),
        ({"hostNetwork": True}, MACHINE),
        (
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            "search shop.svc.cluster.local svc.cluster.local cluster.local lab.example\n"
            "nameserver 10.96.0.10\noptions ndots:5\n",
        ),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.2.3.4"],
                    "searches": ["a.b"],
                    "options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}],
                },
            },
            "search a.b\nnameserver 1.2.3.4\noptions ndots:1 edns0\n",
        ),
        (
            {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}},
            "search shop.svc.cluster.local svc.cluster.local cluster.local lab.example\n"
            "nameserver 10.96.0.10\noptions ndots:2\n",
        ),
    ],
)
def test_resolv_conf_by_dns_policy(spec: dict[str, Any], text: str) -> None:
    assert resolv_conf(pod(**spec), DNS, MACHINE) == (text, [])


@pytest.mark.parametrize(
    ("config", "line", "message"),
    [
        (
            {"nameservers": ["1.2.3.4", "1.2.3.5", "1.2.3.6"]},
            "nameserver 1.2.3.5\noptions",
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is:"
            " 10.96.0.10 1.2.3.4 1.2.3.5",
        ),
        (
            {"searches": [f"s{number}" for number in range(40)]},
            " s26 s27\nnameserver",
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is:"
            " shop.svc.cluster.local svc.cluster.local cluster.local lab.example s0 ",
        ),
        (
            {"searches": [f"{n}{'x' * 199}" for n in range(10, 20)]},
            f" 18{'x' * 199}\nnameserver",
            "Search Line limits were exceeded, ",
        ),
        ({"searches": ["y" * 254, "z"]}, "lab.example z\n", "Search Line limits were exceeded, "),
    ],
    ids=["name servers", "search paths", "a long line", "a long path"],
)
def test_what_resolv_conf_has_no_room_for(config: dict[str, Any], line: str, message: str) -> None:
    text, [told] = resolv_conf(pod(dnsConfig=config), DNS, MACHINE)
    assert line in text
    assert told.startswith(message)


def test_hosts_end_with_the_pod_itself_and_its_aliases() -> None:
    text = hosts(
        pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]),
        ("10.244.1.7", "fd00:10:244:1::7"),
        "cluster.local",
        "",
    )
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert text.endswith(
        "10.244.1.7\tweb-1\nfd00:10:244:1::7\tweb-1\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"
    )


def test_hosts_of_a_pod_with_a_subdomain_know_its_full_name() -> None:
    given = pod(hostname="zero", subdomain="peers")
    assert fqdn(given, "cluster.local") == "zero.peers.shop.svc.cluster.local"
    assert hosts(given, ("10.0.0.1",), "cluster.local", "").endswith(
        "10.0.0.1\tzero.peers.shop.svc.cluster.local\tzero\n"
    )


def test_pods_in_the_machines_network_see_its_hosts() -> None:
    text = hosts(pod(hostNetwork=True), ("172.18.0.3",), "cluster.local", "172.18.0.3 n1\n")
    assert text == "# Kubernetes-managed hosts file (host network).\n172.18.0.3 n1\n"


def test_host_names_are_cut_to_what_they_may_be() -> None:
    long = msgspec.convert({"metadata": {"name": "a" * 62 + "-b"}}, Pod)
    assert hostname(long) == "a" * 62


def test_volume_files_are_exchanged_all_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"a": File(b"1"), "dir/b": File(b"2", 0o600)})
    assert {name: (tmp_path / name).read_text() for name in ("a", "dir/b")} == {"a": "1", "dir/b": "2"}
    assert (tmp_path / "a").is_symlink() and (tmp_path / "dir/b").stat().st_mode & 0o777 == 0o600
    first = (tmp_path / "..data").resolve()
    write(tmp_path, {"a": File(b"1"), "dir/b": File(b"2", 0o600)})
    assert (tmp_path / "..data").resolve() == first
    write(tmp_path, {"a": File(b"3"), "c": File(b"4")})
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..")) == ["a", "c"]
    assert (tmp_path / "a").read_text() == "3" and not first.exists()


def test_a_volume_shows_all_keys_or_those_that_are_asked_for() -> None:
    rows = {"a": b"1", "b": b"2"}
    assert select(rows, (), 0o400, False, "") == {"a": File(b"1", 0o400), "b": File(b"2", 0o400)}
    items = (KeyToPath(key="b", path="x/y", mode=0o600),)
    assert select(rows, items, None, False, "") == {"x/y": File(b"2", 0o600)}
    with pytest.raises(ConfigError, match="non-existent key: z"):
        select(rows, (KeyToPath(key="z", path="z"),), None, False, "non-existent key: {}")
    assert select(rows, (KeyToPath(key="z", path="z"),), None, True, "") == {}


def test_a_downward_volume_has_a_file_for_each_field() -> None:
    volume = msgspec.convert(
        {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}, DownwardAPIVolume
    )
    assert downward(pod(), volume, None, Facts(("",))) == {"name": File(b"web-1")}


def image(entrypoint: tuple[str, ...], cmd: tuple[str, ...], user: str = "app") -> Image:
    return Image("docker.io/library/i:1", "sha256:0", (), (), entrypoint, cmd, {"PATH": "/bin"}, "/srv", user, 15, 0)


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "command", "args", "argv"),
    [
        (("e",), ("c",), [], [], ("e", "c")),
        (("e",), ("c",), [], ["a"], ("e", "a")),
        (("e",), ("c",), ["x"], [], ("x",)),
        (("e",), ("c",), ["x"], ["a"], ("x", "a")),
        ((), ("c",), [], [], ("c",)),
        ((), (), [], ["a", "$(V)", "$$(V)"], ("a", "v", "$(V)")),
    ],
)
def test_command_and_args_replace_what_the_image_says(
    entrypoint: tuple[str, ...], cmd: tuple[str, ...], command: list[str], args: list[str], argv: tuple[str, ...]
) -> None:
    container = Container(name="c", command=tuple(command), args=tuple(args))
    assert arguments(container, image(entrypoint, cmd), {"V": "v"}) == argv


def test_a_container_without_any_command_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no command specified"):
        arguments(Container(name="c"), image((), ()), {})


def test_a_container_gets_user_mounts_and_capabilities_of_its_spec(tmp_path: Path) -> None:
    given = pod(
        containers=[
            {
                "name": "c",
                "volumeMounts": [
                    {"name": "cm", "mountPath": "/etc/app"},
                    {"name": "data", "mountPath": "/data", "subPathExpr": "in/$(WHERE)"},
                ],
                "securityContext": {"runAsGroup": 5, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
            }
        ],
        volumes=[{"name": "cm", "configMap": {"name": "x"}}, {"name": "data", "emptyDir": {}}],
        securityContext={"runAsUser": 1000},
    )
    places = {"cm": tmp_path / "cm", "data": tmp_path}
    found = container_config(given, given.spec.containers[0], 0, image((), ("c",)), {"WHERE": "here"}, places)
    assert [(mount.target, mount.read_only) for mount in found.mounts] == [("/etc/app", True), ("/data", False)]
    assert found.mounts[1].source == tmp_path / "in/here" and found.mounts[1].source.is_dir()
    assert (found.user, found.group, found.cwd) == ("1000", 5, "/srv")
    assert found.capabilities == {"NET_ADMIN"}
    assert found.env == {"PATH": "/bin", "WHERE": "here"}


@pytest.mark.parametrize(
    ("of_pod", "own", "user", "message"),
    [
        ({"runAsNonRoot": True}, {}, "", "image will run as root"),
        ({"runAsNonRoot": True}, {}, "nginx", r"non-numeric user \(nginx\)"),
        ({"runAsNonRoot": True, "runAsUser": 0}, {}, "101", "breaks non-root policy"),
        ({}, {"runAsNonRoot": True, "runAsUser": 0}, "101", "breaks non-root policy"),
        ({"runAsNonRoot": True}, {}, "101", None),
        ({"runAsNonRoot": True}, {"runAsUser": 5}, "", None),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, "", None),
    ],
)
def test_who_must_not_be_root_is_not(
    of_pod: dict[str, Any], own: dict[str, Any], user: str, message: str | None
) -> None:
    given = pod(containers=[{"name": "c", "securityContext": own}], securityContext=of_pod)
    with pytest.raises(ConfigError, match=message) if message else contextlib.nullcontext():
        container_config(given, given.spec.containers[0], 0, image((), ("c",), user), {}, {})


def test_groups_and_privileges_of_the_security_context() -> None:
    security = {"supplementalGroups": [7, 8], "fsGroup": 9}
    rows = [{"name": "c", "securityContext": {"allowPrivilegeEscalation": False}}, {"name": "d"}]
    given = pod(containers=rows, securityContext=security)
    first, second = (container_config(given, row, 0, image((), ("c",)), {}, {}) for row in given.spec.containers)
    assert first.groups == (7, 8, 9)
    assert first.no_new_privileges and not second.no_new_privileges


@pytest.mark.parametrize(
    ("spec", "forbidden"),
    [
        ({"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]}, None),
        ({"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}, '"kernel.msgmax" not allowlisted'),
    ],
)
def test_sysctls_that_others_would_feel(spec: dict[str, Any], forbidden: str | None) -> None:
    found = forbidden_sysctl(pod(securityContext=spec))
    assert found is None if forbidden is None else found is not None and forbidden in found[1]


def test_a_groups_volume(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0o600)
    (tmp_path / "d").mkdir(mode=0o700)
    group = os.getgid()
    give(tmp_path, group, read_only=False)
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o660
    assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o2770
    (tmp_path / "f").chmod(0o600)
    give(tmp_path, group, read_only=False, if_root_differs=True)
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o600
    give(tmp_path, group, read_only=True)
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize(
    "container",
    [
        {"volumeMounts": [{"name": "none", "mountPath": "/x"}]},
        {"volumeMounts": [{"name": "data", "mountPath": "/x", "subPath": "../.."}]},
        {"securityContext": {"capabilities": {"add": ["FLY"]}}},
    ],
)
def test_what_nobody_can_give_is_an_error(tmp_path: Path, container: dict[str, Any]) -> None:
    given = pod(containers=[{"name": "c", **container}], volumes=[{"name": "data", "emptyDir": {}}])
    with pytest.raises(ConfigError):
        container_config(given, given.spec.containers[0], 0, image((), ("c",)), {}, {"data": tmp_path})


@pytest.mark.parametrize(
    ("given", "unified", "files"),
    [
        (Limits(), True, {}),
        (Limits(cpu_limit=500), True, {"cpu.max": "50000 100000"}),
        (Limits(cpu_limit=500), False, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}),
        (Limits(cpu_request=1000), False, {"cpu.shares": "1024"}),
        (Limits(cpu_request=1000), True, {"cpu.weight": "39"}),
        (Limits(memory_limit=1 << 20), True, {"memory.max": "1048576"}),
        (Limits(memory_limit=1 << 20), False, {"memory.limit_in_bytes": "1048576"}),
    ],
)
def test_limits_become_cgroup_files(given: Limits, unified: bool, files: dict[str, str]) -> None:
    assert {file: value for _, file, value in settings(given, unified)} == files


def test_limits_come_from_the_spec() -> None:
    spec = {"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "100m"}}}
    assert limits(msgspec.convert(spec, Container)) == Limits(1000, 100, 1 << 20)
    assert limits(Container(name="c")) == Limits()


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Needs(500, 0), ""),
        (Needs(600, 0), "OutOfcpu"),
        (Needs(0, 2 << 20), "OutOfmemory"),
        (Needs(0, 0, 2), "OutOfpods"),
    ],
)
def test_a_pod_that_does_not_fit_is_rejected(wanted: Needs, reason: str) -> None:
    there = capacity({"cpu": "1", "memory": "1Mi", "pods": "2"})
    rejection = reject(wanted, [Needs(500, 0)], there)
    assert (rejection[0] if rejection else "") == reason


@pytest.mark.parametrize(
    ("wanted", "taken", "fits"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, False),
        ({"hostPort": 80}, {"hostPort": 81}, True),
        ({"hostPort": 80}, {"hostPort": 80, "protocol": "UDP"}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80}, False),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, True),
        ({}, {}, True),
    ],
)
def test_a_port_of_the_machine_is_one_pods(wanted: dict[str, Any], taken: dict[str, Any], fits: bool) -> None:
    def holder(port: dict[str, Any]) -> Pod:
        return pod(containers=[{"name": "c", "ports": [{"containerPort": 80, **port}]}])

    refused = (
        "NodePorts",
        "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    )
    assert port_taken(holder(wanted), [holder(taken)]) == (None if fits else refused)


def test_init_containers_need_no_room_beside_the_others() -> None:
    row = {"name": "c", "resources": {"requests": {"cpu": "300m"}}}
    given = pod(
        containers=[row, {**row, "name": "d"}], initContainers=[{"name": "i", "resources": {"limits": {"cpu": "1"}}}]
    )
    assert needs(given) == Needs(1000, 0)


@pytest.mark.parametrize(
    ("claim", "volume", "message"),
    [
        (None, None, 'failed to fetch PVC from API server: persistentvolumeclaims "data" not found'),
        ({"status": {}}, None, "PVC is not bound"),
        ({}, None, 'failed to fetch PV "pv" from API server: persistentvolumes "pv" not found'),
        ({}, {"claimRef": {"uid": "another"}}, "PV pv does not have a claimRef of the PVC (uid c1)"),
        ({}, {"claimRef": {"uid": "c1"}, "nfs": {}}, "no volume plugin matched"),
        ({}, {"claimRef": {"uid": "c1"}, "local": {"path": "/nowhere"}}, 'path "/nowhere" does not exist'),
    ],
)
def test_a_claim_that_is_not_ready_for_use_says_why(
    tmp_path: Path, claim: dict[str, Any] | None, volume: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(VolumeError, match=re.escape(message)):
        asyncio.run(mounted(tmp_path, claim, volume))


def test_a_claim_shows_the_directory_of_its_volume(tmp_path: Path) -> None:
    directory = tmp_path / "volumes" / "pv"
    source = {"hostPath": {"path": str(directory), "type": "DirectoryOrCreate"}, "claimRef": {"uid": "c1"}}
    assert asyncio.run(mounted(tmp_path, {}, source)) == directory
    assert directory.stat().st_mode & 0o777 == 0o777
    link = tmp_path / "pods/u1/volumes/kubernetes.io~host-path/v"
    assert link.resolve() == directory


async def mounted(tmp_path: Path, claim: dict[str, Any] | None, volume: dict[str, Any] | None) -> Path:
    """Where a pod's volume of that claim is; the claim is bound unless it says otherwise."""
    bound = {"metadata": {"uid": "c1"}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}
    ours = {"name": "pv", "annotations": {"pv.kubernetes.io/provisioned-by": "knet.io/local"}}

    async def nothing(*_: object) -> None:
        return None

    async def claims(namespace: str, name: str) -> PersistentVolumeClaim | None:
        return None if claim is None else msgspec.convert(bound | claim, PersistentVolumeClaim)

    async def volumes(name: str) -> PersistentVolume | None:
        return None if volume is None else msgspec.convert({"metadata": ours, "spec": volume}, PersistentVolume)

    async def token(pod: Pod, projection: TokenProjection) -> str:
        return ""

    given = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    paths = PodPaths(Identity("shop", "web", "u1"), tmp_path, tmp_path / "logs")
    lookups = Lookups(nothing, nothing, claims, volumes, token)
    return await set_up(given, given.spec.volumes[0], paths, Facts(("192.0.2.1",)), lookups)


def test_a_volume_that_no_plugin_is_there_for() -> None:
    with pytest.raises(VolumeError, match="no volume plugin matched"):
        read_only(Volume(name="v"))
