"""List and watch as the DNS server does it: against a real API server, and against one that misbehaves."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import orjson
import pytest
from apiserver_harness import Api, Server, make_pki, running

from knet.api.objects import Service
from knet.api.resources import SERVICEACCOUNTS, SERVICES
from knet.dns.connection import Access, Connection, Refused
from knet.dns.feed import Feed

SERVICE = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("dns-feed")) as found:
        yield found


async def access(server: Server, api: Api) -> Access:
    """What a pod of the account that the cluster DNS has finds in its service account's volume."""
    await api("POST", SERVICEACCOUNTS.path("kube-system"), {"metadata": {"name": "coredns"}})
    answer = await api("POST", SERVICEACCOUNTS.path("kube-system", "coredns", "token"), {"spec": {}})
    token = server.directory / "token"
    token.write_text(answer.body["status"]["token"])
    return Access("127.0.0.1", int(server.url.rpartition(":")[2]), server.tls(""), token)


class Changes:
    """A subscriber that can be waited for."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def __call__(self, old: Service | None, new: Service | None) -> None:
        known = new or old
        assert known is not None
        verb = "added" if old is None else "deleted" if new is None else "changed"
        self.seen.put_nowait((verb, known.name))


def test_changes_reach_the_subscriber(server: Server):
    async def test(api: Api) -> None:
        changes = Changes()
        feed = Feed(await access(server, api), Service, changes)
        task = asyncio.create_task(feed.run())
        await feed.synced.wait()
        assert changes.seen.get_nowait() == ("added", "kubernetes")
        path = SERVICES.path("default")
        await api("POST", path, SERVICE)
        assert await changes.seen.get() == ("added", "web")
        await api("PATCH", f"{path}/web", {"metadata": {"labels": {"a": "b"}}}, "application/merge-patch+json")
        assert await changes.seen.get() == ("changed", "web")
        await api("DELETE", f"{path}/web")
        assert await changes.seen.get() == ("deleted", "web")
        task.cancel()

    server.run(test)


def test_a_refusal_is_told(server: Server):
    async def test(api: Api) -> None:
        connection = await Connection.open(await access(server, api))
        with pytest.raises(Refused) as refused:
            [piece async for piece in connection.get("/api/v1/nothing")]
        assert refused.value.status == 403
        connection.close()

    server.run(test)


# ---- a server that follows a script --------------------------------------------------------------------------------


def listing(revision: str, *names: str) -> bytes:
    items = [{"metadata": {"name": name, "namespace": "default", "resourceVersion": "1"}} for name in names]
    return orjson.dumps({"metadata": {"resourceVersion": revision}, "items": items})


def event(kind: str, name: str, revision: str) -> bytes:
    meta = {"name": name, "namespace": "default", "resourceVersion": revision}
    return orjson.dumps({"type": kind, "object": {"metadata": meta}}) + b"\n"


GONE = orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}) + b"\n"


def sized(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + (b"0\r\n\r\n" if end else b"")


CLOSE = b""


def scripted(directory: Path, answers: list[bytes], test: Callable[[Access, list[str]], Awaitable[None]]) -> None:
    """Run ``test`` beside a server that gives these answers one by one; CLOSE ends the connection instead.

    When they are used up, requests stay without an answer.  The test gets the paths that were asked for.
    """
    make_pki(directory / "pki")
    (directory / "token").write_text("secret")
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                request = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            assert b"Authorization: Bearer secret\r\n" in request
            asked.append(request.split(b" ")[1].decode())
            answer = answers.pop(0) if answers else None
            if answer == CLOSE:
                break
            if answer is not None:
                writer.write(answer)
        writer.close()

    async def main() -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(directory / "pki/apiserver.crt", directory / "pki/apiserver.key")
        listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        port = listener.sockets[0].getsockname()[1]
        trust = ssl.create_default_context(cafile=str(directory / "pki/ca.crt"))
        async with asyncio.timeout(20):
            await test(Access("127.0.0.1", port, trust, directory / "token"), asked)
        listener.close()

    asyncio.run(main())


def follow(directory: Path, answers: list[bytes], expected: list[tuple[str, str]]) -> list[str]:
    """Feed from a scripted server until these changes have been seen; the paths that were asked for by then."""
    paths: list[str] = []

    async def test(access: Access, asked: list[str]) -> None:
        changes = Changes()
        task = asyncio.create_task(Feed(access, Service, changes).run())
        assert [await changes.seen.get() for _ in expected] == expected
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        paths.extend(asked)

    scripted(directory, answers, test)
    return paths


def test_events_may_be_cut_anywhere(tmp_path: Path):
    line = event("ADDED", "b", "3") + event("BOOKMARK", "", "4") + event("DELETED", "a", "5")
    answers = [sized(listing("2", "a")), chunked(line[:10], line[10:50], line[50:], end=False)]
    follow(tmp_path, answers, [("added", "a"), ("added", "b"), ("deleted", "a")])


def test_a_watch_that_ends_goes_on_from_the_last_revision(tmp_path: Path):
    answers = [
        sized(listing("2", "a")),
        chunked(event("ADDED", "b", "7")),
        chunked(event("ADDED", "c", "8"), end=False),
    ]
    paths = follow(tmp_path, answers, [("added", "a"), ("added", "b"), ("added", "c")])
    assert [path.rpartition("=")[2] for path in paths] == ["/api/v1/services", "2", "7"]


@pytest.mark.parametrize("gone", [chunked(GONE), sized(b"{}", "410 Gone")], ids=["as an event", "as a status"])
def test_a_revision_that_is_gone_leads_to_a_new_list(tmp_path: Path, gone: bytes):
    answers = [sized(listing("2", "a", "b")), gone, sized(listing("9", "b", "c"))]
    follow(tmp_path, answers, [("added", "a"), ("added", "b"), ("deleted", "a"), ("added", "c")])


@pytest.mark.parametrize(
    "trouble",
    [CLOSE, sized(b"{}", "503 Service Unavailable"), b"nonsense\r\n\r\n", chunked(b"not JSON\n"), sized(b"[]")],
    ids=["closed", "503", "no HTTP", "no JSON", "no event"],
)
def test_after_trouble_it_is_tried_again_from_where_it_was(tmp_path: Path, trouble: bytes):
    answers = [sized(listing("2", "a")), trouble, chunked(event("ADDED", "b", "3"), end=False)]
    paths = follow(tmp_path, answers, [("added", "a"), ("added", "b")])
    assert paths[-1].endswith("resourceVersion=2")
