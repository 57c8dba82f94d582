"""The connections that machines track."""

import sys
import time
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from knet.cli.terminal import PACKETS, Name, Namespace, attached, columns, out
from knet.cluster import channel
from knet.cluster.config import DEFAULT_NAME

app = typer.Typer()


@app.command(rich_help_panel=PACKETS)
def conntrack(
    where: Annotated[
        list[str] | None, typer.Argument(metavar="[WHERE…]", help="n1, pod/web-0, svc/web …; default: all machines")
    ] = None,
    of: Annotated[
        list[str] | None,
        typer.Option("--of", "--service", metavar="OBJECT", help="Of svc/web, pod/web-0, node/n1 only."),
    ] = None,
    protocol: Annotated[str, typer.Option("--proto", metavar="PROTOCOL", help="tcp, udp, sctp or icmp only.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="What becomes of connections from now on.")] = False,
    namespace: Namespace = "default",
    json: Annotated[bool, typer.Option("--json", help="As JSON; with -f a line for each event.")] = False,
    name: Name = DEFAULT_NAME,
) -> None:
    """Tracked connections, with the names of both ends and what NAT made of them."""
    from knet.inspect.conntrack import LOST, as_json, ends, packets, state
    from knet.inspect.conntrack import protocol as protocol_of

    with attached(name) as cluster:
        found = cluster.conntrack(*where or (), of=of or (), protocol=protocol, namespace=namespace, follow=follow)
        if follow:
            for row in found:
                if json:
                    print(msgspec.json.encode(as_json(row, found.names)).decode(), flush=True)
                elif row.happened == LOST:
                    out.print(f"{row.place}: events came faster than they could be told", style="yellow")
                else:
                    source, destination, translation = ends(row.tracked, found.names)
                    way = f"{source} → {destination}" + (f" ⇒ {translation}" if translation else "")
                    said = f"{row.place}  {row.happened:<7}  {protocol_of(row.tracked)}  {way}  {state(row.tracked)}"
                    out.print(f"{time.strftime('%X')}  {said}  {packets(row.tracked)}".rstrip(), markup=False)
            return
        rows = list(found)
        if json:
            sys.stdout.write(channel.pretty([as_json(row, found.names) for row in rows]))
            return
        counted = any(packets(row.tracked) for row in rows)
        heads = ("WHERE", "PROTO", "FROM", "TO", "TRANSLATED", "STATE", "EXPIRES", *(["PACKETS"] if counted else []))
        table = columns(*heads)
        for row in rows:
            cells = (row.place, protocol_of(row.tracked), *ends(row.tracked, found.names), state(row.tracked))
            table.add_row(*cells, f"{row.tracked.timeout} s", *([packets(row.tracked)] if counted else []))
    Console(highlight=False, soft_wrap=True, emoji=False, width=1000, markup=False).print(
        table
    )  # long names are not shortened
