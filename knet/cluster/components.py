"""Which component runs where, with which identity and options: one table, read by the supervisor."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from knet.api.families import Network
from knet.cluster import etcd, peering
from knet.cluster.config import BGP, ClusterConfig
from knet.cluster.state import StateDir
from knet.cni import isolation
from knet.controllers.selection import words
from knet.underlay.machine import Machine
from knet.underlay.plan import CONTROL_PLANE, ROUTER, WORKER, Plan

API_PORT = 6443
#: the component that asks the supervisor, and the address, on its machine alone, where that answers
UNDERLAY, SUPERVISOR = "knet-underlay", "\0knet-supervisor"
#: the components that act on what watches tell them, and so can be made late (`knet delay`)
WATCHING = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "network-agent")


@dataclass(frozen=True)
class Identity:
    """The subject of a component's client certificate, as kubeadm issues it."""

    user: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Component:
    """One process on one machine, or ("") on none of them. ``options`` are the fields of its module's Options."""

    name: str
    machine: str
    module: str
    options: dict[str, Any] = field(hash=False)
    #: option → file of the host that is opened for it to append to; the option gets the descriptor
    appends: dict[str, str] = field(hash=False, default_factory=dict)
    #: option → Unix addresses in the machine's network, or IP addresses and ports, that are listened at before the
    #: component runs; likewise
    listens: dict[str, tuple[str | tuple[str, int], ...]] = field(hash=False, default_factory=dict)

    @property
    def title(self) -> str:
        """How it is called in ``ps``, on the command line and in log names."""
        return f"{self.name}@{self.machine}" if self.machine else self.name


IDENTITIES = {
    "kube-controller-manager": Identity("system:kube-controller-manager"),
    "kube-scheduler": Identity("system:kube-scheduler"),
    "kube-proxy": Identity("system:kube-proxy", ("system:node-proxier",)),
    "flanneld": Identity("system:serviceaccount:kube-flannel:flannel", ("system:serviceaccounts",)),
    "kube-network-policies": Identity(
        "system:serviceaccount:kube-system:kube-network-policies", ("system:serviceaccounts",)
    ),
    "speaker": Identity("system:serviceaccount:kube-system:speaker", ("system:serviceaccounts",)),
    "knet-underlay": Identity("system:serviceaccount:kube-system:knet-underlay", ("system:serviceaccounts",)),
    "admin": Identity("kubernetes-admin", ("kubeadm:cluster-admins",)),
}


def identity(component: str, machine: str) -> Identity:
    """Whose name a component acts under; the kubelet's is its node's (system:node:NAME)."""
    if component == "kubelet":
        return Identity(f"system:node:{machine}", ("system:nodes",))
    return IDENTITIES[component]


def wanted(config: ClusterConfig, state: StateDir, machine: Machine, plan: Plan) -> Iterable[Component]:
    """The components of a machine, in the order in which they start.

    ``config`` names all pools, ``plan`` is the topology's, in IPv4.
    """
    found: list[Component] = []
    if machine.role == CONTROL_PLANE:
        found += _control_plane(config, state, machine)
    if machine.role == WORKER:
        found += _node(config, state, machine)
    if machine.role in (WORKER, ROUTER) and config.lb_mode == BGP:
        session = peering.options(plan, config.families, machine.name, config.timing)
        found.append(Component("bird", machine.name, "knet.cluster.bird", msgspec.to_builtins(session)))
    off = words(config.without)
    return [row for row in found if row.name not in off]


