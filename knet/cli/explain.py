"""What an object changes on each machine, before it is applied or since, and its rules in the kernel."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from knet.cli.terminal import PACKETS, Name, Namespace, attached, out
from knet.cluster import channel
from knet.cluster.config import DEFAULT_NAME
from knet.cluster.errors import KnetError

app = typer.Typer()
_VERBS = ("apply", "delete")


@app.command(rich_help_panel=PACKETS)
def explain(
    objects: Annotated[
        list[str] | None, typer.Argument(metavar="[apply|delete] [OBJECT…]", help="svc/web, networkpolicy/deny …")
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option("-f", "--filename", metavar="FILE", help="Manifests; - is stdin.")
    ] = None,
    namespace: Namespace = "default",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    name: Name = DEFAULT_NAME,
) -> None:
    """What an object changes on each machine: rules, routes, tunnels, DNS, connections; as a difference.

    knet explain svc/web           what is there because of it
    knet explain apply -f x.yaml   what would change if that were applied
    knet explain delete svc/web    what would change if it were gone
    """
    words = list(objects or ())
    verb = words.pop(0) if words and words[0] in _VERBS else ""
    if verb == "apply" and (words or not file):
        raise KnetError("apply what? knet explain apply -f x.yaml")
    if not (words or file):
        raise KnetError(f"explain what? knet explain {verb or 'apply'} {'svc/web' if verb else '-f x.yaml'}")
    if file and not verb:
        raise KnetError("-f goes with apply or delete: knet explain apply -f x.yaml")
    with attached(name) as cluster:
        manifests = [sys.stdin.read() if str(path) == "-" else path for path in file or ()]
        found = cluster.explain(*words, verb=verb, manifests=manifests, namespace=namespace)
    from knet.inspect.explain.report import as_json, lines

    if json:
        sys.stdout.write(channel.pretty([as_json(row) for row in found]))
    else:
        _print(map(lines, found))


@app.command(rich_help_panel=PACKETS)
def rules(
    objects: Annotated[list[str], typer.Argument(metavar="OBJECT…", help="svc/web, pod/…, networkpolicy/…, node/n2.")],
    on: Annotated[list[str] | None, typer.Option("--on", metavar="MACHINE", help="On these machines only.")] = None,
    namespace: Namespace = "default",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    name: Name = DEFAULT_NAME,
) -> None:
    """The rules of an object on each machine, as the kernel has them now, with counters; ! is missing, ? too many."""
    with attached(name) as cluster:
        found = cluster.rules(*objects, machines=on or (), namespace=namespace)
    from knet.inspect.rules.report import as_json, pieces

    if json:
        sys.stdout.write(channel.pretty([as_json(row) for row in found]))
    else:
        _print(map(pieces, found))


def _print(texts: Iterable[Iterable[Any]]) -> None:
    """Lines, each dimmed from where its remark begins; an empty one between two objects."""
    for place, text in enumerate(texts):
        if place:
            out.print()
        for piece in text:
            whole = Text(str(piece), piece.style)
            whole.stylize("not bold dim", len(piece.text))
            out.print(whole)
