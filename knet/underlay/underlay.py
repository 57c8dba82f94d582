"""A cluster's network, running: machines to start components in, links to be read, changed and cut.

The supervisor's door to the underlay.  For Mininet's own vocabulary there is `Underlay.net`.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from knet.kernel.inhabitants import end_all, go_on, stop_all
from knet.underlay import isolation
from knet.underlay.isolation import Partition
from knet.underlay.machine import Machine
from knet.underlay.network import Network
from knet.underlay.plan import Plan
from knet.underlay.state import OFF, PAUSED, RUNNING, LinkError, LinkState


class Underlay:
    """``state_dir`` is the cluster's (/var/lib/knet/NAME); ``nameservers`` are those of the machines themselves.

    Everything is created in the network namespace of the thread that calls `start`, which must be the cluster's own.
    """

    def __init__(self, plan: Plan, state_dir: Path | str, nameservers: Sequence[str] = ()) -> None:
        self.plan = plan
        self.net = Network(plan, Path(state_dir), nameservers)
        self.partitions: tuple[Partition, ...] = ()
        self._power: dict[str, str] = {}

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
        names = {machine.name for machine in plan.machines}
        if self.partitions or self._power:
            self._isolate(self.partitions, {name: power for name, power in self._power.items() if name in names})

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
        """Back to what the topology declares: whole or cut, with the declared impairments.  `LinkError` as above."""
        self.net.running_cables.reset(a, b)

    # ---- machines that do not hear each other, or anybody ------------------------------------------------------

    def partition(self, groups: Sequence[Sequence[str]]) -> Partition:
        """Keep groups of machines apart, see `knet.underlay.isolation`; the partition as it is understood."""
        wanted = isolation.partition(self.plan, groups)
        self._isolate((*(known for known in self.partitions if known != wanted), wanted), self._power)
        return wanted

    def heal(self, groups: Sequence[Sequence[str]] | None = None) -> None:
        """End one partition, told as it was made, or all.  LinkError if there is none of these groups."""
        gone = self.partitions if groups is None else (isolation.partition(self.plan, groups),)
        for one in gone:
            if one not in self.partitions:
                there = "; ".join(map(isolation.text, self.partitions)) or "none"
                raise LinkError(f"there is no partition {isolation.text(one)}; there are: {there}")
        self._isolate(tuple(known for known in self.partitions if known not in gone), self._power)

    def power(self, machine: str) -> str:
        """Whether a machine is running, paused or off (`knet.underlay.state`)."""
        return self._power.get(machine, RUNNING)

    def pause(self, machine: str) -> None:
        """Stop all processes of a machine where they are; its kernel answers nobody, and its cables stay whole."""
        self._needs(machine, RUNNING)
        self._isolate(self.partitions, {**self._power, machine: PAUSED})
        stop_all(self.machines[machine].namespaces.fds["mnt"])

    def resume(self, machine: str) -> None:
        """Let a paused machine go on."""
        self._needs(machine, PAUSED)
        go_on(self.machines[machine].namespaces.fds["mnt"])
        self._isolate(self.partitions, self._power_without(machine))

    def kill(self, machine: str) -> None:
        """Cut a machine's power: its processes end at once, its cables lose their carrier; its disk stays."""
        self._needs(machine, RUNNING, PAUSED)
        end_all(self.machines[machine].namespaces.fds["mnt"])
        self.net.running_cables.set_power(machine, False)
        if self.power(machine) == PAUSED:
            self._isolate(self.partitions, self._power_without(machine))
        self._power[machine] = OFF

    def boot(self, machine: str) -> None:
        """Give a machine that is off its power back: it starts with nothing but its disk."""
        self._needs(machine, OFF)
        self.net.replace(machine)
        del self._power[machine]

    def _power_without(self, machine: str) -> dict[str, str]:
        return {name: power for name, power in self._power.items() if name != machine}

    def _needs(self, machine: str, *states: str) -> None:
        if machine not in self.machines:
            raise LinkError(f"there is no machine {machine}; there are {', '.join(self.machines)}")
        if self.power(machine) not in states:
            raise LinkError(f"{machine} is {self.power(machine)}, not {' or '.join(states)}")

    def _isolate(self, partitions: tuple[Partition, ...], power: dict[str, str]) -> None:
        self.net.isolate(partitions, {name for name, state in power.items() if state == PAUSED})
        self.partitions, self._power = partitions, power
