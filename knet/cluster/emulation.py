"""A cluster's machines and what runs on them: what the supervisor has, and how the second follows from the first.

What the cluster is asked to be are a config and a topology's plan, and by these what is `wanted` on each machine; what
it is are an `Underlay` and `Processes`.  When the wishes change, the others become what they say.
"""

import shutil
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from knet.api.families import IPV4
from knet.cluster import components
from knet.cluster.components import Component
from knet.cluster.config import ClusterConfig
from knet.cluster.errors import KnetError
from knet.cluster.pools import pool
from knet.cluster.processes import Processes
from knet.cluster.state import StateDir
from knet.cluster.zygote import Zygote
from knet.kernel.aside import Aside
from knet.kernel.inhabitants import end_all
from knet.underlay import validate
from knet.underlay.families import in_families
from knet.underlay.machine import Machine
from knet.underlay.membership import Joining, Membership, join, leave
from knet.underlay.plan import CONTROL_PLANE, ROUTER, WORKER, MachineSpec, Plan
from knet.underlay.topology import describe, load
from knet.underlay.underlay import Underlay


class Emulation:
    """``listen`` is the API server's socket on the host.  Nothing runs yet (`knet.cluster.startup`).

    KnetError or TopologyError where there can be no such cluster.
    """

    def __init__(self, config: ClusterConfig, zygote: Zygote, listen: socket.socket) -> None:
        self.config = config
        self.listen = listen
        self.state = StateDir(config.name)
        topology = describe(load(config.topo, config.workers))
        #: as the topology has it, in IPv4
        self.plan = self._checked(Membership.read(self.state.membership).applied(topology))
        self.pool = str(pool(config, self.plan))
        nameservers = [config.dns_upstream] if config.dns_upstream else []
        self.underlay = Underlay(in_families(self.plan, config.families), self.state.lib, nameservers)
        self.processes = Processes(self.state, self.underlay, zygote)
        self.started = time.monotonic()
        self.life = uuid.uuid4().hex
        #: whether it has answered
        self.ready = False

    def _checked(self, plan: Plan) -> Plan:
        """A plan of IPv4, of which that of IPv6 is an image, if there is nothing wrong with it."""
        used = {"pods": self.config.pod_ranges, "Services": self.config.service_ranges}
        validate.check(plan, {use: str(by_family[IPV4]) for use, by_family in used.items() if IPV4 in by_family})
        return plan

    def machine(self, name: str) -> Machine:
        """KnetError where there is none of that name."""
        machine = self.underlay.machines.get(name)
        if machine is None:
            raise KnetError(f"there is no machine {name!r}; there are: {', '.join(self.underlay.machines)}")
        return machine

    def of_role(self, role: str) -> list[Machine]:
        return [machine for machine in self.underlay.machines.values() if machine.role == role]

    def wanted(self) -> Iterator[Component]:
        """What has to run by the config as it is now, in the order in which it starts."""
        for role in (CONTROL_PLANE, ROUTER, WORKER):
            for machine in self.of_role(role):
                yield from self._wanted_on(machine)

    def _wanted_on(self, machine: Machine) -> Iterable[Component]:
        config = msgspec.structs.replace(self.config, lb_pool=self.pool)
        return components.wanted(config, self.state, machine, self.plan)

    def issue(self, workers: Iterable[MachineSpec]) -> Aside:
        """Have certificates and kubeconfigs written that are not there yet."""
        [control_plane] = self.underlay.plan.of_role(CONTROL_PLANE)
        port = self.listen.getsockname()[1]

        def issue() -> None:
            from knet.cluster import certificates  # cryptography: not for as long as a cluster lives

            certificates.issue(self.config, self.state, port, control_plane, workers)

        return Aside(issue)

    def configure(self, **changes: Any) -> dict[str, str]:
        """Go on with other options; what becomes of components by it, by title."""
        self.config = msgspec.structs.replace(self.config, **changes).check()
        return self.processes.become(self.wanted())

    def join(self, joining: Joining) -> tuple[str, str]:
        """A new worker: plugged in, given its certificates, its components started; its switch and address."""
        plan, joining = join(self.plan, joining)
        self._become(self._checked(plan))
        machine = self.underlay.machines[joining.name]
        self.issue([machine.spec]).wait()
        for component in self._wanted_on(machine):
            self.processes.begin(component)
        self._remember(joining)
        return joining.switch, machine.address

    def leave(self, machine: str, dry_run: bool = False) -> None:
        """A worker's end: its processes as by a power cut, its links, its disk; or just whether that can be."""
        plan = leave(self.plan, machine)
        if dry_run:
            return
        self.processes.machine_leaves(machine)
        end_all(self.underlay.machines[machine].namespaces.fds["mnt"])
        self._become(plan)
        shutil.rmtree(self.state.machine(machine))
        self._remember(machine)

    def _become(self, plan: Plan) -> None:
        self.underlay.become(in_families(plan, self.config.families))
        self.plan = plan

    def _remember(self, step: Joining | str) -> None:
        Membership.read(self.state.membership).then(step).write(self.state.membership)
