"""Faults by plan: what happens when, to whom."""

import signal
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from knet.cli.terminal import UNDERLAY, Name, out, running
from knet.cluster.config import DEFAULT_NAME

app = typer.Typer()

faults = typer.Typer(no_args_is_help=True, help="Faults by plan: what happens when, to whom (docs/howto.md).")
app.add_typer(faults, name="faults", rich_help_panel=UNDERLAY)

_PLAN = Annotated[Path, typer.Argument(metavar="PLAN", help="A YAML file, see docs/reference.md.")]
_SEED = Annotated[int | None, typer.Option(metavar="N", help="Of all that is random (default: the plan's, or any).")]
_JSON = Annotated[bool, typer.Option("--json", help="A line of JSON for each event.")]


@faults.command("run")
def faults_run(plan: _PLAN, name: Name = DEFAULT_NAME, seed: _SEED = None, json: _JSON = False) -> None:
    """Carry a plan out, telling each event; at its end, or on Ctrl-C, all that it did is healed."""
    from knet.cluster.faults.run import Record, load, prepare

    def told(record: Record) -> None:
        print(msgspec.json.encode(record).decode() if json else record, flush=True)

    run = prepare(running(name).control, load(plan), seed, told)
    if not json:
        planned = run.schedule
        out.print(f"{len(planned.events)} events in {planned.end:g} s · seed {planned.seed}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: run.stop())
    whole = run.run()
    raise typer.Exit(1 if run.refused else 0 if whole else 130)


@faults.command("show")
def faults_show(plan: _PLAN, seed: _SEED = None) -> None:
    """What a plan would do, and when; nothing is done."""
    from knet.cluster.faults.effect import text
    from knet.cluster.faults.run import BEGINS, ENDS, choose, load
    from knet.cluster.faults.schedule import schedule

    found = load(plan)
    planned = schedule(found, choose(found, seed))
    out.print(f"{len(planned.events)} events in {planned.end:g} s · seed {planned.seed}")
    for event in planned.events:
        word = BEGINS if event.begins else ENDS
        print(f"{event.at:9.3f} s  {word:<7} #{event.occurrence.number:<3} {text(event.occurrence)}")
