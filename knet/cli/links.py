"""The cables between machines: impairments, cuts and partitions."""

from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from knet.api.objects import JSON
from knet.cli.terminal import UNDERLAY, Name, ask, columns, out
from knet.cluster.config import DEFAULT_NAME
from knet.cluster.errors import KnetError
from knet.underlay import isolation
from knet.underlay.impairment import OPTIONS
from knet.underlay.state import LinkState

app = typer.Typer()


@app.command(rich_help_panel=UNDERLAY)
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
        out.print(links_table(ask(name, {"op": "status"})["links"]))
        return
    if len(ends) != 2 or (down and up):
        raise KnetError("knet link A B with one of --down, --up, --reset, or options (knet link -h)")
    a, b = ends
    if reset:
        ask(name, {"op": "reset_link", "a": a, "b": b})
    if changes:
        ask(name, {"op": "change_link", "a": a, "b": b, **changes})
    rows = [row for row in ask(name, {"op": "status"})["links"] if {a, b} == {end["node"] for end in row["ends"]}]
    out.print(links_table(rows))


_GROUPS = typer.Argument(metavar="[GROUP...]", help="Machines or switches: n1,n2")


@app.command(rich_help_panel=UNDERLAY)
def partition(groups: Annotated[list[str] | None, _GROUPS] = None, name: Name = DEFAULT_NAME) -> None:
    """Keep machines apart (`knet partition n1,n2 cp1`; one group: from all others); without any, list partitions."""
    if groups:
        ask(name, {"op": "partition", "groups": groups_of(groups)})
    print_partitions(ask(name, {"op": "status"}))


@app.command(rich_help_panel=UNDERLAY)
def heal(groups: Annotated[list[str] | None, _GROUPS] = None, name: Name = DEFAULT_NAME) -> None:
    """End a partition, or all of them."""
    ask(name, {"op": "heal", "groups": groups_of(groups) if groups else None})
    print_partitions(ask(name, {"op": "status"}))


def groups_of(words: list[str]) -> list[list[str]]:
    """``n1,n2 cp1``, perhaps with a bar between."""
    return [word.split(",") for word in " ".join(words).replace("|", " ").split()]


def print_partitions(answer: JSON) -> None:
    for split in answer["partitions"]:
        out.print(f"[red]partition[/] {isolation.text(split)}")


def links_table(rows: list[dict[str, Any]]) -> Table:
    table = columns("LINK", "STATE", "MTU", "IMPAIRMENT", "PACKETS", "DROPPED")
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
