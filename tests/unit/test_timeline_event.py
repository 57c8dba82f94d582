"""The order of a timeline's events."""

import time

from knet.inspect.timeline.event import Event, from_realtime, ordered, ref


def event(at: int, kind: str = "write", revision: int = 0) -> Event:
    return Event(at=at, actor="x", kind=kind, revision=revision)


def test_events_of_all_sources_come_by_their_stamps() -> None:
    writes = [event(10, revision=1), event(30, revision=2)]
    packets = [event(20, "packet"), event(5, "packet")]
    assert [row.at for row in ordered(writes, packets)] == [5, 10, 20, 30]


def test_at_one_stamp_a_write_comes_before_what_follows_from_it_and_writes_by_revision() -> None:
    rows = [event(1, "packet"), event(1, "rules"), event(1, revision=8), event(1, revision=7)]
    assert [(row.kind, row.revision) for row in ordered(rows)] == [
        ("write", 7), ("write", 8), ("rules", 0), ("packet", 0),
    ]  # fmt: skip


def test_an_event_names_its_machine_and_objects() -> None:
    assert Event(at=0, actor="kubelet@n1", kind="probe").machine == "n1"
    assert event(0).machine == ""
    assert (ref("pod", "default", "web"), ref("node", "", "n1")) == ("pod/default/web", "node/n1")


def test_a_packets_stamp_is_brought_to_the_clock_of_the_others() -> None:
    before = time.monotonic_ns()
    stamp = time.time_ns()
    after = time.monotonic_ns()
    assert before - 1_000_000_000 <= from_realtime(stamp) <= after + 1_000_000_000
