"""Queries as bytes to answers as bytes: codes, sizes, and whatever else arrives at port 53."""

import struct

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from knet.api.exposition import exposition
from knet.api.objects import ServicePort
from knet.dns.directory import Directory
from knet.dns.metrics import Metrics
from knet.dns.question import Malformed, parse
from knet.dns.responder import CACHE, ROOM, Foreign, Responder
from knet.dns.routes import Routes
from knet.dns.settings import read
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


ALONE = """
.:53 {
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
    }
    loadbalance
}
"""
RECURSIVE = ALONE.replace("loadbalance", "loadbalance\n forward . 192.0.2.53\n cache 30")
STUB = RECURSIVE + "consul.local { \n forward . 192.0.2.99 \n }\n"


def make(directory=None, ready=True, corefile=ALONE):
    directory = directory or cluster()
    metrics = Metrics()
    made = Responder(directory, Routes(read(corefile), directory, metrics), metrics)
    made.ready = ready
    made.udp, made.tcp = made.transport("udp"), made.transport("tcp")
    return made


RESPONDER = make()


#: an OPT record without options
OPT = bytes.fromhex("00 0029 04d0 00000000 0000")


def query(name=KUBERNETES, kind="A", edns=None, version=0, **header):
    record = DNSRecord(DNSHeader(id=4242, bitmap=0, rd=1, **header), q=DNSQuestion(name, getattr(QTYPE, kind)))
    if edns is not None:
        record.add_ar(EDNS0(udp_len=edns, version=version))
    return bytes(record.pack())


def ask(name=KUBERNETES, kind="A", responder=RESPONDER, tcp=False, **rest):
    return DNSRecord.parse(respond(query(name, kind, **rest), responder, tcp))


def respond(message, responder=RESPONDER, tcp=False):
    return responder.respond(message, responder.tcp if tcp else responder.udp)


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
    responder = make(corefile=RECURSIVE)
    assert ask(responder=responder).header.ra == 1
    plain = respond(query("www.Example.com"), responder)
    assert (plain.asked.labels, plain.answer) == ((b"www", b"Example", b"com"), None)
    alias = respond(query("outside.default.svc.cluster.local"), responder)
    assert alias.asked.labels == (b"example", b"com")
    assert [row.type for row in alias.answer.records] == ["CNAME"]


@pytest.mark.parametrize(
    ("name", "upstreams"),
    [
        ("www.example.com", [("192.0.2.53", 53)]),
        ("consul.local", [("192.0.2.99", 53)]),
        ("web.service.CONSUL.local", [("192.0.2.99", 53)]),
        ("notconsul.local", [("192.0.2.53", 53)]),
        ("9.9.9.9.in-addr.arpa", [("192.0.2.53", 53)]),
    ],
)
def test_a_server_block_answers_for_the_names_below_its_zone(name, upstreams):
    foreign = respond(query(name), make(corefile=STUB))
    [(settings, _)] = foreign.route.forwarders
    assert list(settings.upstreams) == upstreams


def test_names_of_no_server_block_are_refused():
    assert ask("www.example.com", responder=make(corefile="example.org { \n cache \n }")).header.rcode == RCODE.REFUSED


def test_before_everything_is_known_no_question_is_denied():
    unready = make(ready=False, corefile=RECURSIVE)
    for name in (KUBERNETES, "nothing.default.svc.cluster.local", "1.0.96.10.in-addr.arpa"):
        assert ask(name, responder=unready).header.rcode == RCODE.SERVFAIL
    assert isinstance(respond(query("www.example.com"), unready), Foreign)
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
    message = respond(query(MANY, edns=edns), tcp=tcp)
    found = DNSRecord.parse(message)
    assert limit - 40 < len(message) <= limit or not truncated
    assert (found.header.tc, len(found.rr) < 100) == (truncated, bool(truncated))
    assert [row.rtype for row in found.ar] == ([] if edns is None else [QTYPE.OPT])


def test_additional_addresses_are_left_out_before_anything_is_cut_off():
    directory = Directory([service("db", "None")], [endpoint_slice("db", *(f"10.244.1.{n}" for n in range(2, 9)))])
    found = ask("db.default.svc.cluster.local", "SRV", make(directory))
    assert (found.header.tc, len(found.rr), found.ar) == (0, 7, [])


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
    assert DNSRecord.parse(respond(bytes(message))).header.rcode == RCODE.REFUSED


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_the_zone_is_not_transferred(kind):
    assert ask("cluster.local", kind).header.rcode == RCODE.REFUSED


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
        query() + b"more",
        query()[:10] + b"\0\1" + query()[12:],
        query(edns=1232)[:-1],
        query()[:10] + b"\0\2" + query()[12:] + 2 * OPT,
        query()[:10] + b"\0\1" + query()[12:] + b"\1x" + OPT,
        query()[:10] + b"\0\1" + query()[12:] + OPT[:-2] + b"\0\4\0\x0a\0\x08",
        query()[:10] + b"\0\3" + query()[12:] + 3 * OPT,
        query()[:6] + b"\0\2" + query()[8:],
    ],
    ids=["cut off", "no question", "two questions", "a pointer", "within a label", "before the type", "too long",
         "more than it says", "less than it says", "OPT cut off", "two OPTs", "OPT with a name", "option cut off",
         "three additional", "answers"],
)  # fmt: skip
def test_malformed_queries_are_called_so(message):
    reply = respond(message)
    assert reply[:2] == message[:2]
    assert DNSRecord.parse(reply).header.rcode == RCODE.FORMERR


