"""The commands from what the kernel holds to what is wanted.  Pure.

A TCP real server that is not wanted any more gets no new connections (weight 0) and stays as long as it has some: a
rolling update breaks no download.  UDP has no end to wait for; with net.ipv4.vs.expire_nodest_conn the next packet of
such a flow finds another real server.
"""

import socket
from collections.abc import Iterator, Mapping

from knet.kernel.ipvs import Change, Held, Server, State
from knet.proxy.ipvs.servers import Wanted


def changes(wanted: Mapping[Server, Wanted], held: Mapping[Server, Held]) -> list[Change]:
    """New virtual servers first, so that none is missing while others go."""
    made = [change for server, row in wanted.items() for change in _brought(server, row, held.get(server))]
    return made + [Change("D", server) for server in held if server not in wanted]


def _brought(server: Server, wanted: Wanted, held: Held | None) -> Iterator[Change]:
    if held is None:
        yield Change("A", server, wanted.scheduling)
    elif held.scheduling != wanted.scheduling:
        yield Change("E", server, wanted.scheduling)
    reals = held.reals if held else {}
    for real in sorted(wanted.reals):
        if real not in reals:
            yield Change("a", server, real=real)
        elif reals[real].weight != 1:
            yield Change("e", server, real=real)
    for real, state in sorted(reals.items()):
        if real in wanted.reals:
            continue
        if not _stays(server, state):
            yield Change("d", server, real=real)
        elif state.weight:
            yield Change("e", server, real=real, weight=0)


def _stays(server: Server, state: State) -> bool:
    """Whether a real server that is not wanted is kept for its connections."""
    return server.protocol == socket.IPPROTO_TCP and state.connections > 0


def leaving(wanted: Wanted, held: Held) -> bool:
    """Whether a real server goes: how many connections it has matters then."""
    return not held.reals.keys() <= wanted.reals


def outcome(wanted: Mapping[Server, Wanted], held: Mapping[Server, Held]) -> dict[Server, Held]:
    """What the kernel holds once the changes have been made."""
    found = {}
    for server, row in wanted.items():
        before = held[server].reals if server in held else {}
        staying = {real: state._replace(weight=0) for real, state in before.items() if _stays(server, state)}
        found[server] = Held(row.scheduling, staying | dict.fromkeys(row.reals, State()))
    return found
