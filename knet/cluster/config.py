"""What a cluster is asked to be: one frozen value, checked before anything is made, kept in the state directory."""

import ipaddress
import re
from pathlib import Path
from typing import Any

import msgspec

from knet.api.families import IPV4, IPV6, Network, ranges
from knet.api.load_balancers import AddressPool
from knet.api.names import CLUSTER_CIDR, CLUSTER_CIDR6, SERVICE_CIDR, SERVICE_CIDR6
from knet.api.timing import PROFILES
from knet.cluster.errors import KnetError
from knet.controllers.selection import selected, words

CNI_BACKENDS = ("vxlan", "host-gw", "direct-routing")
#: how kube-proxy realises Services (the rows of `knet.proxy.modes`), and the kernel features that only that way needs
PROXY_MODES: dict[str, tuple[str, ...]] = {
    "iptables": (),
    "ipvs": ("dummy", "ipset", "ipvs"),
    "nftables": ("nftables", "nft_nat"),
}
#: the scheduling methods of ipvsadm(8); each is a kernel module of its own, ip_vs_rr and so on
IPVS_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "fo", "ovf", "mh")
#: how NetworkPolicies are enforced, and the kernel features that it needs
POLICY_MODES: dict[str, tuple[str, ...]] = {"nftables": ("nftables",), "none": ()}
#: how the underlay learns where load balancers' addresses are
LAYER2, BGP = LB_MODES = ("layer2", "bgp")
INGRESS_CONTROLLERS = ("none", "nginx")
STORES = ("sqlite", "etcd")
#: of machines, pods and Services
IP_FAMILIES = {"ipv4": (IPV4,), "ipv6": (IPV6,), "dual": (IPV4, IPV6)}
#: the prefix length of what each machine gets of the pods' addresses (`knet.controllers.nodeipam`)
NODE_SHARE = {IPV4: 24, IPV6: 64}
DEFAULT_NAME = "knet"
#: options that a cluster may be resumed with although it was made with others
CHANGEABLE = (
    "proxy",
    "ipvs_scheduler",
    "policy",
    "lb_mode",
    "lb_pool",
    "ingress",
    "controllers",
    "without",
    "audit_log",
    "audit_policy",
    "scheduler_plugin",
    "scheduler_config",
    "faults",
)
#: options that may change while the cluster is up: components that get others by it are restarted
LIVE = ("proxy", "ipvs_scheduler", "controllers", "without")
#: components that a cluster may do without, for somebody else's in their place
OPTIONAL = ("kube-controller-manager", "kube-scheduler", "kube-proxy")
#: options that name a file of the user's, which components read by its absolute path
FILES = ("images", "cni_conf", "audit_log", "audit_policy", "scheduler_plugin", "scheduler_config", "faults")

#: a cluster's name becomes a directory, a kubeconfig context and part of process titles
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


class ClusterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``knet up`` and of `knet.Cluster`, under the same names.

    ``topo`` is a file or the name of one in topologies/; ``workers`` None leaves the number to the topology;
    ``port`` 0 lets the kernel choose the host-side port of the API server, which then stays the cluster's own.
    ``ip_family`` is ipv4, ipv6 or dual; ``cluster_cidr`` and ``service_cidr`` are ranges of these families, with a
    comma between, "" their defaults.
    ``cni_conf`` is a directory with a CNI configuration whose plugins connect pods; "" is our own plugin.
    ``mtu`` is that of pods, in bytes; 0 is the largest that fits the machines' links.
    ``lb_mode`` is how the addresses of Services of type LoadBalancer are announced: to the link, or to routers by BGP;
    ``lb_pool`` are these addresses; "" is the end of the workers' network, or with BGP 198.51.100.0/24.
    ``ipvs_scheduler`` is how ``proxy`` ipvs distributes connections: one of `IPVS_SCHEDULERS`.
    ``ingress`` "nginx" has an Ingress controller from the start.
    ``dns_upstream`` is the machines' name server, which cluster DNS asks about foreign names; "": they are NXDOMAIN.
    ``audit_log`` is the file that the API server's audit log is appended to, and ``audit_policy`` one that says what
    of; "" is no log, and a line for each request.
    ``faults`` is a plan that is carried out once the cluster is Ready; "" is none.
    ``scheduler_plugin`` is a Python file and ``scheduler_config`` a KubeSchedulerConfiguration; "" for none.
    ``controllers`` is what kube-controller-manager takes as --controllers; ``without`` names components of `OPTIONAL`
    that are not to be started, with commas.
    """

    name: str = DEFAULT_NAME
    topo: str = "single"
    workers: int | None = None
    cni: str = "vxlan"
    cni_conf: str = ""
    mtu: int = 0
    proxy: str = "iptables"
    ipvs_scheduler: str = "rr"
    policy: str = "nftables"
    store: str = "sqlite"
    timing: str = "lab"
    port: int = 0
    ip_family: str = "ipv4"
    cluster_cidr: str = ""
    service_cidr: str = ""
    lb_mode: str = LAYER2
    lb_pool: str = ""
    ingress: str = "none"
    dns_upstream: str = ""
    images: str = ""
    audit_log: str = ""
    audit_policy: str = ""
    scheduler_plugin: str = ""
    scheduler_config: str = ""
    faults: str = ""
    controllers: str = "*"
    without: str = ""

    def check(self) -> "ClusterConfig":
        """This config if it is sound; KnetError with one line if not."""
        if not _NAME.fullmatch(self.name):
            raise KnetError(
                f"cluster name {self.name!r}: use at most 32 lower-case letters, digits and dashes, "
                "beginning and ending with a letter or digit."
            )
        for option, value, choices in (
            ("--cni", self.cni, CNI_BACKENDS),
            ("--proxy", self.proxy, tuple(PROXY_MODES)),
            ("--ipvs-scheduler", self.ipvs_scheduler, IPVS_SCHEDULERS),
            ("--policy", self.policy, tuple(POLICY_MODES)),
            ("--lb-mode", self.lb_mode, LB_MODES),
            ("--ingress", self.ingress, INGRESS_CONTROLLERS),
            ("--store", self.store, STORES),
            ("--ip-family", self.ip_family, tuple(IP_FAMILIES)),
            ("--timing", self.timing, tuple(PROFILES)),
        ):
            if value not in choices:
                raise KnetError(f"{option} {value}: choose one of {', '.join(choices)}.")
        if self.workers is not None and self.workers < 1:
            raise KnetError(f"--workers {self.workers}: a cluster needs at least one worker to run pods on.")
        if not 0 <= self.port <= 65535:
            raise KnetError(f"--port {self.port}: a port is a number from 1 to 65535 (0: any free one).")
        if self.mtu and not 576 <= self.mtu <= 65535:
            raise KnetError(f"--mtu {self.mtu}: an MTU is a number of bytes from 576 to 65535.")
        if self.mtu and self.mtu < 1280 and IPV6 in self.families:
            raise KnetError(f"--mtu {self.mtu}: IPv6 needs links of at least 1280 bytes.")
        for family, pods in self.pod_ranges.items():
            services, share = self.service_ranges[family], NODE_SHARE[family]
            if pods.prefixlen > share:
                raise KnetError(
                    f"--cluster-cidr {pods}: every machine gets a /{share} of it; use a prefix of /{share} or shorter."
                )
            if pods.overlaps(services):
                raise KnetError(f"--cluster-cidr {pods} and --service-cidr {services} overlap; choose disjoint ranges.")
        try:
            pool = AddressPool.parse(self.lb_pool)
        except ValueError as error:
            raise KnetError(f"--lb-pool {self.lb_pool}: {error} (172.18.0.200-172.18.0.250).") from None
        for network in (*self.pod_ranges.values(), *self.service_ranges.values()):
            if pool.overlaps(network):
                raise KnetError(f"--lb-pool {pool} and {network} overlap; choose addresses that no pod or Service has.")
        if self.dns_upstream:
            try:
                ipaddress.ip_address(self.dns_upstream)
            except ValueError:
                raise KnetError(f"--dns-upstream {self.dns_upstream}: give the resolver's IP address.") from None
        if self.images and not Path(self.images).is_file():
            raise KnetError(f"--images {self.images}: no such file (a YAML file of image rows, see docs/reference.md).")
        if self.cni_conf:
            _check_plugins(Path(self.cni_conf))
        log = Path(self.audit_log)
        if self.audit_log and (not log.parent.is_dir() or log.is_relative_to("/run")):
            raise KnetError(f"--audit-log {log}: choose a file in a directory that exists, and not below /run.")
        self.audit_rules()
        self.switched_off()
        return self

    def switched_off(self) -> list[str]:
        """Components and controllers that do not run; KnetError for a name that is none."""
        off = words(self.without)
        if unknown := [name for name in off if name not in OPTIONAL]:
            raise KnetError(f"--without {unknown[0]}: a cluster can do without {', '.join(OPTIONAL)}.")
        if self.controllers == "*":
            return off
        from knet.controllers.main import CONTROLLERS  # costs 0.1 s, which an ordinary `knet up` need not wait

        try:
            running = selected(words(self.controllers), CONTROLLERS)
        except ValueError as error:
            raise KnetError(f"--controllers {self.controllers}: {error}.") from None
        return off + [name for name in CONTROLLERS if name not in running]

    def audit_rules(self) -> dict[str, Any] | None:
        """The audit policy as JSON data, None where none is given; KnetError if it is not sound."""
        if not self.audit_policy:
            return None
        from knet.apiserver.audit import policy  # costs 0.1 s, which an ordinary `knet up` need not wait

        try:
            rules = policy.parse(Path(self.audit_policy).read_text())
        except (OSError, ValueError) as error:
            raise KnetError(f"--audit-policy {self.audit_policy}: {error}.") from None
        data: dict[str, Any] = msgspec.to_builtins(rules)
        return data

    @property
    def families(self) -> tuple[str, ...]:
        """The address families of the cluster, the primary one first."""
        return IP_FAMILIES[self.ip_family]

    @property
    def pod_ranges(self) -> dict[str, Network]:
        """The addresses of pods by family; KnetError where they are none."""
        return self._ranges("--cluster-cidr", self.cluster_cidr, {IPV4: CLUSTER_CIDR, IPV6: CLUSTER_CIDR6})

    @property
    def service_ranges(self) -> dict[str, Network]:
        """The addresses of Services by family; KnetError where they are none."""
        return self._ranges("--service-cidr", self.service_cidr, {IPV4: SERVICE_CIDR, IPV6: SERVICE_CIDR6})

    def _ranges(self, option: str, given: str, defaults: dict[str, str]) -> dict[str, Network]:
        text = given or ",".join(defaults[family] for family in self.families)
        try:
            found = ranges(text)
        except ValueError as error:
            raise KnetError(f"{option} {text}: {error}.") from None
        if tuple(found) != self.families:
            wanted = " and then an ".join(f"{family} range" for family in self.families)
            raise KnetError(f"{option} {text}: with --ip-family {self.ip_family} give an {wanted}.")
        return found

    @property
    def kubernetes_ip(self) -> str:
        """The ClusterIP of default/kubernetes: the first of the (primary) service range."""
        return str(self.service_ranges[self.families[0]][1])

    @property
    def dns_ip(self) -> str:
        """The ClusterIP of kube-system/kube-dns: the tenth of the (primary) service range, as kubeadm chooses it."""
        return str(self.service_ranges[self.families[0]][10])


def _check_plugins(directory: Path) -> None:
    """KnetError where a CNI configuration cannot be used, or machines would not see it."""
    from knet.cni import Chain, CniError, NetworkConfig  # costs 0.1 s, which an ordinary `knet up` need not wait

    if directory.is_relative_to("/run"):
        raise KnetError(
            f"--cni-conf {directory}: choose a directory that is not below /run, where machines have their own."
        )
    try:
        Chain(directory).check(NetworkConfig(CLUSTER_CIDR, CLUSTER_CIDR, 1500))
    except CniError as error:
        raise KnetError(f"--cni-conf {error}.") from None
