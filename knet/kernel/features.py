"""What this kernel can do, found out by doing it in a throw-away namespace.

A module's name in a list proves nothing: features are built in, or load by themselves on first use, or are there and
refused (containers).  So each probe performs the real operation where it harms nobody, in 0.1 to 10 ms, and only for
the features that are asked for.  A missing feature is given one chance by ``modprobe`` where the kernel has modules.

One side effect on the host is undone: loading ``br_netfilter`` makes *every* bridge of the namespace pass its frames
through iptables (net.bridge.bridge-nf-call-* start as 1), which cuts the traffic of other people's bridges off where
FORWARD drops.  If the module was loaded here, the settings of the caller's namespace are put to 0, so that existing
bridges go on as before; new namespaces, thus knet's machines, still start with 1.  Call `require` from the host's
namespace therefore.
"""

import asyncio
import errno
import logging
import os
import socket
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from knet.kernel import ipset, links, mounts, nft, qdiscs, rules, sysctl
from knet.kernel.libc import CLONE_FS, CLONE_NEWNS, unshare
from knet.kernel.namespaces import CLONE_NEWNET, in_thread
from knet.kernel.netlink import Netlink, NetlinkError

log = logging.getLogger(__name__)


class FeatureMissing(RuntimeError):
    """The kernel lacks something; one line that names the module and what to do."""

    def __init__(self, missing: "list[Feature]") -> None:
        super().__init__("; ".join(feature.complaint() for feature in missing))
        self.missing = missing


@dataclass(frozen=True)
class Feature:
    name: str
    module: str
    """the kernel module that holds it, where it is not built in"""
    purpose: str
    """what cannot be had without it"""
    probe: Callable[[], bool] = field(repr=False, compare=False)
    """tries it in the namespaces of the calling thread, which are thrown away; an OSError means no"""

    def __str__(self) -> str:
        return self.name

    def complaint(self) -> str:
        """``netem: link delay … needs the kernel module sch_netem, which this kernel (6.1.0-cloud) does not have``"""
        kernel = os.uname().release
        remedy = "run a kernel that has it (Debian: linux-image-amd64; docs/kernels.md)"
        if _modules_directory().is_dir():
            remedy = f"try: modprobe {self.module} (Ubuntu: apt install linux-modules-extra-{kernel}); or {remedy}"
        return (
            f"{self.name}: {self.purpose} needs the kernel module {self.module}, "
            f"which this kernel ({kernel}) does not have; {remedy}"
        )


def missing(names: Iterable[str]) -> list[Feature]:
    """Those of the features that this kernel lacks, after an attempt to load their modules.

    Needs root (or a user namespace); KeyError for a name that is not in `FEATURES`.
    """
    wanted = [FEATURES[name] for name in names]
    lacking = in_thread(lambda: _failed(wanted))
    loaded = [feature.module for feature in lacking if _modprobe(feature.module)]
    return in_thread(lambda: _failed(lacking)) if loaded else lacking


def require(*names: str) -> None:
    """Raise `FeatureMissing` unless the kernel has all of these features."""
    lacking = missing(names)
    if lacking:
        raise FeatureMissing(lacking)


def _failed(features: list[Feature]) -> list[Feature]:
    """Run the probes in one new network and mount namespace, which ends with this thread."""
    unshare(CLONE_FS | CLONE_NEWNET | CLONE_NEWNS)
    mounts.make_private()
    return [feature for feature in features if not _works(feature)]


def _works(feature: Feature) -> bool:
    try:
        return feature.probe()
    except (OSError, rules.RulesError) as error:
        if isinstance(error, PermissionError):
            raise
        log.debug("feature %s: %s", feature.name, error)
        return False


def _modules_directory() -> Path:
    return Path("/lib/modules", os.uname().release)


