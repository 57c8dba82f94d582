"""One packet, followed."""

from typing import Annotated

import orjson
import typer

from knet.cli.terminal import PACKETS, Name, Namespace, attached, choice, out, time_of
from knet.cluster.config import DEFAULT_NAME
from knet.errors import KnetError

app = typer.Typer()


@app.command(rich_help_panel=PACKETS)
def trace(
    source: Annotated[str, typer.Argument(metavar="FROM", help="pod/NAME, or a machine: n1, client.")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO[:PORT]",
            help="pod/NAME, svc/NAME, ingress/NAME, a machine, an address, or dns.",
            show_default=False,
        ),
    ],
    name: Name = DEFAULT_NAME,
    namespace: Namespace = "default",
    proto: Annotated[
        str, typer.Option(metavar=choice(("tcp", "udp", "icmp")), help="What to send.", show_default="tcp")
    ] = "",
    dns: Annotated[str, typer.Option(metavar="NAME", help="Ask the DNS for this name.")] = "",
    ipv6: Annotated[bool, typer.Option("-6", help="To the target's IPv6 address.")] = False,
    source_port: Annotated[int, typer.Option(metavar="PORT", help="Send from this port.", show_default="any")] = 0,
    size: Annotated[int, typer.Option(metavar="BYTES", help="Payload of an udp or icmp probe.", show_default="56")] = 0,
    live: Annotated[
        bool, typer.Option("--live", help="Send nothing: follow the next packet of a connection that is there anyway.")
    ] = False,
    for_: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long to wait for it.", show_default="10s")
    ] = "",
    rules: Annotated[bool, typer.Option("--rules/--no-rules", help="Have machines tell which rules match.")] = True,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Send one packet (or --live: wait for one) and follow it there and back: each hop, and the object that caused it.

    Exit code 0 where it was delivered, 1 where it was not.
    """
    if for_ and not live:
        raise KnetError("--for says how long to wait for a packet of somebody else's: with --live")
    with attached(name) as cluster:
        found = cluster.trace(
            source,
            target,
            protocol=proto,
            question=dns,
            namespace=namespace,
            family="IPv6" if ipv6 else "",
            source_port=source_port,
            size=size,
            rules=rules,
            live=(time_of("--for", for_) if for_ else 10.0) if live else 0.0,
        )
    from knet.inspect.trace import report

    if json:
        typer.echo(orjson.dumps(report.document(found), option=orjson.OPT_INDENT_2).decode())
    else:
        for line in report.lines(found):
            out.print(line)
    if not found.delivered:
        raise typer.Exit(1)
