"""What is kept of other name servers' answers, for how long, and what clients are given of it."""

import pytest
from dnslib import EDNS0, QTYPE, RCODE, RR, SOA, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from knet.dns.foreign import Memory, asked, heard, reply
from knet.dns.question import Malformed, parse
from knet.dns.settings import Cache

CACHE = Cache((100, 300), (100, 60))


def query(name="www.example.com", kind="A", edns=None, dnssec_ok=False):
    record = DNSRecord.question(name, kind)
    if edns:
        record.add_ar(EDNS0(udp_len=edns, flags="do" if dnssec_ok else ""))
    return bytes(record.pack())


def answer(message, *records, code=RCODE.NOERROR, soa=None, edns=True, ext_code=0):
    """An upstream's answer: records as in a zone file; ``soa``: TTL and minimum of the zone's."""
    made = DNSRecord.parse(message).reply()
    made.header.rcode, made.ar = code, []
    for line in records:
        made.add_answer(*RR.fromZone(line))
    if soa:
        times = (1, 7200, 1800, 86400, soa[1])
        made.add_auth(RR("example.com", QTYPE.SOA, ttl=soa[0], rdata=SOA("ns.example.com", "root.example.com", times)))
    if edns:
        made.add_ar(EDNS0(udp_len=4096, ext_rcode=ext_code))
    return bytes(made.pack())


TWO = ("www.example.com. 200 A 192.0.2.1", "www.example.com. 100 A 192.0.2.2")


def hear(message=None, *records, cache=CACHE, now=1000.0, **more):
    message = message or query()
    return heard(answer(message, *records, **more), parse(message), cache, now)


@pytest.mark.parametrize(
    ("records", "more", "holds"),
    [
        (TWO, {}, 100),
        (["www.example.com. 900 A 192.0.2.1"], {}, 300),
        (["www.example.com. 0 A 192.0.2.1"], {}, 5),
        (["www.example.com. 90 CNAME x.example.com.", "x.example.com. 20 A 192.0.2.1"], {}, 20),
        ([], {"code": RCODE.NXDOMAIN, "soa": (50, 40)}, 40),
        ([], {"code": RCODE.NXDOMAIN, "soa": (30, 40)}, 30),
        ([], {"code": RCODE.NXDOMAIN, "soa": (900, 900)}, 60),
        ([], {"code": RCODE.NXDOMAIN}, 0),
        ([], {"soa": (50, 40)}, 40),
        (["www.example.com. 90 CNAME x.example.com."], {"soa": (50, 40)}, 40),
        ([], {}, 0),
        ([], {"code": RCODE.SERVFAIL}, 5),
        ([], {"code": RCODE.REFUSED, "soa": (50, 40)}, 0),
        (TWO, {"cache": None}, 0),
        (TWO, {"cache": Cache((0, 300), (100, 60))}, 0),
    ],
    ids=["lowest TTL", "at most", "at least", "alias", "NXDOMAIN: minimum", "NXDOMAIN: TTL", "NXDOMAIN: at most",
         "NXDOMAIN without SOA", "NODATA", "NODATA of an alias", "NODATA without SOA", "SERVFAIL", "REFUSED",
         "no cache", "disabled"],
)  # fmt: skip
def test_how_long_an_answer_holds(records, more, holds):
    assert hear(None, *records, **more).holds == holds


def test_a_client_sees_the_time_that_is_left_his_own_capitals_and_his_own_id():
    said = hear(None, *TWO)
    mine = parse(query("WWW.example.COM", edns=1232))
    found = DNSRecord.parse(reply(said, mine, False, 1000 + 30))
    assert (found.header.id, str(found.q.qname)) == (mine.id, "WWW.example.COM.")
    assert [(str(row.rname), row.ttl, str(row.rdata)) for row in found.rr] == [
        ("WWW.example.COM.", 70, "192.0.2.1"),
        ("WWW.example.COM.", 70, "192.0.2.2"),
    ]
    assert [row.rtype for row in found.ar] == [QTYPE.OPT]
    assert (found.header.ra, found.header.aa, found.header.tc) == (1, 0, 0)