def _modprobe(module: str) -> bool:
    """Load a module; False where that is impossible."""
    if not _modules_directory().is_dir():
        return False
    bridges_were_filtered = _BRIDGE_SYSCTLS.is_dir()
    try:
        loaded = subprocess.run(["modprobe", "--quiet", module], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
    if loaded and module == "br_netfilter" and not bridges_were_filtered:
        _stop_filtering_bridges()
    log.info("modprobe %s: %s", module, "loaded" if loaded else "failed")
    return loaded


def _stop_filtering_bridges() -> None:
    for name in ("iptables", "ip6tables", "arptables"):
        sysctl.write(f"net.bridge.bridge-nf-call-{name}", 0)


# ---- probes: each in fresh namespaces ----------------------------------------------------------------------------

_BRIDGE_SYSCTLS = Path("/proc/sys/net/bridge")
_NETLINK_NETFILTER = 12
_IP_VS_SO_GET_INFO = 64 + 1024 + 64 + 1


def _veth() -> bool:
    with Netlink() as netlink:
        netlink.send(links.create_veth(links.VethEnd("probe0"), links.VethEnd("probe1")))
    return True


def _bridge() -> bool:
    with Netlink() as netlink:
        netlink.send(links.create_bridge("probe-bridge", up=False))
    return True


def _vxlan() -> bool:
    with Netlink() as netlink:
        wanted = links.Vxlan(1, "lo", "127.0.0.1")
        netlink.send(links.create_vxlan("probe-vxlan", wanted, netlink.index("lo"), up=False))
    return True


def _qdisc(kind: str) -> Callable[[], bool]:
    """Attaching a queueing discipline to lo: ENOENT where the kernel does not know its name, and EINVAL (it wants
    options) where it does."""

    def probe() -> bool:
        with Netlink() as netlink:
            try:
                netlink.send(qdiscs.create("lo", netlink.index("lo"), kind))
            except NetlinkError as error:
                if error.errno != errno.EINVAL:
                    raise
        return True

    return probe


def _br_netfilter() -> bool:
    return (_BRIDGE_SYSCTLS / "bridge-nf-call-iptables").exists()


def _overlayfs() -> bool:
    """An overlay of two directories on a tmpfs, in this thread's private mounts."""
    mounts.tmpfs("/tmp")
    for name in ("lower", "upper", "work", "merged"):
        Path("/tmp", name).mkdir()
    mounts.overlay("/tmp/merged", ["/tmp/lower"], "/tmp/upper", "/tmp/work")
    return True


def _iptables_nat() -> bool:
    """The matches and targets that kube-proxy and flannel use."""
    rules.restore(
        "*nat\n:PROBE - [0:0]\n"
        '-A PROBE -m comment --comment "probe" -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully\n'
        "-A PROBE -m statistic --mode random --probability 0.5 -p tcp -j DNAT --to-destination 192.0.2.1:80\n"
        "-A PROBE -m addrtype --dst-type LOCAL -j RETURN\n"
        "COMMIT\n*filter\n:PROBE - [0:0]\n-A PROBE -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n"
    )
    return True


def _ip6tables_nat() -> bool:
    """Likewise, of IPv6."""
    rules.restore(
        "*nat\n:PROBE - [0:0]\n-A PROBE -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully\n"
        "-A PROBE -p tcp -j DNAT --to-destination [2001:db8::1]:80\nCOMMIT\n"
        "*filter\n:PROBE - [0:0]\n-A PROBE -j ACCEPT\nCOMMIT\n",
        family=6,
    )
    return True


def _nftables() -> bool:
    """NFNETLINK answers a request for the ruleset's generation (NFT_MSG_GETGEN) only if nf_tables is there."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as nfnetlink:
        # nlmsghdr: 20 bytes, subsystem 10 (nf_tables) message 16, REQUEST; then struct nfgenmsg
        nfnetlink.send(bytes((20, 0, 0, 0, 16, 10, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0)) + bytes(4))
        answer = nfnetlink.recv(4096)
        return int.from_bytes(answer[4:6], "little") != 2  # NLMSG_ERROR


def _nft_nat() -> bool:
    """The expressions that kube-proxy uses; reject in prerouting takes Linux 5.9."""
    nft.apply(
        "table ip probe {\n"
        "map endpoints { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
        "set clients { type ipv4_addr; flags dynamic,timeout; }\n"
        "chain arrivals { type nat hook prerouting priority -100; reject; jump spread; }\n"
        "chain spread { fib saddr type local numgen random mod 2 vmap { 0 : goto endpoint, 1 : goto endpoint }; }\n"
        "chain endpoint { update @clients { ip saddr timeout 1s }; meta mark set meta mark | 0x4000; "
        "dnat ip to ip daddr . meta l4proto . th dport map @endpoints; }\n"
        "chain leaving { type nat hook postrouting priority 100; ct status dnat masquerade fully-random; }\n"
        "}\n"
    )
    return True


def _ipvs() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as raw:
        raw.getsockopt(socket.IPPROTO_IP, _IP_VS_SO_GET_INFO, 64)
    return True


def _dummy() -> bool:
    with Netlink() as netlink:
        links.ensure_dummy(netlink, "probe-dummy")
    return True


def _ipset() -> bool:
    """The kinds of sets that kube-proxy's mode ipvs has, and the match by which rules use them."""
    kinds = ("hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "hash:ip")
    lines = [f"create PROBE{number} {kind}" for number, kind in enumerate(kinds)]
    asyncio.run(ipset.restore("\n".join([*lines, "create PROBE bitmap:port range 0-65535", ""])))
    rules.restore("*nat\n:PROBE - [0:0]\n-A PROBE -m set --match-set PROBE0 dst,dst -j RETURN\nCOMMIT\n")
    return True


def _conntrack() -> bool:
    return Path("/proc/sys/net/netfilter/nf_conntrack_max").exists()


FEATURES: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature("veth", "veth", "every link and every pod", _veth),
        Feature("bridge", "bridge", "switches and the pods' bridge cni0", _bridge),
        Feature("br_netfilter", "br_netfilter", "a Service whose pod is on the client's node", _br_netfilter),
        Feature("vxlan", "vxlan", "--cni vxlan", _vxlan),
        Feature("overlayfs", "overlay", "a container's root file system", _overlayfs),
        Feature("iptables", "nf_nat", "kube-proxy and flannel's masquerading (xt_* and nf_nat)", _iptables_nat),
        Feature("ip6tables", "ip6table_nat", "--ip-family ipv6 and dual (ip6_tables and nf_nat)", _ip6tables_nat),
        Feature("nftables", "nf_tables", "rules of nftables", _nftables),
        Feature(
            "nft_nat", "nft_nat", "kube-proxy's nftables mode (nft_numgen, nft_fib, nft_masq, nft_reject)", _nft_nat
        ),
        Feature("conntrack", "nf_conntrack", "network address translation", _conntrack),
        Feature("dummy", "dummy", "kube-proxy's ipvs mode (kube-ipvs0)", _dummy),
        Feature("ipset", "ip_set", "kube-proxy's ipvs mode (ip_set_* and xt_set)", _ipset),
        Feature("ipvs", "ip_vs", "kube-proxy's ipvs mode", _ipvs),
        Feature("netem", "sch_netem", "delay, jitter and loss of a link", _qdisc("netem")),
        Feature("tbf", "sch_tbf", "the bandwidth of a link", _qdisc("tbf")),
        Feature("htb", "sch_htb", "the bandwidth of a link shaped by classes", _qdisc("htb")),
    )
}
