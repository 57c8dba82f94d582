"""A cluster's network, running: machines to start components in, links to be read, changed and cut.

The supervisor's door to the underlay.  For Mininet's own vocabulary there is `Underlay.net`.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from knet.underlay.machine import Machine
from knet.underlay.network import Network
from knet.underlay.plan import Plan
from knet.underlay.state import LinkState


class Underlay:
    """``state_dir`` is the cluster's (/var/lib/knet/NAME); ``nameservers`` are those of the machines themselves.

    Everything is created in the network namespace of the thread that calls `start`, which must be the cluster's own.
    """

    def __init__(self, plan: Plan, state_dir: Path | str, nameservers: Sequence[str] = ()) -> None:
        self.plan = plan
        self.net = Network(plan, Path(state_dir), nameservers)

    def __enter__(self) -> "Underlay":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Build everything; after a failure nothing is left.  OSError says what failed."""
        self.net.start()

    def become(self, plan: Plan) -> None:
        """Let machines join and leave, so that the network is ``plan``; OSError says what failed."""
        self.net.become(plan)
        self.plan = plan

    def stop(self) -> None:
        """Take everything down.  Processes that others started in the machines are theirs to end, before this."""
        self.net.stop()

    @property
    def machines(self) -> dict[str, Machine]:
        """The running machines by name, in the order in which the topology declares them."""
        return {machine.name: machine for machine in self.net.hosts}

    def links(self) -> list[LinkState]:
        """All links as they are now, in the order in which the topology declares them."""
        return self.net.running_cables.states()

    def change_link(
        self,
        a: str,
        b: str,
        up: bool | None = None,
        direction: str | None = None,
        **options: object,
    ) -> None:
        """Change the links between nodes ``a`` and ``b``: a topology's options; None leaves one as it is, 0 ends it.

        ``direction`` names the node whose packets are meant, None means either's.  ``up`` cuts (False) or mends (True)
        the cable: both ends lose their carrier, addresses and routes stay.
        Raises `LinkError` in one line where there is no such link, a value has no meaning, or the kernel lacks a
        module; then nothing has changed.
        """
        cables = self.net.running_cables
        cables.between(a, b)
        if any(value is not None for value in options.values()):
            cables.impair(a, b, direction, options)
        if up is not None:
            cables.set_up(a, b, up)

    def reset_link(self, a: str, b: str) -> None:
        """Back to what the topology declares: mended, with the declared impairments.  `LinkError` as above."""
        self.net.running_cables.reset(a, b)
