"""Queries as bytes to answers as bytes: codes, sizes, and whatever else arrives at port 53."""

import struct

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from knet.api.objects import ServicePort
from knet.dns.directory import Directory
from knet.dns.question import Malformed, parse
from knet.dns.responder import CACHE, Responder
from knet.dns.zone import Zone
from tests.cluster_objects import endpoint_slice, service

KUBERNETES = "kubernetes.default.svc.cluster.local"
MANY = "many.default.svc.cluster.local"


def cluster():
    services = [
        service("kubernetes", "10.96.0.1", [ServicePort(name="https", port=443)]),
        service("many", "None"),
        service("outside", "", (), type="ExternalName", externalName="example.com"),
    ]
    return Directory(services, [endpoint_slice("many", *(f"10.244.1.{n}" for n in range(2, 102)))])


def make(directory=None, ready=True, recursive=False):
    directory = directory or cluster()
    made = Responder(directory, Zone(directory, "cluster.local"), recursive)
    made.ready = ready
    return made


RESPONDER = make()


def query(name=KUBERNETES, kind="A", edns=None, version=0, **header):
    record = DNSRecord(DNSHeader(id=4242, bitmap=0, rd=1, **header), q=DNSQuestion(name, getattr(QTYPE, kind)))
    if edns is not None:
        record.add_ar(EDNS0(udp_len=edns, version=version))
    return bytes(record.pack())


def ask(name=KUBERNETES, kind="A", responder=RESPONDER, tcp=False, **rest):
    return DNSRecord.parse(responder.respond(query(name, kind, **rest), tcp))


def test_an_answer_repeats_id_and_question_and_is_authoritative():
    found = ask("Kubernetes.DEFAULT.svc.cluster.local")
    assert (found.header.id, found.header.qr, found.header.aa, found.header.rd, found.header.ra) == (4242, 1, 1, 1, 0)
    assert str(found.q.qname) == str(found.rr[0].rname) == "Kubernetes.DEFAULT.svc.cluster.local."
    assert (str(found.rr[0].rdata), found.rr[0].ttl) == ("10.96.0.1", 5)


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [(KUBERNETES, "AAAA", RCODE.NOERROR), ("nothing.default.svc.cluster.local", "A", RCODE.NXDOMAIN)],
)
def test_a_no_says_how_long_it_holds(name, kind, code):
    found = ask(name, kind)
    assert (found.header.rcode, found.rr) == (code, [])
    [soa] = found.auth
    assert (str(soa.rname), soa.rtype, soa.ttl, soa.rdata.times[4]) == ("cluster.local.", QTYPE.SOA, 5, 5)


def test_names_of_others_do_not_exist_where_nobody_can_be_asked():
    found = ask("www.example.com")
    assert (found.header.rcode, found.header.aa, found.auth) == (RCODE.NXDOMAIN, 0, [])


def test_an_alias_out_of_the_zone_stands_alone_where_nobody_can_be_asked():
    found = ask("outside.default.svc.cluster.local")
    assert [QTYPE.get(row.rtype) for row in found.rr] == ["CNAME"]


def test_where_others_can_be_asked_they_are_to_be_asked_about_the_end_of_an_alias():
    responder = make(recursive=True)
    assert ask(responder=responder).header.ra == 1
    plain = responder.respond(query("www.example.com"))
    assert (plain.target, plain.aliases) == (("www", "example", "com"), ())
    alias = responder.respond(query("outside.default.svc.cluster.local"))
    assert (alias.target, [row.type for row in alias.aliases]) == (("example", "com"), ["CNAME"])


def test_before_everything_is_known_no_question_is_denied():
    unready = make(ready=False)
    for name in (KUBERNETES, "nothing.default.svc.cluster.local", "www.example.com"):
        assert ask(name, responder=unready).header.rcode == RCODE.SERVFAIL
    unready.ready = True
    assert ask(responder=unready).rr


def test_answers_change_with_the_cluster():
    directory = cluster()
    responder = make(directory)
    old = directory.service("default", "kubernetes")
    assert str(ask(responder=responder).rr[0].rdata) == "10.96.0.1"
    directory.service_changed(old, service("kubernetes", "10.96.0.2"))
    assert str(ask(responder=responder).rr[0].rdata) == "10.96.0.2"
    directory.service_changed(service("kubernetes", "10.96.0.2"), None)
    assert ask(responder=responder).header.rcode == RCODE.NXDOMAIN