@pytest.mark.parametrize("message", [b"", b"\0" * 11, respond(query())], ids=["nothing", "short", "an answer"])
def test_what_gets_no_answer_at_all(message):
    assert respond(message) is None


def silent(message):
    """Whether a message deserves none: without a whole header, or an answer itself."""
    return len(message) < 12 or bool(message[2] & 0x80)


def answers(reply, message):
    """By its header; dnslib reads no labels that are not UTF-8."""
    return reply[:2] == message[:2] and bool(reply[2] & 0x80)


@given(st.one_of(st.binary(max_size=600), st.binary(max_size=80).map(lambda tail: query()[:12] + tail)))
def test_no_message_is_a_catastrophe_and_none_is_passed_over(message):
    reply = respond(message)
    assert (reply is None) == silent(message)
    assert reply is None or answers(reply, message)


@given(st.data())
def test_damaged_queries_are_answered_or_dropped(data):
    message = bytearray(query(edns=1232))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    sent = bytes(message[: data.draw(st.integers(0, len(message)))])
    reply = respond(sent)
    assert (reply is None) == silent(sent)
    assert reply is None or answers(reply, sent)


LABEL = st.binary(min_size=1, max_size=63)
NEAR = st.sampled_from([b"svc", b"pod", b"default", b"kubernetes", b"many", b"_https", b"_tcp", b"10-244-1-2", b"0"])


@given(st.lists(st.one_of(LABEL, NEAR), max_size=5), st.sampled_from([b"local", b"arpa", b"x"]), st.integers(0, 65535))
def test_any_name_and_type_get_an_answer(labels, last, kind):
    tail = {b"local": [b"cluster", b"local"], b"arpa": [b"in-addr", b"arpa"], b"x": []}[last]
    name = b"".join(bytes([len(label)]) + label for label in [*labels, *tail])[:250]
    reply = respond(query()[:12] + name + b"\0" + struct.pack("!HH", kind, 1))
    assert reply[3] & 0xF in (RCODE.NOERROR, RCODE.NXDOMAIN, RCODE.REFUSED, RCODE.FORMERR)


def test_remembered_answers_do_not_fill_the_memory():
    responder = make()
    for number in range(CACHE + 100):
        respond(query(f"x{number}.default.svc.cluster.local"), responder)
    assert len(responder.udp.by_bytes) <= len(responder.udp.by_question) <= CACHE


def test_nor_do_large_ones():
    responder = make()
    for size in range(512, 1500):
        respond(query(MANY, edns=size), responder, tcp=True)
    kept = sum(known.size for known in responder.tcp.by_question.values())
    assert 8 * kept <= ROOM


def test_cookies_do_not_make_new_answers():
    responder = make()
    for number in range(10):
        cookie = struct.pack("!HHQ", 10, 8, number)
        message = query(edns=1232)[:-2] + struct.pack("!H", len(cookie)) + cookie
        assert DNSRecord.parse(respond(message, responder)).ar[0].rdata == []
    assert (len(responder.udp.by_question), responder.udp.by_bytes) == (1, {})


def test_dnssec_ok_is_repeated():
    message = bytearray(query(edns=1232))
    message[-4] = 0x80
    assert DNSRecord.parse(respond(bytes(message))).ar[0].ttl == 0x8000


def test_what_was_answered_is_counted_under_coredns_names():
    responder = make()
    for name in (KUBERNETES, KUBERNETES, "nothing.default.svc.cluster.local"):
        respond(query(name), responder)
    respond(b"\0" * 12, responder)
    responder.forget()
    text = exposition(responder.metrics.families())
    server = 'server="dns://:53"'
    for line in (
        f'coredns_dns_requests_total{{family="1",proto="udp",{server},type="A",view="",zone="."}} 3',
        f'coredns_dns_responses_total{{plugin="kubernetes",rcode="NOERROR",{server},view="",zone="."}} 2',
        f'coredns_dns_responses_total{{plugin="kubernetes",rcode="NXDOMAIN",{server},view="",zone="."}} 1',
        f'coredns_dns_responses_total{{plugin="",rcode="FORMERR",{server},view="",zone="dropped"}} 1',
        f'coredns_dns_request_size_bytes_count{{proto="udp",{server},view="",zone="."}} 3',
    ):
        assert line in text.splitlines()


def test_a_question_keeps_what_was_sent():
    found = parse(query("WEB.default.svc.cluster.local", "SRV", edns=1400))
    assert found.labels[0] == b"WEB"
    assert found.name[0] == "web"
    assert (found.id, found.type, found.cls, found.flags) == (4242, QTYPE.SRV, 1, 0x100)
    assert found.edns == (1400, 0, False, False)
    assert parse(query()).edns is None


def test_a_short_message_is_malformed():
    with pytest.raises(Malformed):
        parse(b"\0\1")
