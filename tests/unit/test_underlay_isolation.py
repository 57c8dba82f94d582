"""Partitions by name, and the table that keeps them apart."""

import re

import pytest

from knet.underlay.cabling import lay
from knet.underlay.families import in_families
from knet.underlay.isolation import apart, partition, ruleset, text
from knet.underlay.plan import Plan
from knet.underlay.state import LinkError
from knet.underlay.topology import describe, load


@pytest.fixture(scope="module")
def plan() -> Plan:
    return describe(load("two_racks"))


@pytest.mark.parametrize(
    ("groups", "understood"),
    [
        ([["n1", "n2"], ["cp1"]], "n1,n2 | cp1"),
        ([["n2", "n1"], ["cp1"], ["client"]], "n1,n2 | cp1 | client"),
        ([["n2"]], "n2 | r1,cp1,n1,client"),
        ([["s2"], ["cp1"]], "r1,n2 | cp1"),  # a switch is what is plugged into it
    ],
)
def test_groups_are_machines_by_name(plan: Plan, groups: list[list[str]], understood: str) -> None:
    assert text(partition(plan, groups)) == understood


@pytest.mark.parametrize(
    ("groups", "complaint"),
    [
        ([], "partition: name machines, and leave some: knet partition n1,n2 cp1"),
        ([["n9"], ["n1"]], "there is no machine or switch n9; there are r1, cp1, n1, n2, client, s1, s2"),
        ([["n1"], ["n2", "n1"]], "partition: n1 cannot be on both sides"),
        ([["n1"], []], "partition: an empty group stands for no machine"),
        ([["cp1", "r1", "n1", "n2", "client"]], "partition: name machines, and leave some"),
    ],
)
def test_groups_that_make_no_sense(plan: Plan, groups: list[list[str]], complaint: str) -> None:
    with pytest.raises(LinkError, match=f"^{re.escape(complaint)}"):
        partition(plan, groups)


def test_partitions_add_up() -> None:
    assert apart([(("a", "b"), ("c",)), (("a",), ("d",))]) == {"a": {"c", "d"}, "b": {"c"}, "c": {"a", "b"}, "d": {"a"}}


def test_a_frame_is_dropped_where_it_would_reach_whom_it_must_not(plan: Plan) -> None:
    assert ruleset(plan, lay(plan), [(("n1",), ("cp1",))], {"n2"}) == (
        "table bridge knet-isolation\n"
        "delete table bridge knet-isolation\n"
        "table bridge knet-isolation {\n"
        "  chain forward {\n"
        "    type filter hook forward priority 0; policy accept;\n"
        '    iifname { "s2-eth2" } counter drop\n'
        '    oifname { "s2-eth2" } counter drop\n'
        '    oifname . ether saddr { "s1-eth2" . 02:42:ac:12:01:03, "s1-eth3" . 02:42:ac:12:01:02 } counter drop\n'
        '    oifname . ip saddr { "s1-eth2" . 172.18.1.3, "s1-eth3" . 172.18.1.2 } counter drop\n'
        "  }\n"
        "}\n"
    )


def test_whoever_has_two_addresses_is_known_by_both(plan: Plan) -> None:
    both = in_families(plan, ("IPv4", "IPv6"))
    assert (
        '    oifname . ip6 saddr { "s1-eth2" . fd00:172:18:1::3, "s1-eth3" . fd00:172:18:1::2 } counter drop\n'
        in ruleset(both, lay(both), [(("n1",), ("cp1",))], set())
    )


def test_where_all_hear_each_other_there_is_no_table(plan: Plan) -> None:
    removal = "table bridge knet-isolation\ndelete table bridge knet-isolation\n"
    assert ruleset(plan, lay(plan), [], set()) == removal
    # a machine that has left is kept apart from nobody
    assert ruleset(plan, lay(plan), [(("n7",), ("cp1",))], {"n8"}) == removal
