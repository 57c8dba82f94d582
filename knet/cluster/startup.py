"""The order in which a cluster comes up: machines, identities, components; add-ons and answers; what needs those."""

import socket
from collections.abc import Callable

from knet.cluster import channel, components
from knet.cluster.components import Component
from knet.cluster.control import Control
from knet.cluster.emulation import Emulation
from knet.cluster.status import status
from knet.underlay.plan import CONTROL_PLANE, WORKER

#: seconds for everything from the first process to Ready; a machine that is emulated itself (QEMU without KVM) needs 75
UP_DEADLINE = 300


def build(emulation: Emulation, tell: Callable[[str, str], None]) -> None:
    """Machines, identities, components; KnetError or TopologyError where the request cannot be met."""
    underlay, processes, plan = emulation.underlay, emulation.processes, emulation.config.faults
    certificates = emulation.issue(underlay.plan.of_role(WORKER))
    underlay.start()
    tell("machines", " ".join(underlay.machines))
    certificates.wait()
    processes.wait_ready()
    if plan:
        from knet.cluster.faults.run import load, survey  # an ordinary cluster has none

        wanted = [{"name": row.name, "machine": row.machine, "delay": ""} for row in emulation.wanted()]
        survey(load(plan), {**status(emulation), "components": wanted})
    for component in emulation.wanted():
        api_server = component.name == "kube-apiserver"
        processes.begin(component, {"listen_fds": [emulation.listen.fileno()]} if api_server else {})


def bootstrap(emulation: Emulation) -> socket.socket:
    """Start the one-shot component that applies the add-ons and waits until the cluster answers: where it tells."""
    config, workers = emulation.config, [machine.name for machine in emulation.of_role(WORKER)]
    ours, theirs = channel.pair()
    component = Component(
        "bootstrap",
        workers[0],
        "knet.cluster.bootstrap",
        {
            "kubeconfig": str(emulation.state.kubeconfig(workers[0], "admin")),
            "nodes": workers,
            "dns_ip": config.dns_ip,
            "ingress": config.ingress,
            "store": config.store,
            "deadline": UP_DEADLINE,
            "off": config.switched_off(),
        },
    )
    with theirs:
        emulation.processes.begin(component, {"listen_fds": [theirs.fileno()]}, once=True)
    return ours


def complete(emulation: Emulation, control: Control) -> None:
    """The cluster answers: show its network as objects, and begin with the faults that it was to have."""
    emulation.ready = True
    [machine] = emulation.of_role(CONTROL_PLANE)
    control.open_door(machine)
    emulation.processes.begin(components.lab(emulation.state, machine), {"wake_fds": [control.wake]})
    if plan := emulation.config.faults:
        control.open_door()
        emulation.processes.begin(components.faults(plan), once=True)