def test_who_did_not_send_an_opt_record_gets_none():
    assert DNSRecord.parse(reply(hear(None, *TWO), parse(query()), False, 1000)).ar == []


def test_a_no_comes_with_its_soa():
    found = DNSRecord.parse(reply(hear(code=RCODE.NXDOMAIN, soa=(50, 40)), parse(query()), False, 1010))
    assert (found.header.rcode, [(row.rtype, row.ttl) for row in found.auth]) == (RCODE.NXDOMAIN, [(QTYPE.SOA, 30)])


@pytest.mark.parametrize(("edns", "tcp", "whole"), [(None, False, False), (1232, False, True), (None, True, True)])
def test_what_is_too_large_is_left_to_tcp(edns, tcp, whole):
    said = hear(None, *(f"www.example.com. 60 A 192.0.2.{n}" for n in range(1, 60)))
    found = DNSRecord.parse(reply(said, parse(query(edns=edns)), tcp, 1000))
    assert (found.header.tc, len(found.rr)) == ((0, 59) if whole else (1, 0))


def test_an_extended_code_is_put_together_and_taken_apart():
    said = hear(code=7, ext_code=1)
    assert said.code == 23
    found = DNSRecord.parse(reply(said, parse(query(edns=1232)), False, 1000))
    assert (found.header.rcode, found.ar[0].ttl >> 24) == (7, 1)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        query(),
        answer(query("other.example.com"), *TWO),
        answer(query(kind="AAAA")),
        answer(query(), *TWO)[:-20],
        answer(query(), *TWO)[:40],
    ],
    ids=["nothing", "a query", "another name", "another type", "cut off", "cut off early"],
)
def test_what_is_no_answer_to_the_question(message):
    with pytest.raises(Malformed):
        heard(message, parse(query()), CACHE, 0)


@given(st.data())
def test_damaged_answers_are_understood_or_malformed(data):
    message = bytearray(answer(query(), *TWO, soa=(50, 40)))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        said = heard(bytes(message[: data.draw(st.integers(0, len(message)))]), parse(query()), CACHE, 0)
    except Malformed:
        return
    if said is not None:
        assert len(reply(said, parse(query()), False, 0)) <= 512


def test_more_than_fits_is_to_be_asked_by_tcp():
    message = bytearray(answer(query()))
    message[2] |= 2
    assert heard(bytes(message), parse(query()), CACHE, 0) is None


def remember(memory, name, *records, now=1000.0):
    key = asked(parse(query(name)))
    memory.put(key, hear(query(name), *records, now=now))
    return key


def test_memory_forgets_what_no_longer_holds():
    now = [1000.0]
    memory = Memory(CACHE, lambda: now[0])
    key = remember(memory, "www.example.com", *TWO)
    assert memory.get(key).counts == (2, 0, 0)
    now[0] = 1099.9
    assert memory.get(key) is not None
    now[0] = 1100.0
    assert memory.get(key) is None


def test_memory_is_bounded_in_number_and_size():
    memory = Memory(CACHE, lambda: 1000.0)
    keys = [remember(memory, f"x{n}.example.com", f"x{n}.example.com. 60 A 192.0.2.1") for n in range(250)]
    assert (memory.entries(denial=False), memory.get(keys[0])) == (200, None)
    large = hear(None, *(f"www.example.com. 60 TXT {'x' * 250}" for _ in range(150)))
    memory = Memory(Cache((9984, 300), (9984, 60)), lambda: 1000.0)
    for number in range(1000):
        memory.put(asked(parse(query(f"x{number}.example.com"))), large)
    assert memory.entries(denial=False) * len(large.body) <= 16 << 20


def test_dnssec_and_checking_disabled_are_other_questions():
    plain, secure = parse(query(edns=1232)), parse(query(edns=1232, dnssec_ok=True))
    assert asked(plain) != asked(secure)
    assert asked(plain) == asked(parse(query("WWW.EXAMPLE.com")))
