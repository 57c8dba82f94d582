"""The emulated machines: how they are, commands on them, their power, who joins and who leaves."""

import os
import subprocess
import sys
import time
from typing import Annotated, Any

import typer
from rich.table import Table

from knet.cli.components import print_late
from knet.cli.links import links_table, print_partitions
from knet.cli.terminal import LIFE, UNDERLAY, Name, ask, attached, columns, out, running
from knet.cluster import channel
from knet.cluster.config import DEFAULT_NAME
from knet.cluster.errors import KnetError
from knet.cluster.handles import Machine
from knet.cluster.state import StateDir
from knet.underlay.state import OFF, RUNNING

app = typer.Typer()


@app.command(rich_help_panel=LIFE)
def status(name: Name = DEFAULT_NAME, json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Machines, components and links of a cluster."""
    answer = ask(name, {"op": "status"})
    if json:
        sys.stdout.write(channel.pretty(answer))
        return
    off = {row["name"] for row in answer["machines"] if row["state"] == OFF}
    components = columns("COMPONENT", "MACHINE", "STATE", "RESTARTS", "UP FOR")
    for row in answer["components"]:
        gone = OFF if row["machine"] in off else "restarting"
        state = f"running (pid {row['pid']})" if row["pid"] else gone
        components.add_row(row["name"], row["machine"], state, str(row["restarts"]), f"{row['uptime']:.0f} s")
    out.print(machines_table(answer["machines"]))
    out.print()
    out.print(components)
    out.print()
    out.print(links_table(answer["links"]))
    print_partitions(answer)
    print_late(answer)


@app.command(rich_help_panel=UNDERLAY, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def exec(
    context: typer.Context,
    machine: Annotated[str, typer.Argument(help="Machine: n1, cp1, client …")],
    name: Name = DEFAULT_NAME,
) -> None:
    """Run a command on an emulated machine (`knet exec n1 -- ip route`); without one, a shell."""
    running(name)
    argv = list(context.args) or [os.environ.get("SHELL", "/bin/sh")]
    Machine(StateDir(name), machine).namespaces().enter()
    os.chdir("/")
    try:
        code = subprocess.run(argv, check=False).returncode
    except FileNotFoundError:
        raise KnetError(f"{argv[0]}: no such program on {machine}") from None
    raise typer.Exit(code if code >= 0 else 128 - code)


@app.command(rich_help_panel=UNDERLAY)
def shell(
    command: Annotated[str | None, typer.Option("-c", metavar="LINE", help="Run one line and leave.")] = None,
    name: Name = DEFAULT_NAME,
) -> None:
    """Mininet's command line on a running cluster: `n1 ping -c1 n2`, net, links, dump, pingall, py …"""
    running(name)
    from knet.cluster.view import ControlView
    from knet.underlay.shell import Shell

    session = Shell(ControlView(StateDir(name)))
    if command is None:
        session.run()
    else:
        session.onecmd(command)
        raise typer.Exit(session.status)


@app.command(rich_help_panel=UNDERLAY)
def machine(
    action: Annotated[str | None, typer.Argument(metavar="[pause|resume|kill|boot|reboot]")] = None,
    machines: Annotated[list[str] | None, typer.Argument(metavar="MACHINE...")] = None,
    name: Name = DEFAULT_NAME,
) -> None:
    """Machines: list them, or stop one where it is, cut its power, boot it (`knet machine pause n1`)."""
    if action and not machines:
        raise KnetError(f"which machine? knet machine {action} n1")
    for one in machines or ():
        ask(name, {"op": "power", "machine": one, "action": action})
    rows = ask(name, {"op": "status"})["machines"]
    out.print(machines_table([row for row in rows if not machines or row["name"] in machines]))


node = typer.Typer(no_args_is_help=True, help="Machines that join and leave while the cluster runs.")
app.add_typer(node, name="node", rich_help_panel=UNDERLAY)


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
    with attached(name) as cluster:
        cluster.add_machine(machine, switch, labels, cpu, memory)
    where = next(row for row in ask(name, {"op": "status"})["machines"] if row["name"] == machine)
    out.print(f"{machine} Ready at {where['address']} ({time.monotonic() - started:.2f} s)")


@node.command("remove")
def node_remove(
    machine: Annotated[str, typer.Argument(metavar="MACHINE")],
    name: Name = DEFAULT_NAME,
    force: Annotated[bool, typer.Option("--force", help="At once, as if somebody pulled the plug.")] = False,
) -> None:
    """A worker leaves: its pods are evicted (as by kubectl drain), the machine taken away, its Node deleted."""
    with attached(name) as cluster:
        cluster.remove_machine(machine, force, out.print)
    out.print(f"{machine} removed")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise KnetError(f"--label {text}: write KEY=VALUE")
    return key, value


def machines_table(rows: list[dict[str, Any]]) -> Table:
    table = columns("MACHINE", "ROLE", "STATE", "ADDRESS", "PID", "CPU", "MEMORY")
    for row in rows:
        state = row["state"] if row["state"] == RUNNING else f"[red]{row['state']}[/]"
        cpu, memory = str(row["cpu"] or "-"), str(row["memory"] or "-")
        table.add_row(row["name"], row["role"], state, ",".join(row["addresses"]), str(row["pid"]), cpu, memory)
    return table
