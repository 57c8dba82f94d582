"""Clusters come and go: up, down, list, kubeconfig, clean, version."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from knet import __version__
from knet.cli.components import Controllers, Without
from knet.cli.terminal import LIFE, Name, choice, columns, known, need_root, out
from knet.cluster import launch
from knet.cluster.channel import Message
from knet.cluster.config import (
    CNI_BACKENDS,
    DEFAULT_NAME,
    INGRESS_CONTROLLERS,
    IP_FAMILIES,
    IPVS_SCHEDULERS,
    LAYER2,
    LB_MODES,
    POLICY_MODES,
    PROXY_MODES,
    STORES,
)
from knet.cluster.errors import KnetError
from knet.cluster.state import StateDir, all_clusters

app = typer.Typer()


@app.command(rich_help_panel=LIFE)
def up(
    name: Name = DEFAULT_NAME,
    topo: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="Topology: a file, or one of single, leaf_spine, two_racks, wan."),
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="How many worker machines.")] = None,
    cni: Annotated[
        str | None, typer.Option(metavar=choice(CNI_BACKENDS), help="How pods reach pods on other machines.")
    ] = None,
    cni_conf: Annotated[
        str | None, typer.Option(metavar="DIR", help="A CNI configuration: its plugins connect pods (docs/howto.md).")
    ] = None,
    mtu: Annotated[
        int | None, typer.Option(metavar="BYTES", help="MTU of pods, right or wrong (default: what fits the links).")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(metavar=choice(tuple(PROXY_MODES)), help="How kube-proxy realises Services.")
    ] = None,
    ipvs_scheduler: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"With --proxy ipvs: one of {', '.join(IPVS_SCHEDULERS)}.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar=choice(tuple(POLICY_MODES)), help="How NetworkPolicies are enforced.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar=choice(STORES), help="Where the API server keeps its state.")
    ] = None,
    timing: Annotated[
        str | None, typer.Option(metavar="lab|upstream", help="Intervals: fast enough to watch, or Kubernetes' own.")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="The API server's port on 127.0.0.1.")] = None,
    ip_family: Annotated[
        str | None, typer.Option(metavar=choice(tuple(IP_FAMILIES)), help="Addresses of machines, pods and Services.")
    ] = None,
    cluster_cidr: Annotated[str | None, typer.Option(metavar="CIDR[,CIDR]", help="Addresses of pods.")] = None,
    service_cidr: Annotated[str | None, typer.Option(metavar="CIDR[,CIDR]", help="Addresses of Services.")] = None,
    lb_mode: Annotated[
        str | None, typer.Option(metavar=choice(LB_MODES), help="Who is told where LoadBalancer Services are.")
    ] = None,
    lb_pool: Annotated[
        str | None,
        typer.Option(metavar="FROM-TO", help="Addresses for LoadBalancer Services (default: the network's last 32)."),
    ] = None,
    ingress: Annotated[
        str | None, typer.Option(metavar=choice(INGRESS_CONTROLLERS), help="An Ingress controller from the start.")
    ] = None,
    dns_upstream: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Resolver for names outside the cluster (default: none).")
    ] = None,
    images: Annotated[str | None, typer.Option(metavar="FILE", help="More rows for the image catalogue.")] = None,
    audit_log: Annotated[
        str | None, typer.Option(metavar="FILE", help="Append who asked for what to this file, as JSON lines.")
    ] = None,
    audit_policy: Annotated[
        str | None, typer.Option(metavar="FILE", help="How much of which request (an audit.k8s.io/v1 Policy).")
    ] = None,
    scheduler_plugin: Annotated[
        str | None, typer.Option(metavar="FILE", help="Python classes that take part in scheduling (docs/howto.md).")
    ] = None,
    faults: Annotated[
        str | None, typer.Option(metavar="FILE", help="A plan of faults that begins when the cluster is Ready.")
    ] = None,
    scheduler_config: Annotated[
        str | None, typer.Option(metavar="FILE", help="A KubeSchedulerConfiguration: profiles and their plugins.")
    ] = None,
    controllers: Annotated[str | None, Controllers] = None,
    without: Annotated[str | None, Without] = None,
) -> None:
    """Bring a cluster up, or resume one that was taken down.

    Without options: 1 control-plane machine, 2 workers, 1 client outside the cluster, on one switch.
    """
    options = {key: value for key, value in locals().items() if key != "name" and value is not None}
    if "topo" in options and Path(options["topo"]).suffix == ".py":
        options["topo"] = str(Path(options["topo"]).resolve())
    started = time.monotonic()

    def progress(message: Message) -> None:
        if message.step:
            out.print(f"  [bold]{message.step:<10}[/] {message.text:<52} [dim]{time.monotonic() - started:6.2f} s[/]")

    config, record = launch.configure(name, options)
    out.print(
        f"cluster [bold]{name}[/] · topology {Path(config.topo).stem} · cni {config.cni} · proxy {config.proxy}"
        + (f" · load balancers {config.lb_mode}" if config.lb_mode != LAYER2 else "")
        + (" · resumed" if record else "")
    )
    launch.up(name, options, progress).detach()
    suffix = "" if name == DEFAULT_NAME else f" --name {name}"
    out.print(
        f"Ready in [bold]{time.monotonic() - started:.2f} s[/].   kubectl --context {name} get nodes   ·   "
        f"knet shell{suffix}   ·   knet down{suffix}"
    )


@app.command(rich_help_panel=LIFE)
def down(
    name: Name = DEFAULT_NAME,
    delete: Annotated[bool, typer.Option("--delete", help="Forget its state, too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All clusters.")] = False,
) -> None:
    """End a cluster: every process, namespace, interface and rule of it. Its objects stay, unless --delete."""
    need_root()
    names = [state.name for state in all_clusters()] if everything else [name]
    for one in names:
        started = time.monotonic()
        existed = StateDir(one).exists
        if launch.down(one, delete):
            out.print(f"cluster [bold]{one}[/] is {'gone' if delete else 'down'} ({time.monotonic() - started:.2f} s)")
        elif not everything:
            if existed:
                raise KnetError(f"cluster {one} is down already; to forget it: knet down --delete --name {one}")
            raise KnetError(f"there is no cluster {one}; there are: {known()}")


@app.command("list", rich_help_panel=LIFE)
def list_() -> None:
    """All clusters, up and down."""
    table = columns("NAME", "STATE", "TOPOLOGY", "WORKERS", "CNI", "API SERVER")
    for state in all_clusters():
        record = state.read()
        if record is not None:
            workers = str(record.config.workers or "default")
            stem, where = Path(record.config.topo).stem, f"https://127.0.0.1:{record.port}"
            table.add_row(state.name, "up" if state.up else "down", stem, workers, record.config.cni, where)
        else:
            table.add_row(state.name, "up" if state.up else "left over", "", "", "", "")
    out.print(table)


@app.command(rich_help_panel=LIFE)
def kubeconfig(name: Name = DEFAULT_NAME) -> None:
    """Print a kubeconfig for the cluster (`up` has merged it into yours already)."""
    state = StateDir(name)
    if not state.admin_kubeconfig.exists():
        raise KnetError(f"there is no cluster {name}; there are: {known()}")
    sys.stdout.write(state.admin_kubeconfig.read_text())


@app.command(rich_help_panel=LIFE)
def clean(
    delete: Annotated[bool, typer.Option("--delete", help="Forget the state of clusters that are down, too.")] = False,
) -> None:
    """Remove what clusters that died left behind; touches nothing that lives and nothing that is not knet's."""
    need_root()
    for state in all_clusters():
        if not state.up:
            launch.down(state.name, delete)
            out.print(f"{state.name}: cleaned{', state deleted' if delete else ''}")


@app.command(rich_help_panel=LIFE)
def version() -> None:
    """The version of knet and of the Kubernetes API it follows."""
    from knet.api.names import KUBERNETES_VERSION

    out.print(f"knet {__version__} (Kubernetes {KUBERNETES_VERSION})")
