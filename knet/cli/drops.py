"""What network policies refused."""

import time
from typing import Annotated

import typer
from rich.console import Console

from knet.cli.terminal import PACKETS, Name, attached, columns, out
from knet.cluster.config import DEFAULT_NAME

app = typer.Typer()


@app.command(rich_help_panel=PACKETS)
def drops(
    machines: Annotated[list[str] | None, typer.Argument(metavar="[MACHINE…]", help="On these machines only.")] = None,
    name: Name = DEFAULT_NAME,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Each packet from now on.")] = False,
) -> None:
    """What network policies refused in the last ten minutes: who to whom, which port, and the policies that isolate."""
    with attached(name) as cluster:
        found = cluster.drops(*(machines or ()), follow=follow)
        if follow:
            for row in found:
                ends = f"{row.source} → {row.destination}"
                out.print(f"{time.strftime('%X')}  {row.machine}  {ends}  [bold]{row.port}[/]  {row.by}")
        table = columns("MACHINE", "LAST", "PACKETS", "FROM", "TO", "PORT", "NOT ALLOWED BY")
        for row in found:
            last, packets = f"{row.drop.seconds:.0f} s ago", str(row.drop.packets)
            table.add_row(row.machine, last, packets, row.source, row.destination, row.port, row.by)
    Console(highlight=False, soft_wrap=True, emoji=False, width=1000).print(
        table
    )  # as kubectl: long names are not shortened
