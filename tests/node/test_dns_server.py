"""The DNS server at port 53 of a network namespace of its own, asked over real sockets."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from knet.dns.directory import Directory
from knet.dns.http import Page, serve_page
from knet.dns.metrics import Metrics
from knet.dns.responder import Responder
from knet.dns.routes import Routes
from knet.dns.server import CONNECTIONS, Server
from knet.dns.settings import read
from knet.kernel import links, namespaces
from knet.kernel.namespaces import run_in
from knet.kernel.netlink import Netlink
from tests.cluster_objects import endpoint, endpoint_slice, service

pytestmark = pytest.mark.root

HERE, UPSTREAM = "127.0.0.1", "127.0.0.2"
WEB = "web.default.svc.cluster.local"
MANY = "many.default.svc.cluster.local"


def in_namespace(body: Callable[[], Awaitable[None]]) -> None:
    """Run ``body`` where nobody else listens."""
    space = namespaces.create("net")
    with Netlink(space.fds["net"]) as netlink:
        netlink.send(links.change("lo", up=True))

    async def main() -> None:
        async with asyncio.timeout(30):
            await body()

    try:
        run_in(space, lambda: asyncio.run(main()))
    finally:
        space.close()


ALONE = "kubernetes cluster.local in-addr.arpa ip6.arpa\n loadbalance"


async def serving(more: str = "") -> Server:
    """A server with more lines in its Corefile."""
    services = [
        service("web", "10.96.0.80"),
        service("many", "None"),
        service("outside", "", (), type="ExternalName", externalName="www.example.com"),
        service("lost", "", (), type="ExternalName", externalName="lost.example.com"),
    ]
    directory = Directory(services, [endpoint_slice("many", *(f"10.244.1.{n}" for n in range(2, 102)))])
    metrics = Metrics()
    responder = Responder(directory, Routes(read(f".:53 {{\n{ALONE}\n{more}\n}}"), directory, metrics), metrics)
    responder.ready = True
    server = Server(responder)
    await server.start(53, HERE, "::1")
    return server


class Client:
    """A UDP socket that asks one server."""

    def __init__(self, address: str = HERE) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect((address, 53))

    async def send(self, message: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, message)

    async def receive(self) -> DNSRecord:
        return DNSRecord.parse(await asyncio.get_running_loop().sock_recv(self._socket, 4096))

    async def ask(self, name: str, kind: str = "A") -> DNSRecord:
        question = DNSRecord.question(name, kind)
        await self.send(bytes(question.pack()))
        answer = await self.receive()
        assert answer.header.id == question.header.id
        return answer


async def ask_tcp(*names: str) -> list[DNSRecord]:
    """Several questions over one connection, sent before the first answer is read."""
    reader, writer = await asyncio.open_connection(HERE, 53)
    for name in names:
        say(writer, name)
    found = [await hear(reader) for _ in names]
    writer.close()
    return found


def say(writer: asyncio.StreamWriter, name: str) -> None:
    message = bytes(DNSRecord.question(name).pack())
    writer.write(len(message).to_bytes(2, "big") + message)


async def hear(reader: asyncio.StreamReader) -> DNSRecord:
    size = int.from_bytes(await reader.readexactly(2), "big")
    return DNSRecord.parse(await reader.readexactly(size))


def addresses(answer: DNSRecord) -> list[str]:
    return [str(row.rdata) for row in answer.rr if row.rtype == QTYPE.A]


class Upstream(asyncio.DatagramProtocol):
    """Another name server: knows www.example.com; lies first, if told to; counts what it is asked.

    Where there is an event ``until`` it is silent until that is set, or for ever.

    What has many addresses it cuts off over UDP.
    """

    def __init__(self, lie: bool = False, until: asyncio.Event | None = None, address: str = UPSTREAM) -> None:
        self.asked = 0
        self._lie = lie
        self._until = until
        self._later: set[asyncio.Task[None]] = set()
        self._address = address

    async def start(self) -> "Upstream":
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._address, 53))
        await asyncio.start_server(self._serve, self._address, 53)
        return self

    def answer(self, query: bytes, address: str = "192.0.2.1", tcp: bool = False) -> bytes:
        self.asked += 1
        reply = DNSRecord.parse(query).reply()
        if reply.q.qname == "www.example.com":
            reply.add_answer(RR(reply.q.qname, ttl=60, rdata=A(address)))
        elif reply.q.qname == "many.example.com":
            reply.header.tc = int(not tcp)
            for number in range(100 * tcp):
                reply.add_answer(RR(reply.q.qname, ttl=60, rdata=A(f"192.0.2.{number}")))
        else:
            reply.header.rcode = RCODE.NXDOMAIN
            reply.add_auth(*RR.fromZone("example.com. 60 IN SOA ns.example.com. root.example.com. 1 2 3 4 60"))
        return bytes(reply.pack())

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._until is not None:
            self.asked += 1
            self._later.add(asyncio.create_task(self._answer_later(data, addr, self._until)))
            return
        if self._lie:
            other = DNSRecord.question("other.example.com")
            other.header.id = DNSRecord.parse(data).header.id
            self._transport.sendto(bytes(other.reply().pack()), addr)
            self._transport.sendto(b"\0" + self.answer(data, "192.0.2.66")[1:], addr)
        self._transport.sendto(self.answer(data), addr)

    async def _answer_later(self, data: bytes, addr: tuple[str, int], event: asyncio.Event) -> None:
        await event.wait()
        self._transport.sendto(self.answer(data), addr)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = self.answer(await reader.readexactly(size), tcp=True)
        writer.write(len(reply).to_bytes(2, "big") + reply)
        writer.close()


def test_questions_over_udp():
    async def body() -> None:
        server, client = await serving(), Client()
        assert addresses(await client.ask(WEB)) == ["10.96.0.80"]
        assert (await client.ask("nothing.default.svc.cluster.local")).header.rcode == RCODE.NXDOMAIN
        assert (await client.ask("www.example.com")).header.rcode == RCODE.NXDOMAIN
        server.close()

    in_namespace(body)


def test_many_questions_at_once_are_all_answered():
    async def body() -> None:
        await serving()
        client = Client()
        questions = {}
        for _ in range(150):
            question = DNSRecord.question(WEB)
            questions[question.header.id] = True
            await client.send(bytes(question.pack()))
        for _ in range(150):
            questions.pop((await client.receive()).header.id, None)
        assert questions == {}

    in_namespace(body)


def test_an_answer_that_is_cut_off_over_udp_is_whole_over_tcp():
    async def body() -> None:
        await serving()
        assert (await Client().ask(MANY)).header.tc == 1
        whole, web = await ask_tcp(MANY, WEB)
        assert (whole.header.tc, len(addresses(whole))) == (0, 100)
        assert addresses(web) == ["10.96.0.80"]

    in_namespace(body)


def test_what_is_no_query_does_no_harm():
    async def body() -> None:
        await serving()
        client = Client()
        for message in (b"", b"x", bytes(12), b"\xff" * 600):
            await client.send(message)
        for message in (b"\0\0", b"\xff\xffshort", b"\0\x0c" + bytes(12)):
            _, writer = await asyncio.open_connection(HERE, 53)
            writer.write(message)
            writer.close()
        await client.send(bytes(DNSRecord.question(WEB).pack()))
        while not addresses(await client.receive()):
            pass

    in_namespace(body)


def test_names_of_others_are_forwarded_over_udp_and_tcp():
    async def body() -> None:
        upstream = Upstream()
        await upstream.start()
        await serving(f"forward . {UPSTREAM}")
        found = await Client().ask("www.example.com")
        assert (addresses(found), found.header.ra) == (["192.0.2.1"], 1)
        assert (await Client().ask("nothing.example.com")).header.rcode == RCODE.NXDOMAIN
        assert addresses((await ask_tcp("www.example.com"))[0]) == ["192.0.2.1"]
        asked = upstream.asked
        assert (await Client().ask("nothing.default.svc.cluster.local")).header.rcode == RCODE.NXDOMAIN
        assert upstream.asked == asked

    in_namespace(body)


def test_what_others_said_is_remembered_also_what_they_denied():
    async def body() -> None:
        upstream = await Upstream().start()
        await serving(f"forward . {UPSTREAM}\n cache 30")
        client = Client()
        first, again, loud = [
            await client.ask(name) for name in ("www.example.com", "www.example.com", "WWW.Example.com")
        ]
        assert addresses(first) == addresses(again) == addresses(loud) == ["192.0.2.1"]
        assert (str(loud.q.qname), upstream.asked) == ("WWW.Example.com.", 1)
        assert {first.rr[0].ttl, again.rr[0].ttl} <= {29, 30}
        for _ in range(2):
            denied = await client.ask("nothing.example.com")
            assert (denied.header.rcode, denied.auth[0].rtype) == (RCODE.NXDOMAIN, QTYPE.SOA)
        assert upstream.asked == 2

    in_namespace(body)


def test_an_answer_that_is_cut_off_is_asked_for_by_tcp_and_given_as_the_client_can_take_it():
    async def body() -> None:
        await Upstream().start()
        await serving(f"forward . {UPSTREAM}")
        assert (await Client().ask("many.example.com")).header.tc == 1
        assert len(addresses((await ask_tcp("many.example.com"))[0])) == 100

    in_namespace(body)


def test_the_same_question_is_under_way_only_once():
    async def body() -> None:
        upstream = await Upstream(until=asyncio.Event()).start()
        server = await serving(f"forward . {UPSTREAM} {{ \n max_concurrent 10 \n }}")
        client = Client()
        for _ in range(20):
            await client.send(bytes(DNSRecord.question("www.example.com").pack()))
        refused = [(await client.receive()).header.rcode for _ in range(10)]
        assert refused == 10 * [RCODE.REFUSED]
        assert (await Client().ask(WEB)).header.rcode == RCODE.NOERROR
        assert upstream.asked == 1
        server.close()

    in_namespace(body)


def test_a_name_server_that_is_silent_is_made_up_for_by_the_next_and_then_passed_over():
    async def body() -> None:
        silent = await Upstream(until=asyncio.Event(), address="127.0.0.3").start()
        await Upstream().start()
        await serving(
            f"forward . 127.0.0.3 {UPSTREAM} {{ \n policy sequential \n max_fails 1 \n read_timeout 50ms \n }}"
        )
        for _ in range(3):
            assert addresses(await Client().ask("www.example.com")) == ["192.0.2.1"]
        assert silent.asked == 1

    in_namespace(body)


def test_an_alias_out_of_the_cluster_is_followed():
    async def body() -> None:
        await Upstream().start()
        await serving(f"forward . {UPSTREAM}")
        found = await Client().ask("outside.default.svc.cluster.local")
        assert [QTYPE.get(row.rtype) for row in found.rr] == ["CNAME", "A"]
        assert addresses(found) == ["192.0.2.1"]
        lost = await Client().ask("lost.default.svc.cluster.local")
        assert (lost.header.rcode, [QTYPE.get(row.rtype) for row in lost.rr]) == (RCODE.NXDOMAIN, ["CNAME"])
        assert [str(row.rname) for row in lost.auth] == ["example.com."]

    in_namespace(body)


def test_stub_domains_have_name_servers_of_their_own():
    async def body() -> None:
        stub, rest = await Upstream(address="127.0.0.3").start(), await Upstream().start()
        await serving(f"forward . {UPSTREAM} \n }} \n example.com {{ \n forward . 127.0.0.3")
        await Client().ask("www.example.com")
        await Client().ask("outside.default.svc.cluster.local")
        assert (stub.asked, rest.asked) == (2, 0)
        await Client().ask("www.example.org")
        assert (stub.asked, rest.asked) == (2, 1)

    in_namespace(body)


def test_a_query_that_waits_for_others_does_not_hold_up_those_behind_it():
    async def body() -> None:
        now = asyncio.Event()
        await Upstream(until=now).start()
        await serving(f"forward . {UPSTREAM}")
        reader, writer = await asyncio.open_connection(HERE, 53)
        for name in ("www.example.com", WEB):
            say(writer, name)
        assert addresses(await hear(reader)) == ["10.96.0.80"], "answers come in the order in which they are known"
        now.set()
        assert addresses(await hear(reader)) == ["192.0.2.1"]
        writer.close()

    in_namespace(body)


def test_a_client_that_has_said_all_still_gets_its_answer():
    async def body() -> None:
        await Upstream().start()
        await serving(f"forward . {UPSTREAM}")
        reader, writer = await asyncio.open_connection(HERE, 53)
        say(writer, "www.example.com")
        writer.write_eof()
        assert addresses(DNSRecord.parse((await reader.read())[2:])) == ["192.0.2.1"]

    in_namespace(body)


def test_of_too_many_connections_the_one_that_is_silent_longest_is_closed():
    async def body() -> None:
        server = await serving()
        readers = []
        for _ in range(CONNECTIONS + 1):
            reader, writer = await asyncio.open_connection(HERE, 53)
            readers.append((reader, writer))
            say(writer, WEB)
            await reader.readexactly(2)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await readers[0][0].readexactly(1000)
        assert addresses((await ask_tcp(WEB))[0]) == ["10.96.0.80"]
        server.close()

    in_namespace(body)


def test_a_mistake_of_ours_costs_one_answer(caplog: pytest.LogCaptureFixture):
    """No API server takes a hostname that is longer than a label; here it stands for what nobody thought of."""

    async def body() -> None:
        server = await serving()
        many = endpoint_slice("many", endpoint("10.244.1.2", hostname="x" * 64))
        server.responder.directory.slice_changed(None, many)
        assert (await Client().ask(f"_http._tcp.{MANY}", "SRV")).header.rcode == RCODE.SERVFAIL
        assert addresses(await Client().ask(WEB)) == ["10.96.0.80"]
        assert server.responder.metrics.panics == 1

    in_namespace(body)
    assert "a label of 64 bytes" in caplog.text


def test_over_ipv6():
    async def body() -> None:
        await serving()
        assert addresses(await Client("::1").ask(WEB)) == ["10.96.0.80"]

    in_namespace(body)


def test_each_query_is_logged_where_the_corefile_says_so(caplog: pytest.LogCaptureFixture):
    async def body() -> None:
        await serving("log")
        await Client().ask(WEB)

    with caplog.at_level("INFO"):
        in_namespace(body)
    assert re.search(rf'127.0.0.1:\d+ - \d+ "A IN {WEB}. udp 47 false 512" NOERROR qr,aa,rd 63 0\.\d+s', caplog.text)


def test_answers_to_other_questions_are_not_believed():
    async def body() -> None:
        await Upstream(lie=True).start()
        await serving(f"forward . {UPSTREAM}")
        assert addresses(await Client().ask("www.example.com")) == ["192.0.2.1"]

    in_namespace(body)


def test_a_name_server_that_is_not_there_means_servfail():
    async def body() -> None:
        await serving(f"forward . {UPSTREAM}")
        for name in ("www.example.com", "outside.default.svc.cluster.local"):
            assert (await Client().ask(name)).header.rcode == RCODE.SERVFAIL
        assert (await ask_tcp("www.example.com"))[0].header.rcode == RCODE.SERVFAIL
        assert addresses(await Client().ask(WEB)) == ["10.96.0.80"]

    in_namespace(body)


async def probe(port: int, path: str) -> tuple[str, str]:
    reader, writer = await asyncio.open_connection(HERE, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: dns\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head.split(" ", 1)[1].split("\r\n")[0], body


def test_probes():
    async def body() -> None:
        ready = False
        await serve_page(HERE, 8181, "/ready", lambda: Page("OK") if ready else Page("no", 503))
        assert await probe(8181, "/ready") == ("503 Service Unavailable", "no")
        ready = True
        assert await probe(8181, "/ready") == ("200 OK", "OK")
        assert (await probe(8181, "/else"))[0] == "404 Not Found"

    in_namespace(body)
