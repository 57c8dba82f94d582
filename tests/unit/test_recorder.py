"""The flight recorder: what it keeps, what it tells, and that followers miss nothing."""

import asyncio
import contextlib
import itertools
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from knet.kernel import recorder
from knet.kernel.recorder import Entry, Head, Recorder, Wanted

POD = ("pod", "default", "web")
_numbers = itertools.count()


def told(rows: list[Entry]) -> list[str]:
    return [row.text for row in rows]


def test_text_is_made_of_an_entry_when_it_is_read() -> None:
    class Spelled:
        times = 0

        def __str__(self) -> str:
            self.times += 1
            return "10.244.1.2"

    spelled, row = Spelled(), Recorder()
    row.record("kubelet", "sandbox", (POD,), "%s in %d ms", spelled, 4, took=0.004)
    assert spelled.times == 0
    [entry] = row.entries()
    assert (entry.text, entry.args, entry.about, entry.took) == ("10.244.1.2 in 4 ms", ("10.244.1.2", 4), (POD,), 0.004)


def test_a_text_without_arguments_may_have_any_sign_in_it() -> None:
    row = Recorder()
    row.record("kubelet", "decision", (POD,), "used 100%")
    assert told(row.entries()) == ["used 100%"]


def test_the_oldest_entries_go_and_the_head_says_how_many() -> None:
    row = Recorder(kept=3)
    assert row.head("x").kept_from == 1
    for number in range(5):
        row.record("x", "rules", (), "%d", number)
    assert told(row.entries()) == ["2", "3", "4"]
    assert row.head("x").kept_from == 3


def test_entries_are_found_by_stamp_and_by_number() -> None:
    row = Recorder()
    for text in ("a", "b", "c"):
        row.record("x", "rules", (), text)
    first, second, _ = row.entries()
    assert first.at <= second.at
    assert told(row.entries(after=second.number)) == ["c"]
    assert told(row.entries(since=second.at)) == ["b", "c"] or first.at == second.at


def test_threads_record_at_the_same_time_and_no_number_is_given_twice() -> None:
    row = Recorder()

    def work() -> None:
        for _ in range(200):
            row.record("x", "rules", (), "")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.number for entry in row.entries()] == list(range(1, 801))


# ---- over its socket -----------------------------------------------------------------------------------------------


def serving(test: Callable[[Recorder, str], Awaitable[None]]) -> None:
    async def body() -> None:
        row, name = Recorder(), f"test-{os.getpid()}-{next(_numbers)}"
        async with asyncio.timeout(20), recorder.served(name, row):
            await test(row, name)

    asyncio.run(body())


@contextlib.asynccontextmanager
async def _asked(name: str, wanted: Wanted) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_unix_connection(sock=recorder.ask(name, wanted))
    try:
        yield reader
    finally:
        writer.close()


def test_it_answers_with_a_head_and_its_entries() -> None:
    async def test(row: Recorder, name: str) -> None:
        row.record("kubelet", "signal", (POD,), "%s to %s", "SIGTERM", "nginx")
        async with _asked(name, Wanted()) as reader:
            lines = (await reader.read()).splitlines()
        assert msgspec.json.decode(lines[0], type=Head) == Head(name, os.getpid(), row.began, 1, row.entries()[0].at)
        assert [msgspec.json.decode(line, type=Entry) for line in lines[1:]] == row.entries()

    serving(test)


def test_a_follower_gets_each_entry_once_also_those_of_threads() -> None:
    async def test(row: Recorder, name: str) -> None:
        row.record("x", "rules", (), "before")
        async with _asked(name, Wanted(follow=True)) as reader:
            await reader.readline()
            assert msgspec.json.decode(await reader.readline(), type=Entry).text == "before"
            row.record("x", "rules", (), "during")
            await asyncio.to_thread(row.record, "x", "rules", (), "from a thread")
            texts = [msgspec.json.decode(await reader.readline(), type=Entry).text for _ in range(2)]
            assert texts == ["during", "from a thread"]

    serving(test)


@pytest.mark.parametrize("question", [b"", b"\n", b"GET / HTTP/1.1\r\n\r\n", b'{"since": "now"}\n', b"x" * 100_000])
def test_who_asks_for_nonsense_is_hung_up_on(question: bytes) -> None:
    async def test(row: Recorder, name: str) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(recorder.address(name))
            reader, writer = await asyncio.open_unix_connection(sock=sock)
            writer.write(question)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    serving(test)


def test_who_leaves_is_not_told_any_more() -> None:
    async def test(row: Recorder, name: str) -> None:
        async with _asked(name, Wanted(follow=True)) as reader:
            await reader.readline()
            assert row.followed
        while row.followed:  # the other end hears of it by its own loop
            await asyncio.sleep(0)

    serving(test)
