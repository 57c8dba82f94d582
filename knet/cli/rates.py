"""What flows now, and what links carry: one look, or one after the other."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from knet.cli.terminal import PACKETS, Name, Namespace, attached, columns, out, time_of
from knet.cluster.channel import pretty
from knet.cluster.config import DEFAULT_NAME
from knet.cluster.errors import KnetError

app = typer.Typer()
top = typer.Typer(no_args_is_help=True, help="Who uses how much, as kubectl top shows it for machines and pods.")
app.add_typer(top, name="top", rich_help_panel=PACKETS)

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Look again and again.")]
For = Annotated[str, typer.Option("--for", metavar="TIME", help="How long a look takes: 1s, 500ms …")]
Json = Annotated[bool, typer.Option("--json", help="For programs; with -f a line for each look.")]


@app.command(rich_help_panel=PACKETS)
def flows(
    where: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WHERE…]", help="pod/web-0, svc/web, n1/cni0 …; default: all pods and machines"),
    ] = None,
    name: Name = DEFAULT_NAME,
    follow: Follow = False,
    for_: For = "1s",
    each: Annotated[bool, typer.Option("--each", help="Each connection by itself.")] = False,
    namespace: Namespace = "default",
    json: Json = False,
) -> None:
    """What flows: from whom, to which Service, to whom; states and rates there / back, the most bits first."""
    from knet.inspect.flows.text import HEADS, row

    length = _time(for_)
    with attached(name) as cluster:

        def look() -> tuple[list[Any], Table]:
            found = cluster.flows(*(where or ()), seconds=length, namespace=namespace, each=each)
            table = columns(*HEADS)
            for flow in found:
                table.add_row(*row(flow))
            return found, table

        _show(look, follow, json)


@top.command("links")
def top_links(name: Name = DEFAULT_NAME, follow: Follow = False, for_: For = "1s", json: Json = False) -> None:
    """What each link carries in each direction: rates, the part of its bandwidth, drops, and who waits in its queue."""
    from knet.inspect.flows.text import rate

    length = _time(for_)
    with attached(name) as cluster:

        def look() -> tuple[list[Any], Table]:
            found = cluster.link_rates(length)
            table = columns("LINK", "STATE", "PACKETS/S", "BIT/S", "USED", "DROPPED/S", "QUEUE", "IMPAIRMENT")
            for row in found:
                used = "" if row.used is None else f"{row.used:.0%}"
                rates = rate(row.packets), rate(row.bits), used, rate(row.dropped), str(row.waiting)
                table.add_row(row.name, row.state, *rates, row.impairment or "none")
            return found, table

        _show(look, follow, json)


def _time(text: str) -> float:
    found = time_of("--for", text)
    if not found > 0:
        raise KnetError(f"--for {text}: a look takes some time")
    return found


def _show(look: Callable[[], tuple[list[Any], Table]], follow: bool, json: bool) -> None:
    """One look, or one after the other until somebody interrupts: on a terminal each in the place of the one before."""
    wide = Console(highlight=False, soft_wrap=True, emoji=False, width=1000)  # as kubectl: long names are not shortened
    while True:
        found, table = look()
        if json:
            rows = [row.json() for row in found]
            out.out(msgspec.json.encode(rows).decode() if follow else pretty(rows).rstrip())
        else:
            if follow and out.is_terminal:
                out.clear()
            wide.print(table)
        if not follow:
            return
