"""What must be there before anything is made: root, programs, kernel features, room in the kernel's tables."""

import os
import shutil
import sys
from pathlib import Path

from knet.api.families import IPV6
from knet.cluster.config import BGP, POLICY_MODES, PROXY_MODES, ClusterConfig
from knet.cluster.errors import KnetError
from knet.kernel import features, sysctl

#: program → the Debian/Ubuntu package that has it
PROGRAMS = {
    "iptables-restore": "iptables",
    "busybox": "busybox-static",
}
FEATURES = ("veth", "bridge", "br_netfilter", "overlayfs", "iptables", "conntrack")

#: host-wide limits that are raised, never lowered, because all machines share one kernel, and the value knet needs:
#: the neighbour table (IPv4, IPv6) is one for all namespaces, its default of 1,024 ends at some hundred pods
RAISED = {
    "net.ipv4.neigh.default.gc_thresh1": 8192,
    "net.ipv4.neigh.default.gc_thresh2": 32768,
    "net.ipv4.neigh.default.gc_thresh3": 65536,
    "net.ipv6.neigh.default.gc_thresh1": 8192,
    "net.ipv6.neigh.default.gc_thresh2": 32768,
    "net.ipv6.neigh.default.gc_thresh3": 65536,
    "fs.inotify.max_user_instances": 8192,
}


def check(config: ClusterConfig) -> None:
    """Raise KnetError or FeatureMissing with one line, or change nothing but the limits of `RAISED`."""
    if os.geteuid() != 0:
        raise KnetError(f"machines are network namespaces, which only root may make; try: sudo {command_line()}")
    programs = PROGRAMS | ({"etcd": "etcd-server"} if config.store == "etcd" else {})
    programs |= {"ipset": "ipset"} if config.proxy == "ipvs" else {}
    programs |= {"bird": "bird2"} if config.lb_mode == BGP else {}
    programs |= {"nft": "nftables"} if config.policy == "nftables" else {}
    if lacking := {package: name for name, package in programs.items() if shutil.which(name) is None}:
        raise KnetError(
            f"{', '.join(lacking.values())} not found; install with: apt-get install {' '.join(lacking)}"
            " (or run scripts/install once)"
        )
    if config.images:
        _check_images(Path(config.images))
    if config.scheduler_plugin or config.scheduler_config:
        _check_scheduler(config.scheduler_plugin, config.scheduler_config)
    if config.faults:
        _check_faults(config.faults)
    if IPV6 in config.families:
        _check_ipv6(config.ip_family)
    if config.lb_mode == BGP and not sysctl.path("net.ipv4.fib_multipath_hash_fields").exists():
        raise KnetError("--lb-mode bgp needs Linux 5.14 or newer, built with CONFIG_IP_ROUTE_MULTIPATH; use layer2.")
    features.require(
        *FEATURES,
        *([] if config.cni == "host-gw" else ["vxlan"]),
        *PROXY_MODES[config.proxy],
        *POLICY_MODES[config.policy],
    )
    for name, needed in RAISED.items():
        if sysctl.path(name).exists() and int(sysctl.read(name)) < needed:
            sysctl.write(name, needed)


def _check_ipv6(ip_family: str) -> None:
    """A kernel may have been built without IPv6, or told to do without it when it was started."""
    if not sysctl.path("net.ipv6.conf.all.disable_ipv6").exists():
        raise KnetError(
            f"--ip-family {ip_family} needs IPv6, which is off in this kernel: start it without ipv6.disable=1, or "
            "load the module ipv6; or use --ip-family ipv4"
        )
    features.require("ip6tables")


def _check_images(path: Path) -> None:
    from knet.images.catalogue import CatalogueError, load  # only those who bring rows of their own wait for this

    try:
        load(path)
    except CatalogueError as error:
        raise KnetError(f"--images {error}") from None


def _check_faults(file: str) -> None:
    from knet.cluster.faults.plan import PlanError
    from knet.cluster.faults.run import load

    try:
        load(file)
    except PlanError as error:
        raise KnetError(f"--faults {error}") from None


def _check_scheduler(plugin_file: str, config_file: str) -> None:
    from knet.scheduler.configuration import setup
    from knet.scheduler.loading import LoadError

    try:
        setup(plugin_file, config_file)
    except LoadError as error:
        raise KnetError(f"--scheduler-plugin {error}") from None
    except ValueError as error:
        raise KnetError(f"--scheduler-config {error}") from None


def command_line() -> str:
    """What the user typed, for messages that say what to type instead."""
    return " ".join(["knet", *sys.argv[1:]])
