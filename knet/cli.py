"""The ``knet`` command.

Exit codes: 0 done; 1 the thing asked for failed (a command on a machine, a link that is not there); 2 the request
cannot be met as it stands, with one line on stderr that says what to do about it.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from knet import __version__
from knet.api.objects import JSON
from knet.cluster import channel, launch, preflight
from knet.cluster.channel import Message
from knet.cluster.config import (
    CNI_BACKENDS,
    DEFAULT_NAME,
    INGRESS_CONTROLLERS,
    IP_FAMILIES,
    IPVS_SCHEDULERS,
    OPTIONAL,
    POLICY_MODES,
    PROXY_MODES,
    STORES,
    ClusterConfig,
)
from knet.cluster.errors import KnetError
from knet.cluster.handles import Machine
from knet.cluster.state import StateDir, all_clusters
from knet.kernel.features import FeatureMissing
from knet.underlay import isolation
from knet.underlay.impairment import OPTIONS
from knet.underlay.state import OFF, RUNNING, LinkState

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""A Kubernetes cluster whose network you can take apart.

    Machines, switches and links are emulated on this kernel; pods are network namespaces; kubectl just works.

      sudo knet up            bring a cluster up       kubectl get nodes
      sudo knet shell         Mininet's command line   n1 ping -c1 n2
      sudo knet down          end it, nothing left
    """,
)
out = Console(highlight=False, soft_wrap=True)

Name = Annotated[
    str, typer.Option("--name", "-n", envvar="KNET_NAME", metavar="NAME", help="Which cluster.", show_default=True)
]


Controllers = typer.Option(
    "--controllers", metavar="LIST", help="As kube-controller-manager's: '*,-deployment-controller' is all but one."
)
Without = typer.Option("--without", metavar="LIST", help=f"Components that are not started: of {', '.join(OPTIONAL)}.")


def _choice(values: tuple[str, ...]) -> str:
    return "|".join(values)


@app.command()
def up(
    name: Name = DEFAULT_NAME,
    topo: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="Topology: a file, or one of single, leaf_spine, two_racks, wan."),
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="How many worker machines.")] = None,
    cni: Annotated[
        str | None, typer.Option(metavar=_choice(CNI_BACKENDS), help="How pods reach pods on other machines.")
    ] = None,
    cni_conf: Annotated[
        str | None, typer.Option(metavar="DIR", help="A CNI configuration: its plugins connect pods (docs/howto.md).")
    ] = None,
    mtu: Annotated[
        int | None, typer.Option(metavar="BYTES", help="MTU of pods, right or wrong (default: what fits the links).")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(metavar=_choice(tuple(PROXY_MODES)), help="How kube-proxy realises Services.")
    ] = None,
    ipvs_scheduler: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"With --proxy ipvs: one of {', '.join(IPVS_SCHEDULERS)}.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar=_choice(tuple(POLICY_MODES)), help="How NetworkPolicies are enforced.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar=_choice(STORES), help="Where the API server keeps its state.")
    ] = None,
    timing: Annotated[
        str | None, typer.Option(metavar="lab|upstream", help="Intervals: fast enough to watch, or Kubernetes' own.")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="The API server's port on 127.0.0.1.")] = None,
    ip_family: Annotated[
        str | None, typer.Option(metavar=_choice(tuple(IP_FAMILIES)), help="Addresses of machines, pods and Services.")
    ] = None,
    cluster_cidr: Annotated[str | None, typer.Option(metavar="CIDR[,CIDR]", help="Addresses of pods.")] = None,
    service_cidr: Annotated[str | None, typer.Option(metavar="CIDR[,CIDR]", help="Addresses of Services.")] = None,
    lb_pool: Annotated[
        str | None,
        typer.Option(metavar="FROM-TO", help="Addresses for LoadBalancer Services (default: the network's last 32)."),
    ] = None,
    ingress: Annotated[
        str | None, typer.Option(metavar=_choice(INGRESS_CONTROLLERS), help="An Ingress controller from the start.")
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
        + (" · resumed" if record else "")
    )
    launch.up(name, options, progress).detach()
    suffix = "" if name == DEFAULT_NAME else f" --name {name}"
    out.print(
        f"Ready in [bold]{time.monotonic() - started:.2f} s[/].   kubectl --context {name} get nodes   ·   "
        f"knet shell{suffix}   ·   knet down{suffix}"
    )


