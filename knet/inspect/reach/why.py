"""Why a packet should get there: routes, translations and policies on its predicted way, with their objects.  Pure."""

from collections.abc import Iterator

from knet.inspect.predict.verdicts import machine_of
from knet.inspect.predict.walk import Ends, Stage, source_of, walk
from knet.inspect.reach.ends import End
from knet.inspect.world import World


def why(world: World, source: End, destination: End, protocol: str) -> str:
    """``n1 route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 (Node n2 podCIDR) › n2 route …``"""
    machine = machine_of(world, source.owner)
    from_here = source.address not in world.pod_at
    start = source_of(world, machine, destination.address) if from_here else source.address
    packet = Ends(start, destination.address, destination.port, protocol)
    stages = walk(world, machine, packet, from_here, lambda translated: translated.endpoints[0])
    return " › ".join(word for stage in stages for word in _words(stage))


def _words(stage: Stage) -> Iterator[str]:
    if stage.translated and stage.translated.port and stage.endpoint:
        yield f"{stage.machine} Service {stage.translated.port.name} → {stage.endpoint}"
    for row in stage.rulings:
        if row.allowed:
            yield f"{stage.machine} {row.direction} allowed by {row}"
    if stage.leg:
        yield f"{stage.machine} route {stage.leg.known.route} ({stage.leg.known.cause})"
