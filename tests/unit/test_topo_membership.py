"""Machines that join and leave, as plans."""

import pytest

from knet.underlay.membership import Joining, Membership, join, leave
from knet.underlay.plan import Plan, TopologyError
from knet.underlay.topology import describe, load
from knet.underlay.validate import check


def plan(topology: str = "single", workers: int = 2) -> Plan:
    return describe(load(topology, workers))


def added(before: Plan, after: Plan) -> list[str]:
    return [line for line in str(after).splitlines() if line not in str(before).splitlines()]


def test_a_machine_joins_beside_the_workers_of_the_only_switch():
    before = plan()
    after, told = join(before, Joining("n3", labels={"disk": "ssd"}))
    check(after)
    assert added(before, after) == ["n3 worker n3-eth0=172.18.0.6/24 · disk=ssd", "n3-eth0 – s1-eth5"]
    assert (told.switch, told.address) == ("s1", "172.18.0.6/24")


def test_it_is_like_its_neighbours_in_the_rack():
    before = plan("two_racks", 3)
    after, _ = join(before, Joining("n9", switch="s2"))
    check(after)
    assert added(before, after) == [
        "n9 worker n9-eth0=172.18.2.5/24 · default via 172.18.2.1 · topology.kubernetes.io/zone=rack2",
        "n9-eth0 – s2-eth3",
    ]


def test_an_address_that_became_free_is_used_last():
    shrunk = leave(plan(workers=3), "n2")
    after, _ = join(shrunk, Joining("n4"))
    assert added(shrunk, after)[0] == "n4 worker n4-eth0=172.18.0.7/24"


def test_a_machine_that_leaves_takes_its_cable_along():
    before = plan()
    after = leave(before, "n2")
    check(after)
    assert added(after, before) == ["n2 worker n2-eth0=172.18.0.4/24", "n2-eth0 – s1-eth3"]


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (Joining("n1"), "machine n1: the name n1 is taken"),
        (Joining("s1"), "machine s1: the name s1 is taken"),
        (Joining("n9"), "machine n9: which switch? Choose one of s1, s2 (--switch)"),
        (Joining("n9", switch="s3"), "machine n9: there is no switch s3; there are s1, s2"),
    ],
)
def test_what_cannot_join_is_told(wanted: Joining, complaint: str):
    with pytest.raises(TopologyError) as error:
        join(plan("two_racks"), wanted)
    assert str(error.value) == complaint


@pytest.mark.parametrize(
    ("name", "workers", "complaint"),
    [
        ("cp1", 2, "cp1 is no worker; the workers are n1, n2"),
        ("n7", 2, "there is no machine n7; the workers are n1, n2"),
        ("n1", 1, "n1 is the last worker: pods need at least one"),
    ],
)
def test_what_cannot_leave_is_told(name: str, workers: int, complaint: str):
    with pytest.raises(TopologyError) as error:
        leave(plan(workers=workers), name)
    assert str(error.value) == complaint


def test_a_resumed_cluster_has_the_machines_that_it_had(tmp_path):
    file = tmp_path / "membership.json"
    now, joining = join(plan(workers=1), Joining("n2", cpu="2"))
    Membership.read(file).then(joining).write(file)
    now = leave(now, "n1")
    Membership.read(file).then("n1").write(file)
    now, joining = join(now, Joining("n1", labels={"again": "yes"}))
    Membership.read(file).then(joining).write(file)
    assert Membership.read(file).applied(plan(workers=1)) == now
