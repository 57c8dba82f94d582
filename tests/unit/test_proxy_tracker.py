"""The snapshot that is kept up to date is the one that is built from everything, after any change."""

import random

import pytest

from knet.proxy.snapshot import Place, build
from knet.proxy.tracker import Tracker
from tests.cluster_objects import endpoint, endpoint_slice, service

NODE, CIDR = "172.18.0.11", "10.244.0.0/16"


def test_what_has_not_changed_is_the_same_object():
    tracker = Tracker(Place("n1", ""), NODE, CIDR)
    assert tracker.snapshot() is tracker.snapshot()
    for name in ("a", "b"):
        tracker.service(None, service(name, f"10.96.0.{ord(name)}"))
        tracker.slice(None, endpoint_slice(name, "10.244.1.2"))
    before = tracker.snapshot()
    tracker.slice(endpoint_slice("a", "10.244.1.2"), endpoint_slice("a", "10.244.1.2", "10.244.2.2"))
    after = tracker.snapshot()
    assert [name.service for name in after.ports if after.ports[name] is not before.ports[name]] == ["a"]
    tracker.slice(endpoint_slice("b", "10.244.1.2"), endpoint_slice("b", "10.244.1.2"))
    assert tracker.snapshot() is after


@pytest.mark.parametrize("seed", range(10))
def test_changes_add_up_to_what_is_built_from_everything(seed):
    chance = random.Random(seed)
    tracker = Tracker(Place("n1", ""), NODE, CIDR)
    services, slices, zone = {}, {}, ""
    for _ in range(200):
        name, suffix = chance.choice("cab"), chance.choice("xy")
        gone = chance.random() < 0.3
        match chance.choice(["service", "slice", "slice", "zone"]):
            case "service":
                new = None if gone else service(name, chance.choice(["10.96.0.1", "10.96.0.2", "None", ""]))
                tracker.service(services.pop(name, None), new)
                services |= {name: new} if new else {}
            case "slice":
                zones = chance.choice([(), ["here"], ["there"]])
                rows = [endpoint(f"10.244.{node}.2", zones=zones) for node in (1, 2) if chance.random() < 0.5]
                family = chance.choice(["IPv4", "IPv4", "IPv6"])
                new = None if gone else endpoint_slice(name, *rows, suffix=suffix, family=family)
                tracker.slice(slices.pop((name, suffix), None), new)
                slices |= {(name, suffix): new} if new else {}
            case "zone":
                zone = chance.choice(["", "here"])
                tracker.move(Place("n1", zone))
        if chance.random() < 0.5:
            wanted = build(services.values(), slices.values(), "n1", NODE, CIDR, zone=zone)
            assert tracker.snapshot() == wanted
            assert list(tracker.snapshot().ports) == list(wanted.ports)


def test_a_slice_that_changes_hands_leaves_its_first_service():
    tracker = Tracker(Place("n1", ""), NODE, CIDR)
    for name in ("a", "b"):
        tracker.service(None, service(name, f"10.96.0.{ord(name)}"))
    tracker.slice(None, mine := endpoint_slice("a", "10.244.1.2"))
    tracker.slice(mine, endpoint_slice("b", "10.244.1.2", suffix="a"))
    assert [len(port.endpoints) for port in tracker.snapshot().ports.values()] == [0, 1]