def _control_plane(config: ClusterConfig, state: StateDir, machine: Machine) -> Iterable[Component]:

    def kubeconfig(component: str) -> str:
        return str(state.kubeconfig(machine.name, component))

    store = ""
    if config.store == "etcd":
        store = etcd.URL
        directory = str(state.machine(machine.name) / "etcd")
        yield Component("etcd", machine.name, "knet.cluster.etcd", {"name": machine.name, "data_dir": directory})
    yield Component(
        "kube-apiserver",
        machine.name,
        "knet.apiserver.main",
        {
            "store": store,
            "data_dir": str(state.machine(machine.name) / "apiserver"),
            "pki_dir": str(state.pki),
            "advertise_address": ",".join(machine.addresses),
            "bind_port": API_PORT,
            "service_cidr": _listed(config.service_ranges),
            "timing": config.timing,
            **({"audit_policy": rules} if (rules := config.audit_rules()) else {}),
        },
        {"audit_fds": config.audit_log} if config.audit_log else {},
        {"listen_fds": tuple((address, API_PORT) for address in machine.addresses)},
    )
    yield Component(
        "kube-controller-manager",
        machine.name,
        "knet.controllers.main",
        {
            "kubeconfig": kubeconfig("kube-controller-manager"),
            "cluster_cidr": _listed(config.pod_ranges),
            "timing": config.timing,
            "account_key_file": str(state.pki / "sa.key"),
            "signing_cert_file": str(state.pki / "ca.crt"),
            "signing_key_file": str(state.pki / "ca.key"),
            "load_balancer_pool": config.lb_pool,
            "controllers": words(config.controllers),
        },
    )
    yield Component(
        "kube-scheduler",
        machine.name,
        "knet.scheduler.main",
        {
            "kubeconfig": kubeconfig("kube-scheduler"),
            "plugins": config.scheduler_plugin,
            "config": config.scheduler_config,
            "timing": config.timing,
        },
    )


def faults(plan: str) -> Component:
    """What carries out the plan of faults that the cluster was brought up with; on no machine."""
    return Component("faults", "", "knet.cluster.faults.main", {"plan": plan, "supervisor": SUPERVISOR})


def lab(state: StateDir, machine: Machine) -> Component:
    """What shows the network as objects, once the cluster is ready, on the control-plane machine."""
    return Component(
        UNDERLAY,
        machine.name,
        "knet.cluster.lab.main",
        {"kubeconfig": str(state.kubeconfig(machine.name, UNDERLAY)), "supervisor": SUPERVISOR},
    )


def _node(config: ClusterConfig, state: StateDir, machine: Machine) -> Iterable[Component]:

    def kubeconfig(component: str) -> str:
        return str(state.kubeconfig(machine.name, component))

    yield Component(
        "kubelet",
        machine.name,
        "knet.kubelet.main",
        {
            "kubeconfig": kubeconfig("kubelet"),
            "node_name": machine.name,
            "node_ip": ",".join(machine.addresses),
            "labels": dict(machine.labels),
            "cpu": machine.cpu,
            "memory": machine.memory,
            "pki_dir": str(state.machine(machine.name) / "kubernetes"),
            "cluster_dns": config.dns_ip,
            "images": config.images or str(state.images),
            "cluster_name": config.name,
            "cni_conf": config.cni_conf,
            "timing": config.timing,
        },
    )
    yield Component(
        "kube-proxy",
        machine.name,
        "knet.proxy.main",
        {
            "kubeconfig": kubeconfig("kube-proxy"),
            "node_name": machine.name,
            "node_ip": ",".join(machine.addresses),
            "cluster_cidr": _listed(config.pod_ranges),
            "mode": config.proxy,
            "ipvs_scheduler": config.ipvs_scheduler,
            "timing": config.timing,
        },
    )
    yield Component(
        "network-agent",
        machine.name,
        "knet.cluster.agent",
        {"parts": [{"module": module, "options": row} for module, row in _parts(config, machine, kubeconfig)]},
        # where nobody listens, the kubelet has nothing to wait for
        listens={"listen_fds": (isolation.ADDRESS,)} if config.policy != "none" else {},
    )


def _parts(
    config: ClusterConfig, machine: Machine, kubeconfig: Callable[[str], str]
) -> Iterable[tuple[str, dict[str, Any]]]:
    """What a worker's network agent consists of."""
    common = {"node_name": machine.name, "timing": config.timing}
    yield (
        "knet.cni.main",
        {
            **common,
            "kubeconfig": kubeconfig("flanneld"),
            "backend": config.cni,
            "mtu": config.mtu,
            "public_ip": ",".join(machine.addresses),
            "interface": machine.interface,
            "cluster_cidr": _listed(config.pod_ranges),
        },
    )
    if config.policy != "none":
        yield "knet.policy.main", {**common, "kubeconfig": kubeconfig("kube-network-policies")}
    speaker = {**common, "kubeconfig": kubeconfig("speaker")}
    if config.lb_mode == BGP:
        yield "knet.speaker.bgp", {**speaker, "node_ip": ",".join(machine.addresses)}
    else:
        yield "knet.speaker.main", {**speaker, "node_ip": machine.address, "interface": machine.interface}


def _listed(ranges: dict[str, Network]) -> str:
    return ",".join(map(str, ranges.values()))
