"""A timeline's text, JSON and picture; what of the past is not known."""

import asyncio
import json
import socket
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from knet.cli import app as cli
from knet.errors import KnetError
from knet.inspect.timeline import recorded
from knet.inspect.timeline.event import Event, short, since, spelled
from knet.inspect.timeline.grouping import grouped
from knet.inspect.timeline.recorded import Door, Recording
from knet.inspect.timeline.timeline import Timeline
from knet.kernel.recorder import Head

MS = 1_000_000
EVENTS = (
    Event(at=1000 * MS, actor="kubectl", kind="write", objects=("deployment/default/web",),
          text="created, replicas 2", revision=812, user="kubernetes-admin"),
    *(Event(at=(1010 + number) * MS, actor="kube-controller-manager", kind="write",
            objects=(f"pod/default/web-6c9f-{name}",), text="created", revision=814 + number,
            user="system:kube-controller-manager")
      for number, name in enumerate(("2xkqp", "9mzt4", "x8v2c"))),
    *(Event(at=1040 * MS, actor=f"kubelet@n{number}", kind="sandbox", objects=(f"pod/default/web-6c9f-{name}",),
            text=f"veth3f2a5c0{number} → cni0, eth0 has 10.244.{number}.7", duration=4 * MS)
      for number, name in ((1, "2xkqp"), (2, "9mzt4"))),
    *(Event(at=1058 * MS, actor=f"kube-proxy@n{number}", kind="rules", objects=("service/default/web",),
            text="rules in force → 10.244.1.7", duration=(number + 1) * MS) for number in (1, 2)),
    Event(at=1061 * MS, actor="packet", kind="packet", objects=("service/default/web",),
          text="first SYN to <10.244.1.7> & on"),
)  # fmt: skip

TEXT = """\
   0.0000  kubectl                  deployment/web                created, replicas 2, by kubernetes-admin  rev 812
  +0.0100  kube-controller-manager  pod/web-6c9f-{2xkqp,9mzt4,x8v2c}  created  rev 814–816
  +0.0400  kubelet@n1, n2           pod/web-6c9f-{2xkqp,9mzt4}  veth3f2a5c01 → cni0, eth0 has 10.244.1.7; veth3f2a5c02 → cni0, eth0 has 10.244.2.7  4 ms, 4 ms
  +0.0580  kube-proxy@n1, n2        service/web  rules in force → 10.244.1.7  2 ms, 3 ms
  +0.0610  packet                   service/web  first SYN to <10.244.1.7> & on
kubelet@n1 began 12 s ago; what happened there earlier is not known
"""  # noqa: E501
GAP = "kubelet@n1 began 12 s ago; what happened there earlier is not known"


def squeezed(text: str) -> list[str]:
    """Columns may be as wide as they like."""
    return ["  ".join(row.split()) for row in text.splitlines()]


def test_text_has_a_line_for_what_is_alike_with_revisions_machines_and_durations() -> None:
    assert squeezed(Timeline(EVENTS, (GAP,)).text()) == squeezed(TEXT)


def test_every_event_can_have_a_line_of_its_own() -> None:
    assert len(Timeline(EVENTS).text(every=True).splitlines()) == len(EVENTS)


def test_what_is_far_apart_or_by_another_or_of_another_kind_of_object_is_not_alike() -> None:
    def event(at: int, actor: str = "kubelet@n1", about: str = "pod/default/a", text: str = "x 1") -> Event:
        return Event(at=at * MS, actor=actor, kind="sandbox", objects=(about,), text=text)

    first = event(0)
    assert len(grouped([first, event(49, "kubelet@n2", "pod/default/b", "x 2")])) == 1
    for other in (event(51), event(1, "kube-proxy@n1"), event(1, about="node/n1"), event(1, text="y 1")):
        assert len(grouped([first, other])) == 2


def test_what_becomes_of_an_object_is_told_in_order() -> None:
    def event(at: int, pod: str, text: str) -> Event:
        return Event(at=at * MS, actor="kubelet@n1", kind="probe", objects=(f"pod/default/{pod}",), text=text)

    rows = [event(0, "a", "asked"), event(1, "a", "ready"), event(2, "b", "asked"), event(3, "b", "ready")]
    assert [[row.at for row in line.events] for line in grouped(rows)] == [[0, 2 * MS], [1 * MS, 3 * MS]]
    turned = [event(0, "a", "ready"), event(1, "b", "asked"), event(2, "b", "ready")]
    assert [[row.at for row in line.events] for line in grouped(turned)] == [[0], [1 * MS], [2 * MS]]


@pytest.mark.parametrize(
    ("texts", "shown"),
    [(["a 1", "a 2"], "a 1; a 2"), (["a 1", "a 2", "a 3"], "a 1 (and 2 like it)"), (["a 1"] * 2, "a 1")],
)
def test_texts_that_differ_a_little(texts: list[str], shown: str) -> None:
    [line] = grouped([Event(at=0, actor="x", kind="rules", text=text) for text in texts])
    assert line.text == shown


def test_many_revisions_and_names_are_cut_short() -> None:
    def event(number: int) -> Event:
        return Event(at=0, actor="x", kind="write", objects=(f"pod/default/web-{number}",), revision=2 * number + 1)

    [line] = grouped(map(event, range(20)))
    assert line.revisions == "rev 1, 3, 5, …"
    assert line.objects == "pod/web-{0,1,2,3,4,5,6,7,… 20 in all}"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("pod/default/a", "pod/a"), ("pod/kube-system/a", "kube-system/pod/a"), ("node/n1", "node/n1"), ("x", "x")],
)
def test_objects_are_named_as_people_do(name: str, shown: str) -> None:
    assert short(name) == shown


