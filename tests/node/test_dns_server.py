"""The DNS server at port 53 of a network namespace of its own, asked over real sockets."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from knet.dns.directory import Directory
from knet.dns.forward import Forwarder
from knet.dns.responder import Responder
from knet.dns.server import Server, serve_probe
from knet.dns.zone import Zone
from knet.kernel import links, namespaces
from knet.kernel.namespaces import run_in
from knet.kernel.netlink import Netlink
from tests.cluster_objects import endpoint_slice, service

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


async def serving(forwarder: Forwarder | None = None) -> Server:
    services = [
        service("web", "10.96.0.80"),
        service("many", "None"),
        service("outside", "", (), type="ExternalName", externalName="www.example.com"),
    ]
    directory = Directory(services, [endpoint_slice("many", *(f"10.244.1.{n}" for n in range(2, 102)))])
    responder = Responder(directory, Zone(directory, "cluster.local"), recursive=forwarder is not None)
    responder.ready = True
    server = Server(responder, forwarder)
    await server.start(HERE, 53)
    return server


class Client:
    """A UDP socket that asks one server."""

    def __init__(self, address: str = HERE) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
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
        message = bytes(DNSRecord.question(name).pack())
        writer.write(len(message).to_bytes(2, "big") + message)
    found = []
    for _ in names:
        size = int.from_bytes(await reader.readexactly(2), "big")
        found.append(DNSRecord.parse(await reader.readexactly(size)))
    writer.close()
    return found


def addresses(answer: DNSRecord) -> list[str]:
    return [str(row.rdata) for row in answer.rr if row.rtype == QTYPE.A]


class Upstream(asyncio.DatagramProtocol):
    """Another name server: knows www.example.com; lies first, if told to; counts what it is asked."""

    def __init__(self, lie: bool = False) -> None:
        self.asked = 0
        self._lie = lie

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(UPSTREAM, 53))
        await asyncio.start_server(self._serve, UPSTREAM, 53)

    def answer(self, query: bytes, address: str = "192.0.2.1") -> bytes:
        self.asked += 1
        reply = DNSRecord.parse(query).reply()
        if reply.q.qname == "www.example.com":
            reply.add_answer(RR(reply.q.qname, ttl=60, rdata=A(address)))
        else:
            reply.header.rcode = RCODE.NXDOMAIN
        return bytes(reply.pack())

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._lie:
            other = DNSRecord.question("other.example.com")
            other.header.id = DNSRecord.parse(data).header.id
            self._transport.sendto(bytes(other.reply().pack()), addr)
            self._transport.sendto(b"\0" + self.answer(data, "192.0.2.66")[1:], addr)
        self._transport.sendto(self.answer(data), addr)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = self.answer(await reader.readexactly(size))
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
        await serving(Forwarder(UPSTREAM))
        found = await Client().ask("www.example.com")
        assert (addresses(found), found.header.ra) == (["192.0.2.1"], 1)
        assert (await Client().ask("nothing.example.com")).header.rcode == RCODE.NXDOMAIN
        assert addresses((await ask_tcp("www.example.com"))[0]) == ["192.0.2.1"]
        asked = upstream.asked
        assert (await Client().ask("nothing.default.svc.cluster.local")).header.rcode == RCODE.NXDOMAIN
        assert upstream.asked == asked

    in_namespace(body)


def test_an_alias_out_of_the_cluster_is_followed():
    async def body() -> None:
        await Upstream().start()
        await serving(Forwarder(UPSTREAM))
        found = await Client().ask("outside.default.svc.cluster.local")
        assert [QTYPE.get(row.rtype) for row in found.rr] == ["CNAME", "A"]
        assert addresses(found) == ["192.0.2.1"]

    in_namespace(body)


def test_answers_to_other_questions_are_not_believed():
    async def body() -> None:
        await Upstream(lie=True).start()
        await serving(Forwarder(UPSTREAM))
        assert addresses(await Client().ask("www.example.com")) == ["192.0.2.1"]

    in_namespace(body)


def test_a_name_server_that_is_not_there_means_servfail():
    async def body() -> None:
        await serving(Forwarder(UPSTREAM))
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
        await serve_probe(HERE, 8181, "/ready", lambda: ready)
        assert (await probe(8181, "/ready"))[0] == "503 Service Unavailable"
        ready = True
        assert await probe(8181, "/ready") == ("200 OK", "OK")
        assert (await probe(8181, "/else"))[0] == "404 Not Found"

    in_namespace(body)
