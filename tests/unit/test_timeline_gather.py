"""What followers put off: read when somebody wants it, taken in order, and nobody else's events overtake it."""

import time

import msgspec

from knet.inspect.timeline.event import Event
from knet.inspect.timeline.gather import PATIENCE, Gathered
from knet.inspect.timeline.recorded import Door, Entries
from knet.kernel.recorder import Entry, ask

LONG_AGO = round(2 * PATIENCE * 1e9)


def reader(line: bytes) -> Event | None:
    at = int(line)
    return Event(at=at, actor="a", kind="probe") if at else None


def test_what_came_is_read_once_and_taken_in_order_when_its_elders_have_come() -> None:
    found, now = Gathered(0), time.monotonic_ns()
    for at in (now - LONG_AGO, 0, now + LONG_AGO, now - LONG_AGO - 1):
        found.put(reader, str(at).encode())
    assert (found.came, found.events) == (4, [])
    assert [row.at for row in found.ready()] == [now - LONG_AGO - 1, now - LONG_AGO]
    assert [row.at for row in found.events] == [now - LONG_AGO, now + LONG_AGO, now - LONG_AGO - 1]
    found.read()
    assert (len(found.events), found.ready()) == (3, [])


def test_what_others_tell_waits_for_what_is_not_read_yet() -> None:
    found, begin = Gathered(0), time.monotonic_ns() - round(PATIENCE * 1e9)
    assert found.idle
    assert found.known >= begin
    found.put(reader, str(begin).encode())
    assert (found.idle, found.known) == (False, 0)
    found.read()  # by somebody else than who takes them
    assert (found.idle, found.known) == (False, 0)
    assert [row.at for row in found.ready()] == [begin]
    assert found.idle
    assert found.known >= begin
    found.put(reader, str(time.monotonic_ns() + LONG_AGO).encode())
    assert found.ready() == []
    assert not found.idle
    assert begin <= found.known <= time.monotonic_ns()


def test_entries_that_are_missing_are_a_gap() -> None:
    gaps: list[str] = []
    entries = Entries(Door("kubelet", "n1", True, ask), gaps)
    for number in (7, 8, 12):
        event = entries.event(msgspec.json.encode(Entry(number, 1, "kubelet", "probe", (), "fails")))
        assert event is not None
        assert event.actor == "kubelet@n1"
    assert gaps == ["kubelet@n1 did so much that 3 things were forgotten before they were told"]
