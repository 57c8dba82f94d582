"""A packet of somebody else's is picked, known again through NAT, and answered by what acknowledges it."""

import pytest
from scapy.layers.dns import DNS
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from knet.inspect.observe.frames import Seen, frame
from knet.inspect.observe.live import Picked
from knet.inspect.trace.hops import BACK, THERE

SERVICE, POD = ("10.96.0.80", 80), ("10.244.2.5", 8080)
ENDS = frozenset({SERVICE, POD})
CLIENT, MASQUERADED = ("10.244.1.2", 41822), ("172.18.0.3", 5001)
WORDS = b"twelve bytes"


def seen(
    source: tuple[str, int], destination: tuple[str, int], flags: str, seq: int, ack: int = 0, data: bytes = b""
) -> Seen:
    transport = TCP(sport=source[1], dport=destination[1], flags=flags, seq=seq, ack=ack)
    return read(IP(src=source[0], dst=destination[0]) / transport / Raw(data))


def read(built: Packet) -> Seen:
    found = frame(bytes(Ether() / built))
    assert found is not None
    return found


REQUEST = seen(CLIENT, SERVICE, "PA", 100, 7, WORDS)


@pytest.mark.parametrize(
    ("row", "way"),
    [
        (REQUEST, THERE),
        (seen(CLIENT, POD, "PA", 100, 7, WORDS), THERE),  # translated
        (seen(MASQUERADED, POD, "PA", 100, 7, WORDS), THERE),
        (seen(CLIENT, SERVICE, "A", 100, 7), ""),  # what acknowledged before has the same number
        (seen(CLIENT, SERVICE, "PA", 112, 7, WORDS), ""),
        (seen(("10.244.1.9", 4), ("10.96.0.1", 443), "PA", 100, 7, WORDS), ""),
        (seen(POD, MASQUERADED, "A", 7, 111), ""),  # not all of it
        (seen(POD, MASQUERADED, "A", 7, 112), BACK),
        (seen(SERVICE, CLIENT, "A", 7, 112), BACK),  # the same answer, translated back
        (seen(SERVICE, CLIENT, "PA", 7, 112, WORDS), ""),  # the next one
    ],
)
def test_a_request(row: Seen, way: str) -> None:
    picked = Picked("tcp", ENDS)
    assert picked.wants_an_answer(REQUEST)
    assert picked.way(REQUEST) == ""  # nothing is picked yet
    picked.pick(REQUEST)
    for source, destination in ((CLIENT, SERVICE), (CLIENT, POD), (MASQUERADED, POD)):
        assert picked.way(seen(source, destination, "PA", 100, 7, WORDS)) == THERE
    assert picked.way(seen(POD, MASQUERADED, "A", 7, 112)) == BACK
    assert picked.way(row) == way


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (seen(CLIENT, SERVICE, "S", 0xFFFFFFFF), seen(SERVICE, CLIENT, "SA", 5, 0)),
        (seen(CLIENT, SERVICE, "S", 9), seen(SERVICE, CLIENT, "RA", 0, 10)),
        (seen(CLIENT, SERVICE, "FA", 9, 5), seen(SERVICE, CLIENT, "A", 5, 10)),
        (REQUEST, seen(SERVICE, CLIENT, "R", 7)),
    ],
)
def test_what_answers(first: Seen, answer: Seen) -> None:
    picked = Picked("tcp", ENDS)
    assert picked.wants_an_answer(first)
    picked.pick(first)
    assert [picked.way(row) for row in (first, answer)] == [THERE, BACK]


def test_what_wants_no_answer_is_not_picked() -> None:
    picked = Picked("tcp", ENDS)
    rows = (
        seen(CLIENT, SERVICE, "A", 1, 2),
        seen(CLIENT, SERVICE, "R", 1),
        seen(SERVICE, CLIENT, "SA", 1, 2),
        read(IP() / UDP() / Raw(WORDS)),
    )
    assert not any(picked.wants_an_answer(row) for row in rows)
    assert not Picked("udp", ENDS).wants_an_answer(read(IP() / UDP() / Raw(b"short")))


def test_a_datagram_is_known_by_its_payload() -> None:
    picked = Picked("udp", ENDS)
    there = [read(IP(src="10.244.1.2", dst=end[0]) / UDP(sport=9, dport=end[1]) / Raw(WORDS)) for end in (SERVICE, POD)]
    answer = read(IP(src=POD[0], dst="10.244.1.2") / UDP(sport=POD[1], dport=9) / Raw(b"anything"))
    assert picked.wants_an_answer(there[0])
    picked.pick(there[0])
    assert [picked.way(row) for row in (*there, answer)] == [THERE, THERE, BACK]


def test_the_dns_answers_each_of_two_questions_by_its_number() -> None:
    picked, client, server = Picked("udp", {("10.96.0.10", 53)}), "10.244.1.2", "10.96.0.10"
    first, second = (read(IP(src=client, dst=server) / UDP(sport=9, dport=53) / DNS(id=n)) for n in (1, 2))
    answers = [read(IP(src=server, dst=client) / UDP(sport=53, dport=9) / DNS(id=n, qr=1)) for n in (2, 1)]
    picked.pick(first)
    assert [picked.way(row) for row in (first, second, *answers)] == [THERE, "", "", BACK]


def test_the_rules_that_have_it_traced_are_for_its_ends_only() -> None:
    table = Picked("tcp", ENDS | {("fd00::5", 8080)}).table()
    assert "elements = { 10.244.2.5 . 8080, 10.96.0.80 . 80 }" in table
    assert "meta l4proto tcp ip6 saddr . th sport @ends-ip6 limit rate 500/second" in table
    assert "ip daddr @ends-ip limit" in Picked("icmp", ENDS).table()
    assert Picked("tcp", ENDS).filter().endswith(" or tcp port 80 or tcp port 8080")
