"""What happened, in one order."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from knet.cli.terminal import PACKETS, Name, Namespace, attached, out, time_of
from knet.cluster.config import DEFAULT_NAME
from knet.errors import KnetError

if TYPE_CHECKING:
    from knet.cluster.timeline import Recording
    from knet.inspect.timeline.event import Event
    from knet.inspect.timeline.grouping import Line
    from knet.inspect.timeline.timeline import Timeline

app = typer.Typer()

_COMMAND = "knet.command"
#: seconds of the past that are shown where nothing else is said
SINCE = 30.0
#: nice(2) of who follows: a busy cluster goes before, and one reads still
_MODESTY = 10
#: columns of actor, object and text where what comes is not known yet
Widths = tuple[int, int, int]
WIDTHS: Widths = (23, 34, 56)
#: of texts
STYLES = {
    "decision": "cyan",
    "binding": "cyan",
    "sandbox": "green",
    "container": "green",
    "probe": "yellow",
    "signal": "red",
    "rules": "magenta",
    "routes": "magenta",
    "packet": "bold blue",
}


class _WithCommand(TyperCommand):
    """What comes after ``--`` is another program's command line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            place = args.index("--")
            ctx.meta[_COMMAND] = args[place + 1 :]
            if not args[place + 1 :]:
                raise KnetError("-- has to be followed by a command")
            args = args[:place]
        return super().parse_args(ctx, args)


@app.command(cls=_WithCommand, rich_help_panel=PACKETS)
def timeline(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="[OBJECT]", help="deployment/web, svc/web, pod/x, node/n1, and what belongs to it.")
    ] = "",
    name: Name = DEFAULT_NAME,
    namespace: Namespace = "default",
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help=f"How far back: 10s, 5m (default: {SINCE:g}s).")
    ] = None,
    lasting: Annotated[str | None, typer.Option("--for", metavar="TIME", help="Record for so long from now.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what happens.")] = False,
    every: Annotated[bool, typer.Option("--all", help="A line for each event, however alike they are.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for each event.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="A picture, for a browser.")] = None,
) -> None:
    """Who did what, when: API writes, decisions, sandboxes, probes, signals, rules; of an object or of all.

    Without more it is of the past. With a command (knet timeline -- kubectl rollout restart deployment/web) it is of
    what happens while that runs and after, until nothing has happened for a second.
    """
    command: list[str] = context.meta.get(_COMMAND, [])
    given = ("--since", since), ("--for", lasting)
    past, span = (None if text is None else time_of(option, text) for option, text in given)
    if follow and (command or lasting or html):
        raise KnetError("--follow goes with neither a command, --for nor --html: it has no end")
    if since and (command or lasting):
        raise KnetError("--since is about the past; a recording begins now")
    if html is not None:
        _check_writable(html)
    code = 0
    if follow:
        os.nice(_MODESTY)  # all threads are yet to come
    with attached(name) as cluster:
        if follow:
            _follow(cluster.recording(target, namespace, SINCE if past is None else past), json)
            return
        if command or lasting:
            with cluster.recording(target, namespace) as recording:
                code = _run(command) if command else 0
                with contextlib.suppress(KeyboardInterrupt):
                    recording.wait(span) if span is not None else recording.quiet()
                found = recording.timeline
        else:
            found = cluster.timeline(target, namespace, SINCE if past is None else past)
    _show(found, every, json, html)
    if code:
        raise typer.Exit(code)


def _check_writable(path: Path) -> None:
    """Before anything is recorded for it."""
    if path.is_dir():
        raise KnetError(f"--html: {path} is a directory; name a file in it")
    if not path.absolute().parent.is_dir():
        raise KnetError(f"--html: there is no directory {path.absolute().parent}")


def _run(command: list[str]) -> int:
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise KnetError(f"{command[0]}: {error.strerror}") from None


def _follow(session: "contextlib.AbstractContextManager[Recording]", json: bool) -> None:
    """Print until Ctrl-C, then what was put off, and what was lost."""
    printer = _Printer(json)
    with contextlib.suppress(KeyboardInterrupt):
        with session as recording, contextlib.suppress(KeyboardInterrupt):
            printer.print(recording.batches())
        printer.print(recording.batches())
        printer.gaps(recording.lost)


class _Printer:
    """Events as they come."""

    def __init__(self, json: bool) -> None:
        from knet.inspect.timeline.event import realtime_offset

        self._json = json
        self._begin, self._offset, self._widths = 0, realtime_offset(), WIDTHS

    def print(self, batches: "Iterator[list[Event]]") -> None:
        from knet.inspect.timeline.grouping import grouped
        from knet.inspect.timeline.timeline import plain

        for events in batches:
            self._begin = self._begin or events[0].at
            if self._json:
                print("".join(plain(event, self._offset) for event in events), end="", flush=True)
            else:
                self._widths = _table(grouped(events), self._begin, self._widths)

    def gaps(self, sentences: Sequence[str]) -> None:
        from knet.inspect.timeline.timeline import gap

        for sentence in sentences:
            if self._json:
                print(gap(sentence), end="")
            else:
                out.print(sentence, style="dim", markup=False)


def _show(found: "Timeline", every: bool, json: bool, html: Path | None) -> None:
    if html is not None:
        try:
            html.write_text(found.html())
        except OSError as error:
            raise KnetError(f"--html: {html}: {error.strerror}") from None
        out.print(f"{html}: {len(found.events)} events", markup=False)
    elif json:
        print(found.json(), end="")
    else:
        _table(found.rows(every), found.begin)
        if found.blame:
            out.print()
        for sentence in found.blame.sentences if found.blame else ():
            out.print(sentence, style="" if sentence.startswith(" ") else "bold", markup=False)
        for sentence in found.gaps or ([] if found.events else ["nothing happened"]):
            out.print(sentence, style="dim", markup=False)


def _table(lines: "Sequence[Line]", begin: int, widths: Widths = (0, 0, 0)) -> Widths:
    """Print; the widths of the middle columns."""
    from rich.text import Text

    from knet.inspect.timeline.timeline import cells

    for line, row in zip(lines, cells(lines, begin, widths), strict=True):
        styles = ("dim", "bold", "", STYLES.get(line.first.kind, ""), "dim")
        joined = Text("  ").join(Text(cell, style) for cell, style in zip(row, styles, strict=True))
        joined.rstrip()
        out.print(joined)
        widths = len(row[1]), len(row[2]), max(widths[2], min(len(row[3]), WIDTHS[2]))
    return widths
