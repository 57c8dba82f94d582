"""A probe's whole way, hop by hop, there and back, with the object because of which each hop is as it is.  Pure.

`walk` decides, `telling` puts it into the vocabulary that what was observed is told in, too
(`knet.inspect.trace.hops`).
"""

from knet.api.families import family_of
from knet.inspect.predict.services import Translated
from knet.inspect.predict.telling import POD, Teller, key_of_site
from knet.inspect.predict.verdicts import ended
from knet.inspect.predict.walk import NONE, Ends, Gateways, returns, source_of, walk
from knet.inspect.trace.evidence import DROPPED, Prediction, Probe
from knet.inspect.trace.hops import BACK, THERE
from knet.inspect.world import World
from knet.proxy.snapshot import Endpoint


def expected(world: World, probe: Probe, chosen: str = "", gateways: Gateways = NONE) -> Prediction:
    """What should become of a probe.

    ``chosen`` is the endpoint, as it is printed (10.244.2.5:8080), to which chance has sent it, where that is known;
    ``gateways`` are the next hops by machine and route, likewise.
    KeyError for a site that the world has not.
    """
    pod = world.pods[key_of_site(probe.site)] if probe.site.startswith(POD) else None
    machine = pod.spec.nodeName if pod else world.topology.machines[probe.site].name
    packet = probe.packet._replace(source=probe.packet.source or _source(world, probe))
    start = Ends(packet.source, packet.destination, packet.destination_port, packet.protocol)

    def choose(found: Translated) -> Endpoint:
        return next((row for row in found.endpoints if str(row) == chosen), found.endpoints[0])

    stages = list(walk(world, machine, start, pod is None, choose, gateways))
    there = Teller(world, THERE, packet)
    if pod:
        there.leave_pod(probe.site, machine)
    for stage in stages:
        there.stage(stage)
    if verdict := ended(stages[-1]):
        return Prediction(tuple(there.hops), verdict.outcome, verdict.because, verdict.text, verdict.culprit)
    there.arrive(stages[-1])
    back = Teller(world, BACK, there.packet.reversed, packet.source_port)
    stretches = list(returns(world, stages))
    back.answer(stretches, there.hops[-1].site, probe.site)
    hops = (*there.hops, *back.hops)
    if problem := next((row.problem for row in stretches if row.problem), None):
        return Prediction(hops, DROPPED, problem.because, f"its answer: {problem.text}", problem.culprit)
    return Prediction(hops)


def _source(world: World, probe: Probe) -> str:
    """The address that a site sends under."""
    if not probe.site.startswith(POD):
        return source_of(world, probe.site, probe.packet.destination)
    rows = world.pods[key_of_site(probe.site)].status.podIPs
    return next(row.ip for row in rows if family_of(row.ip) == family_of(probe.packet.destination))