def test_the_addresses_of_a_headless_service_come_in_turns():
    first = {str(ask(MANY, edns=4096, tcp=True).rr[0].rdata) for _ in range(40)}
    assert len(first) > 3


@pytest.mark.parametrize(
    ("edns", "tcp", "limit", "truncated"),
    [(None, False, 512, 1), (700, False, 700, 1), (4096, False, 1232, 1), (100, False, 512, 1), (None, True, 65535, 0)],
)
def test_answers_that_are_too_large_are_cut_off_and_marked(edns, tcp, limit, truncated):
    message = RESPONDER.respond(query(MANY, edns=edns), tcp)
    found = DNSRecord.parse(message)
    assert limit - 40 < len(message) <= limit or not truncated
    assert (found.header.tc, len(found.rr) < 100) == (truncated, bool(truncated))
    assert [row.rtype for row in found.ar] == ([] if edns is None else [QTYPE.OPT])


def test_additional_addresses_are_left_out_before_anything_is_cut_off():
    directory = Directory([service("db", "None")], [endpoint_slice("db", *(f"10.244.1.{n}" for n in range(2, 8)))])
    found = ask("db.default.svc.cluster.local", "SRV", make(directory))
    assert (found.header.tc, len(found.rr), found.ar) == (0, 6, [])


def test_a_later_edns_version_is_refused():
    found = ask(edns=1232, version=1)
    badvers = (found.ar[0].ttl >> 24) << 4 | found.header.rcode
    assert (badvers, found.rr) == (16, [])


@pytest.mark.parametrize(("opcode", "code"), [(2, RCODE.NOTIMP), (4, RCODE.NOTIMP), (5, RCODE.NOTIMP)])
def test_only_queries_are_answered(opcode, code):
    assert ask(opcode=opcode).header.rcode == code


def test_other_classes_are_refused():
    message = bytearray(query())
    message[-2:] = struct.pack("!H", 3)
    assert DNSRecord.parse(RESPONDER.respond(bytes(message))).header.rcode == RCODE.REFUSED


@pytest.mark.parametrize(
    "message",
    [
        struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0),
        struct.pack("!HHHHHH", 7, 0x0100, 0, 0, 0, 0),
        struct.pack("!HHHHHH", 7, 0x0100, 2, 0, 0, 0) + query()[12:] * 2,
        struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x3fabc",
        struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x3f" + b"a" * 63 + b"\0\1",
        struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",
    ],
    ids=["cut off", "no question", "two questions", "a pointer", "within a label", "before the type", "too long"],
)
def test_malformed_queries_are_called_so(message):
    reply = RESPONDER.respond(message)
    assert reply[:2] == message[:2]
    assert DNSRecord.parse(reply).header.rcode == RCODE.FORMERR


@pytest.mark.parametrize(
    "message", [b"", b"\0" * 11, RESPONDER.respond(query())], ids=["nothing", "short", "an answer"]
)
def test_what_gets_no_answer_at_all(message):
    assert RESPONDER.respond(message) is None


@given(st.one_of(st.binary(max_size=600), st.binary(max_size=80).map(lambda tail: query()[:12] + tail)))
def test_no_message_is_a_catastrophe(message):
    reply = RESPONDER.respond(message)
    assert reply is None or DNSRecord.parse(reply).header.qr == 1


@given(st.data())
def test_damaged_queries_are_answered_or_dropped(data):
    message = bytearray(query(edns=1232))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    reply = RESPONDER.respond(bytes(message[: data.draw(st.integers(0, len(message)))]))
    assert reply is None or isinstance(reply, bytes)


def test_remembered_answers_do_not_fill_the_memory():
    responder = make()
    for number in range(CACHE + 100):
        responder.respond(query(f"x{number}.default.svc.cluster.local"))
    assert len(responder._cache) <= CACHE


def test_a_question_keeps_what_was_sent():
    found = parse(query("WEB.default.svc.cluster.local", "SRV", edns=1400))
    assert found.labels[0] == b"WEB"
    assert found.name[0] == "web"
    assert (found.id, found.type, found.cls, found.recursion_desired) == (4242, QTYPE.SRV, 1, True)
    assert found.edns == (1400, 0)
    assert parse(query()).edns is None


def test_a_short_message_is_malformed():
    with pytest.raises(Malformed):
        parse(b"\0\1")
