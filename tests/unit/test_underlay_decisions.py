"""What the underlay decides before it touches the kernel: impairments, trees, cabling, routes, packets."""

import re

import pytest

from knet.kernel.qdiscs import Impairment
from knet.underlay.cabling import lay
from knet.underlay.impairment import NONE, changed, netem_options, text
from knet.underlay.impairment import options as written
from knet.underlay.iperf import text as bandwidth
from knet.underlay.ping import echo_request
from knet.underlay.plan import SwitchSpec
from knet.underlay.topology import describe, load
from knet.underlay.tree import standby


@pytest.mark.parametrize(
    ("options", "wanted", "words"),
    [
        ({}, NONE, ""),
        ({"bw": 10}, Impairment(rate=10e6), "10 Mbit/s"),
        ({"bw": "0.5"}, Impairment(rate=500e3), "0.5 Mbit/s"),
        ({"delay": "20ms"}, Impairment(delay=0.02), "20 ms"),
        ({"delay": "500us"}, Impairment(delay=0.0005), "500 µs"),
        ({"delay": "1.5s", "jitter": "2ms"}, Impairment(delay=1.5, jitter=0.002), "1500 ms ± 2 ms"),
        ({"loss": 1}, Impairment(loss=0.01), "loss 1 %"),
        ({"loss": "0.1%"}, Impairment(loss=0.001), "loss 0.1 %"),
        ({"max_queue_size": 100}, Impairment(queue=100), "queue 100 packets"),
        ({"bw": 10, "delay": "0", "loss": 0}, Impairment(rate=10e6), "10 Mbit/s"),
        (
            {"loss": 5, "loss_correlation": "25%"},
            Impairment(loss=0.05, loss_correlation=0.25),
            "loss 5 % (correlation 25 %)",
        ),
        (
            {"delay": "5ms", "duplicate": 1, "reorder": 25, "corrupt": "0.5"},
            Impairment(delay=0.005, duplicate=0.01, reorder=0.25, corrupt=0.005),
            "5 ms, duplicate 1 %, reorder 25 %, corrupt 0.5 %",
        ),
    ],
)
def test_options_are_read_as_mininet_writes_them(options: dict[str, object], wanted: Impairment, words: str) -> None:
    assert changed(NONE, options) == wanted
    assert text(wanted) == words
    assert changed(NONE, written(wanted)) == wanted


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"speed": 1}, "unknown option speed; there are bw, delay"),
        ({"bw": -1}, "bw=-1 is no bandwidth: a number of Mbit/s is meant, such as bw=10"),
        ({"delay": 20}, "delay=20 is no time: a number with its unit is meant, such as delay='20ms'"),
        ({"corrupt": 101}, "corrupt=101 is no percentage: a number from 0 to 100 is meant, such as corrupt=1"),
        ({"max_queue_size": "long"}, "max_queue_size='long' is no number of packets"),
        ({"jitter": "1ms"}, "jitter needs a delay"),
        ({"reorder": 25}, "reorder needs a delay"),
        ({"loss_correlation": 25}, "loss_correlation needs a loss"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        changed(NONE, options)


def test_a_change_keeps_what_it_does_not_name() -> None:
    slow = changed(NONE, {"bw": 10, "delay": "20ms"})
    assert changed(slow, {"loss": 1, "bw": None}) == Impairment(rate=10e6, delay=0.02, loss=0.01)
    assert changed(slow, {"delay": 0}) == Impairment(rate=10e6)


def test_only_bandwidth_and_queue_do_without_netem() -> None:
    assert netem_options(Impairment(rate=1e6, queue=10)) == ()
    assert netem_options(Impairment(delay=1, jitter=1, loss=0.5)) == ("delay", "jitter", "loss")
    assert netem_options(Impairment(duplicate=1, corrupt=1)) == ("duplicate", "corrupt")


SPINES = [SwitchSpec("spine1", 1), SwitchSpec("spine2", 2)]
LEAVES = [SwitchSpec("leaf1", 101), SwitchSpec("leaf2", 102)]
FABRIC = {0: ("leaf1", "spine1"), 1: ("leaf1", "spine2"), 2: ("leaf2", "spine1"), 3: ("leaf2", "spine2")}


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ((), {3}),  # spine2 hangs on leaf1, the better of its two neighbours
        ((2,), set()),  # leaf2 lost its way to the root and takes spine2
        ((0,), set()),
        ((0, 1), set()),  # leaf1 is alone
        ((1,), set()),
    ],
)
def test_the_tree_spans_what_is_not_cut_and_nothing_twice(cut: tuple[int, ...], expected: set[int]) -> None:
    assert standby([*SPINES, *LEAVES], FABRIC, cut) == expected


def test_of_parallel_cables_the_first_is_used() -> None:
    cables = {0: ("spine1", "spine2"), 1: ("spine2", "spine1")}
    assert standby(SPINES, cables) == {1}
    assert standby(SPINES, cables, {0}) == frozenset()


def test_every_link_has_a_port_outside_of_the_machines() -> None:
    cabling = lay(describe(load("wan")))
    assert cabling.bridges == ("s1", "s2", "wire1")
    ports = {str(cable.spec): cable.ports for cable in cabling.cables}
    assert ports["n1–s1"] == (("s1-eth3", "s1"),)
    assert ports["r1–r2"] == (("r1-eth1", "wire1"), ("r2-eth1", "wire1"))


def test_what_a_machine_sends_is_counted_at_the_other_end() -> None:
    cables = {str(cable.spec): cable for cable in lay(describe(load("wan"))).cables}
    n1, s1 = cables["n1–s1"].ends
    assert (n1.port, n1.counted_as) == ("s1-eth3", "rx")
    assert (s1.port, s1.counted_as) == ("s1-eth3", "tx")
    assert [(end.port, end.counted_as) for end in cables["r1–r2"].ends] == [("r1-eth1", "rx"), ("r2-eth1", "rx")]


@pytest.mark.parametrize(("identifier", "number"), [(0, 0), (0x1234, 1), (0xFFFF, 0xFFFF), (0xF7FF, 0)])
def test_an_echo_request_has_the_internet_checksum(identifier: int, number: int) -> None:
    packet = echo_request(identifier, number)
    total = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, len(packet), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert (packet[:2], total) == (b"\x08\x00", 0xFFFF)  # RFC 1071: the sum over all of it is all ones


def test_bandwidth_is_written_as_iperf_writes_it() -> None:
    assert [bandwidth(bits) for bits in (9.412e9, 95e6, 12_000, 8)] == [
        "9.41 Gbits/sec",
        "95 Mbits/sec",
        "12 Kbits/sec",
        "8 bits/sec",
    ]