def test_numbers_are_spelled_for_people() -> None:
    assert [spelled(value) for value in (12, 340_000, 2_100_000, 1_200_000_000)] == [
        "12 ns",
        "340 µs",
        "2.1 ms",
        "1.2 s",
    ]
    assert [since(0), since(4_100_000)] == ["   0.0000", "  +0.0041"]


def test_json_is_a_line_for_each_event_and_each_gap() -> None:
    rows = [json.loads(line) for line in Timeline(EVENTS, (GAP,), offset=10**18).json().splitlines()]
    assert rows[0] == {
        "time": "2001-09-09T01:46:41.000000000Z", "at": 10**9, "actor": "kubectl", "kind": "write",
        "objects": ["deployment/default/web"], "text": "created, replicas 2", "revision": 812,
        "user": "kubernetes-admin",
    }  # fmt: skip
    assert [row["at"] for row in rows[:-1]] == [row.at for row in EVENTS]
    assert rows[-1] == {"gap": GAP}


def test_packets_of_somebody_else_are_put_in_their_places() -> None:
    packet = Event(at=1015 * MS, actor="packet", kind="packet", text="SYN")
    assert Timeline(EVENTS).with_events([packet]).events.index(packet) == 4


# ---- the picture -----------------------------------------------------------------------------------------------------


def classes(tree: ElementTree.Element, tag: str) -> list[dict[str, Any]]:
    return [node.attrib for node in tree.iter(f"{{http://www.w3.org/1999/xhtml}}{tag}")]


def test_the_picture_is_a_well_formed_page_with_a_mark_and_a_line_for_each_event() -> None:
    page = Timeline(EVENTS, (GAP,)).html()
    tree = ElementTree.fromstring(page)
    marks, rows = classes(tree, "i"), classes(tree, "tr")
    assert [row["data-n"] for row in rows] == list(map(str, range(len(EVENTS))))
    assert sorted(int(mark["data-n"]) for mark in marks) == list(range(len(EVENTS)))
    assert any("first SYN to <10.244.1.7> & on" in mark["title"] for mark in marks)
    assert GAP in "".join(tree.itertext())


def test_the_picture_needs_nothing_from_elsewhere() -> None:
    page = Timeline(EVENTS).html()
    assert not [word for word in ("src=", "href=", "url(", "@import", "fetch(") if word in page]


def test_marks_are_where_their_time_is() -> None:
    tree = ElementTree.fromstring(Timeline(EVENTS).html())
    marks = {int(mark["data-n"]): mark for mark in classes(tree, "i")}
    assert marks[0]["style"] == "left:0.0000%" and marks[len(EVENTS) - 1]["style"] == "left:100.0000%"
    assert "took" in marks[4]["class"] and marks[4]["style"] == f"left:{3600 / 61:.4f}%;width:{400 / 61:.4f}%"


def test_nothing_can_be_pictured_too() -> None:
    assert "nothing happened" in "".join(ElementTree.fromstring(Timeline().html()).itertext())


# ---- what is not known -----------------------------------------------------------------------------------------------


def recording(title: str, began: int, kept_from: int = 1, kept_since: int = 0) -> Recording:
    component, _, machine = title.partition("@")

    def nobody(*_: object) -> socket.socket:
        raise ConnectionRefusedError

    door = Door(component, machine, True, nobody)
    reader = asyncio.StreamReader(loop=asyncio.new_event_loop())
    return Recording(door, Head(component, 1, began, kept_from, kept_since), reader, None)  # type: ignore[arg-type]


def test_what_a_component_did_before_it_was_started_anew_is_told_to_be_unknown() -> None:
    second = 10**9
    rows = [
        recording("kubelet@n1", 88 * second),
        recording("kubelet@n2", 2 * second),
        recording("kube-proxy@n1", 88 * second),
    ]
    assert recorded.gaps(rows, 70 * second, 100 * second) == [
        "kubelet@n1, kube-proxy@n1 began 12 s ago; what happened there earlier is not known"
    ]


def test_of_a_cluster_that_came_up_not_everybody_is_named() -> None:
    rows = [recording(f"kubelet@n{number}", number * 10**9) for number in range(10, 13)]
    assert recorded.gaps(rows, 0, 192 * 10**9) == [
        "all components began 3 min ago; what happened there earlier is not known"
    ]


def test_a_recorder_that_has_run_over_says_so() -> None:
    second = 10**9
    rows = [recording("kubelet@n1", second, kept_from=500, kept_since=95 * second)]
    assert recorded.gaps(rows, 70 * second, 100 * second) == [
        "kubelet@n1 has done so much that it remembers the last 5 s only"
    ]
    assert recorded.gaps(rows, 96 * second, 100 * second) == []


# ---- the command line ------------------------------------------------------------------------------------------------

#: what is refused before any cluster is asked
REFUSED = {
    ("--since", "soon"): "--since: 'soon' is no time, such as 2s or 500ms",
    ("--for=-1s",): "--for: '-1s' is no time, such as 2s or 500ms",
    ("--html", "/"): "--html: / is a directory; name a file in it",
    ("--html", "/nowhere/x.html"): "--html: there is no directory /nowhere",
    ("--follow", "--for", "1s"): "--follow goes with neither a command, --for nor --html: it has no end",
    ("--since", "1s", "--", "true"): "--since is about the past; a recording begins now",
    ("--",): "-- has to be followed by a command",
}


@pytest.mark.parametrize("words", REFUSED)
def test_options_that_make_no_sense_are_refused(words: tuple[str, ...]) -> None:
    found = CliRunner().invoke(cli, ["timeline", *words]).exception
    assert isinstance(found, KnetError) and str(found) == REFUSED[words]
