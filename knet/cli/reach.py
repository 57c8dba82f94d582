"""Who can talk to whom."""

from typing import Annotated

import typer
from rich.console import Console

from knet.api.families import IPV6
from knet.cli.terminal import PACKETS, Name, attached, out
from knet.cluster.channel import pretty
from knet.cluster.config import DEFAULT_NAME

app = typer.Typer()


@app.command(rich_help_panel=PACKETS)
def reach(
    where: Annotated[
        list[str] | None, typer.Argument(metavar="[WHERE…]", help="Between these only: pod/web-0, svc/web, n1 …")
    ] = None,
    name: Name = DEFAULT_NAME,
    namespace: Annotated[
        str, typer.Option("--namespace", "-N", metavar="NAMESPACE", help="Pods and Services of it.")
    ] = "",
    port: Annotated[int, typer.Option(help="Of pods and machines, and of Services that have it.")] = 80,
    proto: Annotated[str | None, typer.Option(metavar="tcp|udp|icmp", help="Default: tcp; with --basic icmp.")] = None,
    basic: Annotated[bool, typer.Option("--basic", help="The three requirements on a cluster's network.")] = False,
    ipv6: Annotated[bool, typer.Option("--ipv6", "-6", help="Of a dual-stack cluster: the IPv6 addresses.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Every pair, for programs.")] = False,
) -> None:
    """The matrix of who can talk to whom: predicted from routes, Services and policies, and tried with real packets.

    What differs comes first, with what was expected and why, and what was observed; exit code 1 if anything does.
    """
    from knet.inspect.reach import basic as requirements
    from knet.inspect.reach.text import text

    wish = {"namespace": namespace, "port": port, "protocol": proto or ("icmp" if basic else "tcp")}
    if ipv6:
        wish["family"] = IPV6
    with attached(name) as cluster:
        found = cluster.reach(*(where or ()), **wish, services=not basic, nodes_only=basic)
        rows = requirements.requirements(cluster.world(), found) if basic else []
    if json:
        out.out(pretty(found.json() | ({"requirements": [row.json() for row in rows]} if basic else {})), end="")
    else:
        # as kubectl: long rows are not wrapped
        Console(highlight=False, soft_wrap=True, emoji=False, width=1000).print(text(found))
        if basic:
            out.print(requirements.text(rows, found))
    failed = any(not row.holds for row in rows) if basic else bool(found.disagreements)
    raise typer.Exit(int(failed))
