import asyncio
from pathlib import Path

import pytest

from knet.kubelet.runtime.logs import Entry, LogOptions, last_lines, parse, read
from knet.kubelet.runtime.shim import format_output

LINES = b"""\
2026-01-01T00:00:00.000000001Z stdout F one
2026-01-01T00:00:01.000000002Z stderr F oops
2026-01-01T00:00:02.000000003Z stdout P tw
2026-01-01T00:00:02.100000003Z stdout F o
2026-01-01T00:00:03.000000004Z stdout F  three spaces
2026-01-01T00:00:04.000000004Z stdout P $ 
"""


def show(path: Path, options: LogOptions) -> bytes:
    async def collect() -> bytes:
        return b"".join([text async for text in read(path, options)])

    return asyncio.run(collect())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (LogOptions(), b"one\noops\ntwo\n three spaces\n$ "),
        (LogOptions(tail=0), b""),
        (LogOptions(tail=1), b"$ "),
        (LogOptions(tail=3), b"two\n three spaces\n$ "),
        (LogOptions(tail=100), b"one\noops\ntwo\n three spaces\n$ "),
        (LogOptions(limit=5), b"one\no"),
        (LogOptions(stream="stderr"), b"oops\n"),
        (LogOptions(since=1767225602.5), b" three spaces\n$ "),
        (
            LogOptions(tail=3, timestamps=True),
            b"2026-01-01T00:00:02.000000003Z two\n2026-01-01T00:00:03.000000004Z  three spaces\n"
            b"2026-01-01T00:00:04.000000004Z $ ",
        ),
    ],
)
def test_logs_are_shown_as_kubectl_asks(tmp_path: Path, options: LogOptions, text: bytes) -> None:
    file = tmp_path / "0.log"
    file.write_bytes(LINES)
    assert show(file, options) == text


def test_a_log_is_followed_to_the_containers_end(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_bytes(LINES[: LINES.index(b"2026-01-01T00:00:01")])

    async def scenario() -> list[bytes]:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        seen = []
        async for text in read(file, LogOptions(), ended):
            seen.append(text)
            with file.open("ab") as log:
                if len(seen) == 1:
                    log.write(b"2026-01-01T00:00:01Z stdout F half")
                    asyncio.get_running_loop().call_later(0.01, append_rest)
                elif b"half a line" in b"".join(seen) and not ended.done():
                    log.write(b"2026-01-01T00:00:02Z stdout F last words\n")
                    ended.set_result(None)
        return seen

    def append_rest() -> None:
        with file.open("ab") as log:
            log.write(b" a line\n")

    assert b"".join(asyncio.run(scenario())) == b"one\nhalf a line\nlast words\n"


def test_what_is_no_entry_is_passed_over() -> None:
    assert parse(b"garbage") is None
    assert parse(b"T stdout F ") == Entry(b"T", b"stdout", False, b"")


def test_a_line_in_parts_counts_once() -> None:
    entries = [entry for entry in map(parse, LINES.splitlines()) if entry is not None]
    assert [entry.text for entry in last_lines(entries, 3)] == [b"tw", b"o", b" three spaces", b"$ "]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\n", [b"F a"]),
        (b"a\nb", [b"F a", b"P b"]),
        (b"\n\n", [b"F ", b"F "]),
        (b"x", [b"P x"]),
    ],
)
def test_output_is_written_in_cri_format(data: bytes, lines: list[bytes]) -> None:
    head = b"2026-01-01T00:00:00.000000005Z stdout "
    assert format_output(1767225600 * 10**9 + 5, b"stdout", data) == b"".join(head + line + b"\n" for line in lines)
