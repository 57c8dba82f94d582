"""The connections that machines, or pods, track: with the names of both ends, and what became of their addresses.

::

    n1  tcp  default/client:41822 → svc/default/web:80  ⇒ default/web-0:8080             ESTABLISHED  431999 s
    n1  udp  n2:34567 → svc/kube-system/kube-dns:53     ⇒ kube-system/coredns-x:53 as n1:8053   replied  118 s

What follows ⇒ is the translation: who answers in place of the destination, and as whom the source appears there.
"""

import errno
import selectors
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

from knet.api.families import host_port
from knet.api.objects import JSON, Service
from knet.client.controller import Key
from knet.errors import KnetError
from knet.inspect.explain.objects import find
from knet.inspect.names import Names
from knet.inspect.places import Site
from knet.inspect.world import World, addresses_of
from knet.kernel.conntrack import Conntrack, ConntrackEvents, Tracked
from knet.kernel.namespaces import Namespaces, entered
from knet.kernel.protocols import NUMBERS, name_of

#: what `followed` says where events came faster than they were read
LOST = "lost"
#: kinds that connections are of
KINDS = ("Service", "Pod", "Node")
Test = Callable[[Tracked], bool]


class Row(NamedTuple):
    """A connection in a place's table; of one that is followed, also what happened: new, update, destroy, or `LOST`."""

    place: str
    tracked: Tracked | None
    happened: str = ""


def table(sites: Iterable[Site]) -> Iterator[Row]:
    """All connections, place by place."""
    for site in sites:
        with entered(Namespaces({"net": site.netns})):
            conntrack = Conntrack()
        with conntrack:
            yield from (Row(site.name, tracked) for tracked in sorted(conntrack.tracked()))


def followed(sites: Iterable[Site]) -> Iterator[Row]:
    """What happens to connections from now on, for ever."""
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for site in sites:
            with entered(Namespaces({"net": site.netns})):
                events = ConntrackEvents()
            stack.callback(events.close)
            selector.register(events, selectors.EVENT_READ, (site.name, events))
        while True:
            for key, _ in selector.select():
                name, events = key.data
                try:
                    yield from (Row(name, event.tracked, event.what) for event in events.read())
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    yield Row(name, None, LOST)


# ---- whose they are --------------------------------------------------------------------------------------------------


def of(world: World, kind: str, key: Key) -> Test:
    """Tells the connections of an object: a Service's by its addresses and ports, a pod's or node's by any end.

    KnetError for a kind that has none.
    """
    if find(world, kind, key) is None and kind in KINDS:
        raise KnetError(f"{kind} {key} has just gone")
    if kind == "Service":
        return _of_service(world, world.services[key])
    if kind == "Pod":
        return _with_any({row.ip for row in world.pods[key].status.podIPs})
    if kind == "Node":
        return _with_any({address for address, owner in world.owners.items() if owner[:2] == ("node", key.name)})
    raise KnetError(f"no connection is a {kind}'s: ask for a Service, a Pod or a Node")


def _with_any(addresses: set[str]) -> Test:
    def test(row: Tracked) -> bool:
        ends = {row.flow.source, row.flow.destination, row.flow.answered_by, row.answers_to}
        return not addresses.isdisjoint(ends)

    return test


def _of_service(world: World, service: Service) -> Test:
    own, nodes = set(addresses_of(service)), {row for row, owner in world.owners.items() if owner.kind == "node"}
    ports = {(NUMBERS[row.protocol.lower()], row.port) for row in service.spec.ports}
    node_ports = {(NUMBERS[row.protocol.lower()], row.nodePort) for row in service.spec.ports if row.nodePort}

    def test(row: Tracked) -> bool:
        flow = row.flow
        asked = flow.protocol, flow.destination_port
        return (flow.destination in own and asked in ports) or (flow.destination in nodes and asked in node_ports)

    return test


# ---- as people and programs read them --------------------------------------------------------------------------------


def ends(tracked: Tracked, names: Names) -> tuple[str, str, str]:
    """From, to, and the translation ("" for none)."""
    flow = tracked.flow
    translation = []
    if tracked.dnat:
        translation.append(_end(flow.answered_by, flow.answered_by_port, names))
    if tracked.snat:
        translation.append(f"as {_end(tracked.answers_to, tracked.answers_to_port, names)}")
    source, destination = (
        _end(flow.source, flow.source_port, names),
        _end(flow.destination, flow.destination_port, names),
    )
    return source, destination, " ".join(translation)


def _end(address: str, port: int, names: Names) -> str:
    return host_port(names.text(address), port)


def protocol(tracked: Tracked) -> str:
    return name_of(tracked.flow.protocol)


def state(tracked: Tracked) -> str:
    """TCP's, and what else is to be known: nobody has answered yet, or it may be dropped to make room."""
    known = "" if tracked.replied else "unreplied"
    return " ".join(filter(None, (tracked.state, known))) or ("assured" if tracked.assured else "replied")


def packets(tracked: Tracked) -> str:
    """``12/9 (1500/8000 bytes)``, of both directions; "" where nobody counts."""
    if tracked.sent is None or tracked.answered is None:
        return ""
    return f"{tracked.sent[0]}/{tracked.answered[0]} ({tracked.sent[1]}/{tracked.answered[1]} bytes)"


def as_json(row: Row, names: Names) -> JSON:
    if row.tracked is None:
        return {"place": row.place, "event": row.happened}
    tracked, flow = row.tracked, row.tracked.flow
    found: JSON = {"place": row.place} | ({"event": row.happened} if row.happened else {})
    found |= {"protocol": protocol(tracked), "state": state(tracked), "assured": tracked.assured}
    pairs: Mapping[str, tuple[str, int]] = {
        "source": (flow.source, flow.source_port),
        "destination": (flow.destination, flow.destination_port),
        "answeredBy": (flow.answered_by, flow.answered_by_port),
        "answersTo": (tracked.answers_to, tracked.answers_to_port),
    }
    for name, (address, port) in pairs.items():
        found[name] = {"address": address, "port": port, "name": owner.short if (owner := names.of(address)) else ""}
    found |= {"timeoutSeconds": tracked.timeout, "mark": tracked.mark, "zone": tracked.zone}
    for name, counted in (("sent", tracked.sent), ("answered", tracked.answered)):
        if counted is not None:
            found[name] = {"packets": counted[0], "bytes": counted[1]}
    return found


def number_of(name: str) -> int:
    """Of a protocol: tcp, udp, sctp, icmp …; KnetError for others."""
    try:
        return NUMBERS.get(name.lower()) or socket.getprotobyname(name)
    except OSError:
        raise KnetError(f"there is no protocol called {name!r}: {', '.join(sorted(NUMBERS))}") from None
