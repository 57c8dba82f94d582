"""Links and Machines of lab.knet.io: specs and statuses from the network, and wishes back to it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_harness import MERGE, Api, Server, running
from custom_harness import define

from knet.cluster.lab import translate
from knet.cluster.lab.definitions import LINKS, MACHINES, definitions
from knet.cluster.lab.translate import MachineWish, link_requests, link_wish, machine_requests, machine_wish
from knet.underlay import impairment
from knet.underlay.impairment import NONE, OPTIONS, changed
from knet.underlay.state import DOWN, NO_CARRIER, UP, LinkState, Sending

ENDS = ("n1", "s1")


def link(state: str = UP, n1: dict[str, Any] | None = None, s1: dict[str, Any] | None = None) -> LinkState:
    ends = []
    for node, options in zip(ENDS, (n1, s1), strict=True):
        impaired = changed(NONE, options or {})
        ends.append(Sending(node, f"{node}-eth0", impairment.options(impaired), impairment.text(impaired)))
    return LinkState((ends[0], ends[1]), state, 1500, True)


@pytest.mark.parametrize(
    ("seen", "spec"),
    [
        (link(), {"up": True}),
        (link(DOWN), {"up": False}),
        (link(NO_CARRIER), {"up": True}),  # whoever has no power or has set an interface down has cut no cable
        (
            link(n1={"delay": "20ms", "loss": 1}, s1={"delay": "20ms", "loss": 1}),
            {"up": True, "delay": "20ms", "loss": 1},
        ),
        (
            link(n1={"bw": 10, "loss": 5, "loss_correlation": 25}, s1={"bw": 10}),
            {"up": True, "bw": 10, "from": {"n1": {"loss": 5, "lossCorrelation": 25}}},
        ),
        (
            link(n1={"max_queue_size": 5}, s1={"max_queue_size": 6}),
            {"up": True, "from": {"n1": {"maxQueueSize": 5}, "s1": {"maxQueueSize": 6}}},
        ),
    ],
)
def test_a_links_spec_says_what_is_and_wishes_nothing_else(seen: LinkState, spec: dict[str, Any]) -> None:
    [(name, found)] = translate.links([seen]).items()
    assert (name, found.spec) == ("n1-s1", spec)
    assert found.wish == link_wish(spec, ENDS)
    assert link_requests(found.wish, found.wish) == []


def test_a_links_status_is_what_knet_link_shows() -> None:
    [found] = translate.links([link(n1={"delay": "20ms"})]).values()
    shown = {"state": "up", "impairment": "→ 20 ms ← free", "mtu": 1500, "interfaces": "n1-eth0 – s1-eth0"}
    assert found.status == shown


def test_of_a_wish_every_option_is_said() -> None:
    now = link_wish({"loss": 1}, ENDS)
    ended = dict.fromkeys(OPTIONS, 0)
    change = {"op": "change_link", "a": "n1", "b": "s1"}
    assert link_requests(link_wish({"delay": "5ms"}, ENDS), now) == [{**change, **ended, "delay": "5ms"}]
    assert link_requests(link_wish({"loss": 1, "up": False}, ENDS), now) == [{**change, "up": False}]
    assert link_requests(link_wish({"loss": 1, "from": {"s1": {"loss": 0}}}, ENDS), now) == [
        {**change, **ended, "loss": 1, "direction": "n1"},
        {**change, **ended, "direction": "s1"},
    ]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"from": {"n2": {"loss": 1}}}, "from: n2 is at neither end; there are n1 and s1"),
        ({"jitter": "1ms"}, "jitter needs a delay from which to deviate"),
    ],
)
def test_a_wish_that_makes_no_sense(spec: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        link_wish(spec, ENDS)


def test_machines_by_their_power_and_whom_they_do_not_hear() -> None:
    rows = [
        {"name": name, "role": "worker", "address": address, "state": state}
        for name, address, state in (
            ("n1", "1.1.1.1", "running"),
            ("n2", "1.1.1.2", "paused"),
            ("n3", "1.1.1.3", "off"),
        )
    ]
    found = translate.machines(rows, [], [[["n1"], ["n3", "n2"]]])
    assert {name: (seen.wish.power, seen.status["apart"]) for name, seen in found.items()} == {
        "n1": ("Running", "n2,n3"),
        "n2": ("Paused", "n1"),
        "n3": ("Off", "n1"),
    }


@pytest.mark.parametrize(
    ("now", "wish", "actions"),
    [
        ("Running", "Running", []),
        ("Running", "Paused", ["pause"]),
        ("Running", "Off", ["kill"]),
        ("Paused", "Running", ["resume"]),
        ("Paused", "Off", ["kill"]),
        ("Off", "Running", ["boot"]),
        ("Off", "Paused", ["boot", "pause"]),
    ],
)
def test_from_every_power_to_every_other(now: str, wish: str, actions: list[str]) -> None:
    asked = machine_requests("n1", MachineWish(wish), MachineWish(now))
    assert asked == [{"op": "power", "machine": "n1", "action": action} for action in actions]


def test_a_machine_whose_components_are_late() -> None:
    row = {"name": "n1", "role": "worker", "address": "1.1.1.1", "state": "running"}
    late = [{"name": name, "machine": "n1", "delay": by} for name, by in (("kubelet", "1s"), ("kube-proxy", ""))]
    [seen] = translate.machines([row], late, ()).values()
    assert (seen.spec, seen.status["delays"]) == ({"power": "Running", "delays": {"kubelet": "1s"}}, "kubelet 1s")
    wish = machine_wish({"delays": {"kubelet": "0", "kube-proxy": "300ms"}})
    assert machine_requests("n1", wish, seen.wish) == [
        {"op": "delay", "component": "kube-proxy@n1", "delay": "300ms"},
        {"op": "delay", "component": "kubelet@n1", "delay": "0us"},
    ]
    assert machine_requests("n1", wish, wish) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    async def prepare(api: Api) -> None:
        for manifest in definitions():
            await define(api, manifest)

    with running(tmp_path_factory.mktemp("lab")) as found:
        found.run(prepare)
        yield found


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"loss": 101}, "spec.loss in body should be less than or equal to 100"),
        ({"delay": "20"}, "spec.delay in body should match '^(0|\\d+(\\.\\d+)?(us|ms|s))$'"),
        ({"from": {"n1": {"corrupt": -1}}}, "spec.from.n1.corrupt in body should be greater than or equal to 0"),
        ({"up": "no"}, "spec.up in body must be of type boolean"),
    ],
)
def test_a_value_that_no_link_can_have_is_refused_when_it_is_written(
    server: Server, spec: dict[str, Any], complaint: str
) -> None:
    async def test(api: Api) -> None:
        body = {"apiVersion": LINKS.api_version, "kind": "Link", "metadata": {"name": "n1-s1"}, "spec": spec}
        refused = await api("POST", LINKS.path(), body)
        assert refused.code == 422 and complaint in refused.body["message"]

    server.run(test)


def test_specs_that_say_nothing_wish_what_is_usual(server: Server) -> None:
    async def test(api: Api) -> None:
        for row, usual in ((LINKS, {"up": True}), (MACHINES, {"power": "Running"})):
            body = {"apiVersion": row.api_version, "kind": row.kind, "metadata": {"name": "one"}}
            assert (await api("POST", row.path(), body)).body["spec"] == usual
            status = {"status": {"observedGeneration": 1, "message": "seen"}}
            path = row.path("", "one")
            told = (await api("PATCH", f"{path}/status", status, MERGE)).body
            assert (told["status"], told["metadata"]["generation"]) == (status["status"], 1)

    server.run(test)
