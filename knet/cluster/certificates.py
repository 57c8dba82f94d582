"""Who gets which certificate: issued once per cluster, added to when machines are."""

from collections.abc import Iterable
from pathlib import Path

from knet.api.families import host_port
from knet.cluster import kubeconfig
from knet.cluster.components import API_PORT, identity
from knet.cluster.config import ClusterConfig
from knet.cluster.pki import Authority, write_service_account_key
from knet.cluster.state import StateDir
from knet.underlay.plan import MachineSpec

API_SERVER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
)


def issue(
    config: ClusterConfig, state: StateDir, port: int, control_plane: MachineSpec, workers: Iterable[MachineSpec]
) -> None:
    """Write what is missing below the state directory: the API server's pki, each component's kubeconfig.

    Everything is a pure addition, so a run that was cut short is completed by the next; but the administrator's
    kubeconfig is written each time, because its server is this time's ``port`` on 127.0.0.1.
    """
    authority = _authority(state.pki)
    server = f"https://{host_port(control_plane.address, API_PORT)}"

    def serving(directory: Path, name: str, user: str, names: Iterable[str]) -> None:
        if not (directory / f"{name}.key").exists():
            authority.sign(user, names=names, server=True).write(directory, name)

    def kubeconfig_for(machine: MachineSpec, component: str) -> None:
        path = state.kubeconfig(machine.name, component)
        if not path.exists():
            who = identity(component, machine.name)
            pair = authority.sign(who.user, who.groups)
            kubeconfig.write(path, kubeconfig.render(config.name, server, authority.pem, pair))

    if not (state.pki / "sa.pub").exists():
        write_service_account_key(state.pki)
    names = (*API_SERVER_NAMES, config.kubernetes_ip, control_plane.name, *control_plane.addresses)
    serving(state.pki, "apiserver", "kube-apiserver", names)
    if not (state.pki / "apiserver-kubelet-client.key").exists():
        authority.sign("kube-apiserver-kubelet-client", ("kubeadm:cluster-admins",)).write(
            state.pki, "apiserver-kubelet-client"
        )
    who = identity("admin", control_plane.name)
    admin = authority.sign(who.user, who.groups)
    host = f"https://127.0.0.1:{port}"
    kubeconfig.write(state.admin_kubeconfig, kubeconfig.render(config.name, host, authority.pem, admin))
    for component in ("kube-controller-manager", "kube-scheduler", "knet-underlay"):
        kubeconfig_for(control_plane, component)
    for machine in workers:
        for component in ("kubelet", "kube-proxy", "flanneld", "kube-network-policies", "speaker", "admin"):
            kubeconfig_for(machine, component)
        directory = state.machine(machine.name) / "kubernetes"
        serving(directory, "kubelet", f"system:node:{machine.name}", (machine.name, *machine.addresses))
        (directory / "ca.crt").write_bytes(authority.pem)


def _authority(directory: Path) -> Authority:
    if (directory / "ca.key").exists():
        return Authority.load(directory)
    authority = Authority.create("kubernetes")
    authority.write(directory)
    return authority
