"""What all commands share: the application, its options, and how they ask, print and refuse."""

import os
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from knet.api.objects import JSON
from knet.cluster import channel, preflight
from knet.cluster.errors import KnetError
from knet.cluster.state import StateDir, all_clusters

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""A Kubernetes cluster whose network you can take apart.

    Machines, switches and links are emulated on this kernel; pods are network namespaces; kubectl just works.

      sudo knet up            bring a cluster up       kubectl get nodes
      sudo knet shell         Mininet's command line   n1 ping -c1 n2
      sudo knet down          end it, nothing left
    """,
)
#: without emoji: fd00:198:51:100::1 holds the name of one
out = Console(highlight=False, soft_wrap=True, emoji=False)

Name = Annotated[
    str, typer.Option("--name", "-n", envvar="KNET_NAME", metavar="NAME", help="Which cluster.", show_default=True)
]

Namespace = Annotated[
    str, typer.Option("--namespace", "-N", metavar="NAMESPACE", help="Where objects are, if nothing else is said.")
]

#: under which heading of ``knet --help`` a command stands
LIFE = "A cluster's life"
UNDERLAY = "Machines and links"
COMPONENTS = "Components"
PACKETS = "Packets, and why"


def choice(values: tuple[str, ...]) -> str:
    """As a metavar."""
    return "|".join(values)


def need_root() -> None:
    """KnetError for anybody else."""
    if os.geteuid() != 0:
        raise KnetError(f"only root may do this; try: sudo {preflight.command_line()}")


def running(name: str) -> StateDir:
    """A cluster that is up; KnetError where it is not."""
    need_root()
    state = StateDir(name)
    if not state.up:
        hint = f"bring it up with: knet up --name {name}" if state.exists else f"there are: {known()}"
        raise KnetError(f"cluster {name} is not up; {hint}")
    return state


def ask(name: str, request: JSON) -> JSON:
    """What the supervisor answers to a request over its control socket; KnetError where it refuses."""
    return channel.request(running(name).control, request)[0]


def known() -> str:
    """All clusters, for a line that says which there are."""
    return ", ".join(state.name for state in all_clusters()) or "none (knet up makes one)"


def time_of(option: str, text: str) -> float:
    """Seconds of what an option was given (``5s``, ``500ms``); KnetError for what is no time."""
    from knet.cluster.faults.plan import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise KnetError(f"{option}: {error}") from None


def attached(name: str) -> Any:
    """The running cluster as a `knet.Cluster`; KnetError where it is not up."""
    running(name)
    from knet.cluster.facade import Cluster  # the API's client is for these commands alone

    return Cluster.attach(name)


def columns(*heads: str) -> Table:
    """As kubectl prints: upper-case heads, three spaces, no lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for head in heads:
        table.add_column(head, no_wrap=True)
    return table