@app.command()
def down(
    name: Name = DEFAULT_NAME,
    delete: Annotated[bool, typer.Option("--delete", help="Forget its state, too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All clusters.")] = False,
) -> None:
    """End a cluster: every process, namespace, interface and rule of it. Its objects stay, unless --delete."""
    _root()
    names = [state.name for state in all_clusters()] if everything else [name]
    for one in names:
        started = time.monotonic()
        known = StateDir(one).exists
        if launch.down(one, delete):
            out.print(f"cluster [bold]{one}[/] is {'gone' if delete else 'down'} ({time.monotonic() - started:.2f} s)")
        elif not everything:
            if known:
                raise KnetError(f"cluster {one} is down already; to forget it: knet down --delete --name {one}")
            raise KnetError(f"there is no cluster {one}; there are: {_known()}")


@app.command("list")
def list_() -> None:
    """All clusters, up and down."""
    table = _table("NAME", "STATE", "TOPOLOGY", "WORKERS", "CNI", "API SERVER")
    for state in all_clusters():
        record = state.read()
        if record is not None:
            workers = str(record.config.workers or "default")
            stem, where = Path(record.config.topo).stem, f"https://127.0.0.1:{record.port}"
            table.add_row(state.name, "up" if state.up else "down", stem, workers, record.config.cni, where)
        else:
            table.add_row(state.name, "up" if state.up else "left over", "", "", "", "")
    out.print(table)


