"""What runs on the machines: logs, restarts, what is switched off, how Services are realised."""

import os
import sys
from typing import Annotated, Any

import msgspec
import typer

from knet.api.objects import JSON
from knet.cli.terminal import COMPONENTS, Name, ask, choice, columns, known, out, running
from knet.cluster import launch
from knet.cluster.config import (
    DEFAULT_NAME,
    OPTIONAL,
    PROXY_MODES,
    ClusterConfig,
)
from knet.cluster.errors import KnetError
from knet.cluster.state import StateDir

app = typer.Typer()

Controllers = typer.Option(
    "--controllers", metavar="LIST", help="As kube-controller-manager's: '*,-deployment-controller' is all but one."
)
Without = typer.Option("--without", metavar="LIST", help=f"Components that are not started: of {', '.join(OPTIONAL)}.")


@app.command(rich_help_panel=COMPONENTS)
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
        raise KnetError(f"cluster {name} has no logs; there are: {known()}")
    if component is not None and component not in files:
        raise KnetError(f"there is no log of {component!r}; there are: {', '.join(files)}")
    chosen = [files[component]] if component else list(files.values())
    argv = ["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, chosen)]
    sys.stdout.flush()
    os.execvp("tail", argv)


@app.command(rich_help_panel=COMPONENTS)
def restart(component: Annotated[str, typer.Argument(metavar="COMPONENT@MACHINE")], name: Name = DEFAULT_NAME) -> None:
    """Restart a component (`knet restart kube-proxy@n1`); pods keep running."""
    ask(name, {"op": "restart", "component": component})


@app.command(rich_help_panel=COMPONENTS)
def proxy(
    mode: Annotated[str | None, typer.Argument(metavar=f"[{choice(tuple(PROXY_MODES))}]")] = None,
    ipvs_scheduler: Annotated[str | None, typer.Option(metavar="NAME", help="How the mode ipvs distributes.")] = None,
    name: Name = DEFAULT_NAME,
) -> None:
    """How kube-proxy realises Services: show it, or change it; each kube-proxy is restarted, connections stay."""
    given = {"proxy": mode, "ipvs_scheduler": ipvs_scheduler}
    if changes := {option: value for option, value in given.items() if value is not None}:
        running(name)
        _reconfigure(name, changes)
    out.print(f"kube-proxy mode: [bold]{ask(name, {'op': 'status'})['config']['proxy']}[/]")


@app.command(rich_help_panel=COMPONENTS)
def components(
    name: Name = DEFAULT_NAME,
    controllers: Annotated[str | None, Controllers] = None,
    without: Annotated[str | None, Without] = None,
) -> None:
    """Components and controllers: what runs and what is switched off; or switch some off, or on again (`*`, `""`)."""
    changes = {"controllers": controllers, "without": without}
    if given := {key: value for key, value in changes.items() if value is not None}:
        running(name)
        _reconfigure(name, given)
        return
    from knet.controllers.main import CONTROLLERS

    answer = ask(name, {"op": "status"})
    config = msgspec.convert(answer["config"], ClusterConfig)
    off = config.switched_off()
    manager = "kube-controller-manager"
    for title, names in (("COMPONENT", OPTIONAL), ("CONTROLLER", tuple(CONTROLLERS))):
        table = columns(title, "STATE")
        for row in names:
            table.add_row(row, "off" if row in off or (title == "CONTROLLER" and manager in off) else "on")
        out.print(table)
        out.print()
    print_late(answer)


@app.command(rich_help_panel=COMPONENTS)
def delay(
    component: Annotated[str | None, typer.Argument(metavar="[COMPONENT@MACHINE]", help="kube-proxy@n2, …")] = None,
    time: Annotated[str | None, typer.Argument(metavar="[TIME]", help="300ms, 2s; 0 ends it.")] = None,
    name: Name = DEFAULT_NAME,
) -> None:
    """Let a component learn later what its watches tell (`knet delay kube-proxy@n2 300ms`); or show who does.

    A race that is lost once in a thousand times is lost every time. What waits is known in its order, that much later;
    the component restarts late, too, until 0 or the cluster's end.
    """
    if component is not None:
        if time is None:
            raise KnetError(f"by how much? knet delay {component} 300ms; 0 ends it")
        ask(name, {"op": "delay", "component": component, "delay": time})
    if not print_late(ask(name, {"op": "status"})):
        out.print("no component is late")


def print_late(answer: JSON) -> bool:
    """The components that are late, a line each; whether there are any."""
    late = [row for row in answer["components"] if row["delay"]]
    for row in late:
        out.print(f"[red]late[/] {row['name']}@{row['machine']} {row['delay']}")
    return bool(late)


def _reconfigure(name: str, changes: dict[str, Any]) -> None:
    for component, what in launch.reconfigure(name, changes).items():
        out.print(f"{component} {what}")
