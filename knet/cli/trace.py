"""One packet, followed."""

from typing import Annotated

import orjson
import typer

from knet.cli.terminal import PACKETS, Name, Namespace, attached, choice, out
from knet.cluster.config import DEFAULT_NAME

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
    rules: Annotated[bool, typer.Option("--rules/--no-rules", help="Have machines tell which rules match.")] = True,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Send one packet and follow it there and back: each hop, and the object that caused it.

    Exit code 0 where it was delivered, 1 where it was not.
    """
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
        )
    from knet.inspect.trace import report

    if json:
        typer.echo(orjson.dumps(report.document(found), option=orjson.OPT_INDENT_2).decode())
    else:
        for line in report.lines(found):
            out.print(line)
    if not found.delivered:
        raise typer.Exit(1)