@app.command()
def status(name: Name = DEFAULT_NAME, json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Machines, components and links of a cluster."""
    answer = _ask(name, {"op": "status"})
    if json:
        sys.stdout.write(channel.pretty(answer))
        return
    off = {row["name"] for row in answer["machines"] if row["state"] == OFF}
    components = _table("COMPONENT", "MACHINE", "STATE", "RESTARTS", "UP FOR")
    for row in answer["components"]:
        gone = OFF if row["machine"] in off else "restarting"
        state = f"running (pid {row['pid']})" if row["pid"] else gone
        components.add_row(row["name"], row["machine"], state, str(row["restarts"]), f"{row['uptime']:.0f} s")
    out.print(_machines(answer["machines"]))
    out.print()
    out.print(components)
    out.print()
    out.print(_links(answer["links"]))
    _print_partitions(answer)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def exec(
    context: typer.Context,
    machine: Annotated[str, typer.Argument(help="Machine: n1, cp1, client …")],
    name: Name = DEFAULT_NAME,
) -> None:
    """Run a command on an emulated machine (`knet exec n1 -- ip route`); without one, a shell."""
    _up(name)
    argv = list(context.args) or [os.environ.get("SHELL", "/bin/sh")]
    Machine(StateDir(name), machine).namespaces().enter()
    os.chdir("/")
    try:
        code = subprocess.run(argv, check=False).returncode
    except FileNotFoundError:
        raise KnetError(f"{argv[0]}: no such program on {machine}") from None
    raise typer.Exit(code if code >= 0 else 128 - code)


@app.command()
def link(
    ends: Annotated[list[str] | None, typer.Argument(metavar="[A B]", help="The two ends: n1 s1.")] = None,
    name: Name = DEFAULT_NAME,
    down: Annotated[bool, typer.Option("--down", help="Cut the cable.")] = False,
    up: Annotated[bool, typer.Option("--up", help="Mend it.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="As the topology declares it.")] = False,
    bw: Annotated[float | None, typer.Option(metavar="MBIT", help="Bandwidth, Mbit/s.")] = None,
    delay: Annotated[str | None, typer.Option(metavar="TIME", help="20ms, in each direction.")] = None,
    jitter: Annotated[str | None, typer.Option(metavar="TIME", help="2ms, around the delay.")] = None,
    loss: Annotated[str | None, typer.Option(metavar="PERCENT", help="1%, of packets.")] = None,
    loss_correlation: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="How much a loss makes the next one likely.")
    ] = None,
    duplicate: Annotated[str | None, typer.Option(metavar="PERCENT", help="Packets that come twice.")] = None,
    reorder: Annotated[str | None, typer.Option(metavar="PERCENT", help="Packets that overtake the delayed.")] = None,
    corrupt: Annotated[str | None, typer.Option(metavar="PERCENT", help="Packets with a wrong bit.")] = None,
    max_queue_size: Annotated[int | None, typer.Option(metavar="PACKETS", help="Length of the queue.")] = None,
    direction: Annotated[
        str | None, typer.Option(metavar="A|B", help="Only what this end sends (default: both directions).")
    ] = None,
) -> None:
    """Links of the underlay: list them, or change one (`knet link n1 s1 --delay 20ms --loss 1%`); 0 ends an option."""
    given = locals()
    changes: JSON = {key: given[key] for key in (*OPTIONS, "direction") if given[key] is not None}
    if down or up:
        changes["up"] = up
    if not ends:
        if changes or reset:
            raise KnetError("which link? Name its two ends: knet link n1 s1 --down")
        out.print(_links(_ask(name, {"op": "status"})["links"]))
        return
    if len(ends) != 2 or (down and up):
        raise KnetError("knet link A B with one of --down, --up, --reset, or options (knet link -h)")
    a, b = ends
    if reset:
        _ask(name, {"op": "reset_link", "a": a, "b": b})
    if changes:
        _ask(name, {"op": "change_link", "a": a, "b": b, **changes})
    rows = [row for row in _ask(name, {"op": "status"})["links"] if {a, b} == {end["node"] for end in row["ends"]}]
    out.print(_links(rows))


@app.command()
def machine(
    action: Annotated[str | None, typer.Argument(metavar="[pause|resume|kill|boot|reboot]")] = None,
    machines: Annotated[list[str] | None, typer.Argument(metavar="MACHINE...")] = None,
    name: Name = DEFAULT_NAME,
) -> None:
    """Machines: list them, or stop one where it is, cut its power, boot it (`knet machine pause n1`)."""
    if action and not machines:
        raise KnetError(f"which machine? knet machine {action} n1")
    for one in machines or ():
        _ask(name, {"op": "power", "machine": one, "action": action})
    rows = _ask(name, {"op": "status"})["machines"]
    out.print(_machines([row for row in rows if not machines or row["name"] in machines]))


_GROUPS = typer.Argument(metavar="[GROUP...]", help="Machines or switches: n1,n2")


@app.command()
def partition(groups: Annotated[list[str] | None, _GROUPS] = None, name: Name = DEFAULT_NAME) -> None:
    """Keep machines apart (`knet partition n1,n2 cp1`; one group: from all others); without any, list partitions."""
    if groups:
        _ask(name, {"op": "partition", "groups": _groups(groups)})
    _print_partitions(_ask(name, {"op": "status"}))


@app.command()
def heal(groups: Annotated[list[str] | None, _GROUPS] = None, name: Name = DEFAULT_NAME) -> None:
    """End a partition, or all of them."""
    _ask(name, {"op": "heal", "groups": _groups(groups) if groups else None})
    _print_partitions(_ask(name, {"op": "status"}))


faults = typer.Typer(no_args_is_help=True, help="Faults by plan: what happens when, to whom (docs/howto.md).")
app.add_typer(faults, name="faults")

_PLAN = Annotated[Path, typer.Argument(metavar="PLAN", help="A YAML file, see docs/reference.md.")]
_SEED = Annotated[int | None, typer.Option(metavar="N", help="Of all that is random (default: the plan's, or any).")]
_JSON = Annotated[bool, typer.Option("--json", help="A line of JSON for each event.")]


@faults.command("run")
def faults_run(plan: _PLAN, name: Name = DEFAULT_NAME, seed: _SEED = None, json: _JSON = False) -> None:
    """Carry a plan out, telling each event; at its end, or on Ctrl-C, all that it did is healed."""
    from knet.cluster.faults.run import Record, load, prepare

    def told(record: Record) -> None:
        print(msgspec.json.encode(record).decode() if json else record, flush=True)

    run = prepare(_up(name).control, load(plan), seed, told)
    if not json:
        planned = run.schedule
        out.print(f"{len(planned.events)} events in {planned.end:g} s · seed {planned.seed}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: run.stop())
    whole = run.run()
    raise typer.Exit(1 if run.refused else 0 if whole else 130)


@faults.command("show")
def faults_show(plan: _PLAN, seed: _SEED = None) -> None:
    """What a plan would do, and when; nothing is done."""
    from knet.cluster.faults.effect import text
    from knet.cluster.faults.run import BEGINS, ENDS, choose, load
    from knet.cluster.faults.schedule import schedule

    found = load(plan)
    planned = schedule(found, choose(found, seed))
    out.print(f"{len(planned.events)} events in {planned.end:g} s · seed {planned.seed}")
    for event in planned.events:
        word = BEGINS if event.begins else ENDS
        print(f"{event.at:9.3f} s  {word:<7} #{event.occurrence.number:<3} {text(event.occurrence)}")


@app.command()
def logs(
    component: Annotated[str | None, typer.Argument(metavar="[COMPONENT@MACHINE]", help="kubelet@n1, …")] = None,
    name: Name = DEFAULT_NAME,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come.")] = False,
    lines: Annotated[int, typer.Option("-t", "--tail", metavar="N", help="How many lines.")] = 50,
) -> None:
    """What the components logged (pods' logs are kubectl's business); without a name, all of them."""
    state = StateDir(name)
    files = {path.stem: path for path in sorted(state.logs.glob("*.log"))}
    if not files:
        raise KnetError(f"cluster {name} has no logs; there are: {_known()}")
    if component is not None and component not in files:
        raise KnetError(f"there is no log of {component!r}; there are: {', '.join(files)}")
    chosen = [files[component]] if component else list(files.values())
    argv = ["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, chosen)]
    sys.stdout.flush()
    os.execvp("tail", argv)


@app.command()
def restart(component: Annotated[str, typer.Argument(metavar="COMPONENT@MACHINE")], name: Name = DEFAULT_NAME) -> None:
    """Restart a component (`knet restart kube-proxy@n1`); pods keep running."""
    _ask(name, {"op": "restart", "component": component})


@app.command()
def proxy(
    mode: Annotated[str | None, typer.Argument(metavar=f"[{_choice(tuple(PROXY_MODES))}]")] = None,
    ipvs_scheduler: Annotated[str | None, typer.Option(metavar="NAME", help="How the mode ipvs distributes.")] = None,
    name: Name = DEFAULT_NAME,
) -> None:
    """How kube-proxy realises Services: show it, or change it; each kube-proxy is restarted, connections stay."""
    given = {"proxy": mode, "ipvs_scheduler": ipvs_scheduler}
    if changes := {option: value for option, value in given.items() if value is not None}:
        _up(name)
        _reconfigure(name, changes)
    out.print(f"kube-proxy mode: [bold]{_ask(name, {'op': 'status'})['config']['proxy']}[/]")


@app.command()
def components(
    name: Name = DEFAULT_NAME,
    controllers: Annotated[str | None, Controllers] = None,
    without: Annotated[str | None, Without] = None,
) -> None:
    """Components and controllers: what runs and what is switched off; or switch some off, or on again (`*`, `""`)."""
    changes = {"controllers": controllers, "without": without}
    if given := {key: value for key, value in changes.items() if value is not None}:
        _up(name)
        _reconfigure(name, given)
        return
    from knet.controllers.main import CONTROLLERS

    config = msgspec.convert(_ask(name, {"op": "status"})["config"], ClusterConfig)
    off = config.switched_off()
    manager = "kube-controller-manager"
    for title, names in (("COMPONENT", OPTIONAL), ("CONTROLLER", tuple(CONTROLLERS))):
        table = _table(title, "STATE")
        for row in names:
            table.add_row(row, "off" if row in off or (title == "CONTROLLER" and manager in off) else "on")
        out.print(table)
        out.print()


def _reconfigure(name: str, changes: dict[str, Any]) -> None:
    for component, what in launch.reconfigure(name, changes).items():
        out.print(f"{component} {what}")


node = typer.Typer(no_args_is_help=True, help="Machines that join and leave while the cluster runs.")
app.add_typer(node, name="node")


@node.command("add")
def node_add(
    machine: Annotated[str, typer.Argument(metavar="MACHINE", help="Its name: n3.")],
    name: Name = DEFAULT_NAME,
    switch: Annotated[str, typer.Option(metavar="SWITCH", help="Where its cable goes, beside other workers.")] = "",
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label of the Node.")] = None,
    cpu: Annotated[str, typer.Option(metavar="QUANTITY", help="What the Node reports as its capacity.")] = "",
    memory: Annotated[str, typer.Option(metavar="QUANTITY", help="Likewise.")] = "",
) -> None:
    """A new worker: a machine like its neighbours on the switch, which joins as a Node."""
    labels = dict(_pair(text) for text in label or ())
    started = time.monotonic()
    _up(name)
    with _attached(name) as cluster:
        cluster.add_machine(machine, switch, labels, cpu, memory)
    where = next(row for row in _ask(name, {"op": "status"})["machines"] if row["name"] == machine)
    out.print(f"{machine} Ready at {where['address']} ({time.monotonic() - started:.2f} s)")


@node.command("remove")
def node_remove(
    machine: Annotated[str, typer.Argument(metavar="MACHINE")],
    name: Name = DEFAULT_NAME,
    force: Annotated[bool, typer.Option("--force", help="At once, as if somebody pulled the plug.")] = False,
) -> None:
    """A worker leaves: its pods are evicted (as by kubectl drain), the machine taken away, its Node deleted."""
    _up(name)
    with _attached(name) as cluster:
        cluster.remove_machine(machine, force, out.print)
    out.print(f"{machine} removed")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise KnetError(f"--label {text}: write KEY=VALUE")
    return key, value


def _attached(name: str) -> Any:
    from knet.cluster.facade import Cluster  # the API's client is for these commands alone

    return Cluster.attach(name)


@app.command()
def drops(
    machines: Annotated[list[str] | None, typer.Argument(metavar="[MACHINE…]", help="On these machines only.")] = None,
    name: Name = DEFAULT_NAME,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Each packet from now on.")] = False,
) -> None:
    """What network policies refused in the last ten minutes: who to whom, which port, and the policies that isolate."""
    _up(name)
    from knet.cluster.facade import Cluster

    with Cluster.attach(name) as cluster:
        found = cluster.drops(*(machines or ()), follow=follow)
        if follow:
            for row in found:
                ends = f"{row.source} → {row.destination}"
                out.print(f"{time.strftime('%X')}  {row.machine}  {ends}  [bold]{row.port}[/]  {row.by}")
        table = _table("MACHINE", "LAST", "PACKETS", "FROM", "TO", "PORT", "NOT ALLOWED BY")
        for row in found:
            last, packets = f"{row.drop.seconds:.0f} s ago", str(row.drop.packets)
            table.add_row(row.machine, last, packets, row.source, row.destination, row.port, row.by)
    Console(highlight=False, soft_wrap=True, width=1000).print(table)  # as kubectl: long names are not shortened


@app.command()
def kubeconfig(name: Name = DEFAULT_NAME) -> None:
    """Print a kubeconfig for the cluster (`up` has merged it into yours already)."""
    state = StateDir(name)
    if not state.admin_kubeconfig.exists():
        raise KnetError(f"there is no cluster {name}; there are: {_known()}")
    sys.stdout.write(state.admin_kubeconfig.read_text())


@app.command()
def shell(
    command: Annotated[str | None, typer.Option("-c", metavar="LINE", help="Run one line and leave.")] = None,
    name: Name = DEFAULT_NAME,
) -> None:
    """Mininet's command line on a running cluster: `n1 ping -c1 n2`, net, links, dump, pingall, py …"""
    _up(name)
    from knet.cluster.view import ControlView
    from knet.underlay.shell import Shell

    session = Shell(ControlView(StateDir(name)))
    if command is None:
        session.run()
    else:
        session.onecmd(command)
        raise typer.Exit(session.status)


@app.command()
def clean(
    delete: Annotated[bool, typer.Option("--delete", help="Forget the state of clusters that are down, too.")] = False,
) -> None:
    """Remove what clusters that died left behind; touches nothing that lives and nothing that is not knet's."""
    _root()
    for state in all_clusters():
        if not state.up:
            launch.down(state.name, delete)
            out.print(f"{state.name}: cleaned{', state deleted' if delete else ''}")


@app.command()
def version() -> None:
    """The version of knet and of the Kubernetes API it follows."""
    from knet.api.names import KUBERNETES_VERSION

    out.print(f"knet {__version__} (Kubernetes {KUBERNETES_VERSION})")


# ---- helpers ---------------------------------------------------------------------------------------------------


def _root() -> None:
    if os.geteuid() != 0:
        raise KnetError(f"only root may do this; try: sudo {preflight.command_line()}")


def _up(name: str) -> StateDir:
    _root()
    state = StateDir(name)
    if not state.up:
        hint = f"bring it up with: knet up --name {name}" if state.exists else f"there are: {_known()}"
        raise KnetError(f"cluster {name} is not up; {hint}")
    return state


def _ask(name: str, request: JSON) -> JSON:
    return channel.request(_up(name).control, request)[0]


def _known() -> str:
    return ", ".join(state.name for state in all_clusters()) or "none (knet up makes one)"


def _table(*columns: str) -> Table:
    """As kubectl prints: upper-case heads, three spaces, no lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _groups(words: list[str]) -> list[list[str]]:
    """``n1,n2 cp1``, perhaps with a bar between."""
    return [word.split(",") for word in " ".join(words).replace("|", " ").split()]


def _print_partitions(answer: JSON) -> None:
    for split in answer["partitions"]:
        out.print(f"[red]partition[/] {isolation.text(split)}")


def _machines(rows: list[dict[str, Any]]) -> Table:
    table = _table("MACHINE", "ROLE", "STATE", "ADDRESS", "PID", "CPU", "MEMORY")
    for row in rows:
        state = row["state"] if row["state"] == RUNNING else f"[red]{row['state']}[/]"
        cpu, memory = str(row["cpu"] or "-"), str(row["memory"] or "-")
        table.add_row(row["name"], row["role"], state, ",".join(row["addresses"]), str(row["pid"]), cpu, memory)
    return table


def _links(rows: list[dict[str, Any]]) -> Table:
    table = _table("LINK", "STATE", "MTU", "IMPAIRMENT", "PACKETS", "DROPPED")
    for row in msgspec.convert(rows, list[LinkState]):
        a, b = row.ends
        state = row.state if row.up else f"[red]{row.state}[/]"
        table.add_row(
            f"{a.node} – {b.node}",
            state,
            str(row.mtu),
            row.impairment or "none",
            f"{a.packets} / {b.packets}",
            f"{a.dropped} / {b.dropped}",
        )
    return table


def main() -> None:
    """The entry point: every expected failure is one line and exit code 2."""
    try:
        app()
    except (KnetError, FeatureMissing) as error:
        print(f"knet: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("knet: interrupted; nothing is left behind", file=sys.stderr)
        raise SystemExit(130) from None
