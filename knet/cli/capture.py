"""What passes any places of the cluster."""

import signal
import sys
from typing import Annotated

import typer

from knet.cli.terminal import PACKETS, Name, Namespace, attached, out, time_of
from knet.cluster.config import DEFAULT_NAME
from knet.cluster.errors import KnetError

app = typer.Typer()


@app.command(rich_help_panel=PACKETS)
def capture(
    where: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHERE…]",
            help="pod/web-0, svc/web, deployment/web, n1, n1/cni0, link/n1-s1, s1, all …; default: all pods",
        ),
    ] = None,
    filter_: Annotated[
        str,
        typer.Option(
            "--filter", "-f", metavar="EXPR", help="As tcpdump's, with names (host svc/web); looks inside VXLAN, too."
        ),
    ] = "",
    write: Annotated[
        str, typer.Option("--write", "-w", metavar="FILE", help="Write pcapng instead of lines; - is standard output.")
    ] = "",
    count: Annotated[int, typer.Option("--count", "-c", min=0, help="End after so many packets.")] = 0,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="End after a time: 5s, 500ms, 1m.")] = "",
    noise: Annotated[bool, typer.Option("--noise", help="With MLD, router solicitations, IGMP, STP, LLDP …")] = False,
    namespace: Namespace = "default",
    name: Name = DEFAULT_NAME,
) -> None:
    """Packets of any places at once, in one order of time, with names: as lines, or for Wireshark (-w)."""
    from knet.cluster.capturing import capturing
    from knet.inspect.capture.lines import Lines
    from knet.inspect.capture.pcapng import Pcapng
    from knet.inspect.capture.run import run
    from knet.inspect.capture.sink import Sink

    if write == "-" and sys.stdout.isatty():
        raise KnetError("pcapng is nothing for a terminal: knet capture … -w - | wireshark -k -i -")
    limit = time_of("--for", for_) if for_ else 0.0
    with (
        attached(name) as cluster,
        capturing(cluster, where or ["pod/*"], namespace, filter_, noise, _told) as (session, curiosity),
    ):
        names = curiosity.names
        encoder = Pcapng(names) if write else Lines(names, colour=out.is_terminal and out.color_system is not None)
        sink = Sink(write or "-")
        session.urgent()

        def stop(number: int, _: object) -> None:
            signal.signal(number, signal.default_int_handler)  # a second time it ends at once
            session.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        if write != "-":
            places = ", ".join(place.name for place in session.places[:4])
            more = len(session.places) - 4
            _told(f"capturing {places}{f' and {more} more' if more > 0 else ''}")
        _told(run(session, encoder, sink, curiosity, count, limit))


def _told(line: str) -> None:
    print(f"knet: {line}", file=sys.stderr, flush=True)
