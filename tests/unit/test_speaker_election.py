"""Who holds a load balancer's address: the election in simulated time, on links that break."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from knet.api.objects import Meta, Node
from knet.speaker.advert import Advert, decode, encode
from knet.speaker.election import Election
from knet.speaker.ranking import candidates, homes, places, ranking
from tests.cluster_objects import endpoint, endpoint_slice, service

INTERVAL = 0.2
VIPS = ("172.18.0.200", "172.18.0.201", "fd00::1")


@dataclass
class Link:
    """Machines on one link, some of which may be cut off; time goes from one deadline to the next."""

    nodes: tuple[str, ...]
    now: float = 0
    machines: dict[str, Election] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    wakes: dict[str, float | None] = field(default_factory=dict)
    announced: list[tuple[float, str, str]] = field(default_factory=list)

    def start(self, node: str, addresses: Collection[str] = VIPS) -> None:
        self.machines[node] = Election(node, INTERVAL)
        self.machines[node].stand(places(dict.fromkeys(addresses, self.nodes), node), self.now)
        self._turn(node)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            due = [(wake, node) for node, wake in self.wakes.items() if wake is not None]
            if not due or min(due)[0] > end:
                break
            self.now, node = max(min(due)[0], self.now), min(due)[1]
            self._turn(node)
        self.now = end

    def stop(self, node: str) -> None:
        self.machines[node].retire()
        self._turn(node)
        self.kill(node)

    def kill(self, node: str) -> None:
        del self.machines[node], self.wakes[node]

    def holders(self, address: str) -> list[str]:
        return [node for node, machine in self.machines.items() if address in machine.held]

    def _turn(self, node: str) -> None:
        turn = self.machines[node].turn(self.now)
        self.wakes[node] = turn.wake
        self.announced += [(self.now, node, address) for address in (*turn.taken, *turn.reclaimed)]
        if turn.advert is None:
            return
        said = decode(encode(turn.advert))
        assert said == turn.advert
        for other, machine in list(self.machines.items()):
            if other != node and not {node, other} & self.cut and machine.heard(said, self.now):
                self._turn(other)


def test_each_address_has_one_holder_the_first_in_rank() -> None:
    link = Link(("n1", "n2", "n3"))
    for node in link.nodes:
        link.start(node)
    link.run(2)
    assert [link.holders(vip) for vip in VIPS] == [[ranking(vip, link.nodes)[0]] for vip in VIPS]


def test_a_silent_holder_is_replaced_by_the_next_and_comes_back() -> None:
    link = Link(("n1", "n2", "n3"))
    for node in link.nodes:
        link.start(node)
    link.run(2)
    first, second, _ = ranking(VIPS[0], link.nodes)
    link.cut = {first}
    link.run(4.5 * INTERVAL)
    assert set(link.holders(VIPS[0])) == {first, second}, "the one that is cut off cannot know"
    link.cut = set()
    link.announced.clear()
    link.run(2 * INTERVAL)
    assert link.holders(VIPS[0]) == [first]
    assert (first, VIPS[0]) in [(node, address) for _, node, address in link.announced], "neighbours believed the other"


def test_one_that_stops_is_not_waited_for() -> None:
    link = Link(("n1", "n2", "n3"))
    for node in link.nodes:
        link.start(node)
    link.run(2)
    first, second, _ = ranking(VIPS[0], link.nodes)
    link.stop(first)
    link.run(INTERVAL)
    assert link.holders(VIPS[0]) == [second]


def test_who_has_the_address_already_goes_on_holding_it() -> None:
    election = Election("n1", INTERVAL)
    election.stand({VIPS[0]: 2}, 0, present={VIPS[0]})
    turn = election.turn(0)
    assert election.held == {VIPS[0]} and turn.taken == () and turn.advert == Advert("n1", {VIPS[0]: 2})


def test_an_address_that_is_no_longer_a_candidates_is_given_up() -> None:
    election = Election("n1", INTERVAL)
    election.stand({VIPS[0]: 0, VIPS[1]: 0}, 0)
    election.turn(0)
    election.stand({VIPS[1]: 0}, 1)
    turn = election.turn(1)
    assert turn.lost == (VIPS[0],) and turn.advert == Advert("n1", {VIPS[1]: 0}, (VIPS[0],))


def test_nothing_stirs_without_addresses() -> None:
    election = Election("n1", INTERVAL)
    election.stand({}, 0)
    turn = election.turn(0)
    assert turn.advert is None and turn.wake is None


_EVENTS = st.sampled_from(["cut", "heal", "kill", "stop", "start"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_EVENTS, st.integers(0, 3), st.floats(0, 1.5)), max_size=12))
def test_whatever_happens_one_machine_holds_each_address_in_the_end(events: list[tuple[str, int, float]]) -> None:
    link = Link(("n1", "n2", "n3", "n4"))
    for node in link.nodes:
        link.start(node)
    for event, number, pause in events:
        node = link.nodes[number]
        if event == "cut":
            link.cut.add(node)
        elif event == "heal":
            link.cut.discard(node)
        elif event == "start" and node not in link.machines:
            link.start(node)
        elif event in ("kill", "stop") and node in link.machines:
            getattr(link, event)(node)
        link.run(pause)
    link.run(5 * INTERVAL)
    together = [node for node in link.machines if node not in link.cut]
    for vip, node in itertools.product(VIPS, link.machines):
        best = next((row for row in ranking(vip, link.nodes) if row in together), None)
        alone = node in link.cut
        assert (vip in link.machines[node].held) == (alone or node == best)


def test_adverts_of_strangers_are_passed_over() -> None:
    for data in (b"", b"{}", b"\xff\x00", b"[1]", b'{"node": 3}', b'{"node": "x", "holds": {"a": "b"}}'):
        assert decode(data) is None


def test_candidates_are_all_machines_or_those_with_ready_endpoints() -> None:
    excluded = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    nodes = [Node(metadata=Meta(name=f"n{number}")) for number in (1, 2, 3, 4)]
    nodes.append(Node(metadata=Meta(name="n5", labels=excluded)))
    slices = [
        endpoint_slice("web", "10.244.1.2", endpoint("10.244.2.2", ready=False), "10.244.3.2", "10.244.5.2"),
        endpoint_slice("other", "10.244.4.2"),
    ]
    local = homes(slices)["default", "web"]
    assert candidates(service("web"), local, nodes) == ["n1", "n2", "n3", "n4"]
    assert candidates(service("web", externalTrafficPolicy="Local"), local, nodes) == ["n1", "n3"]
