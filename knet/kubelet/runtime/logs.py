"""Reading container logs: CRI format in, what ``kubectl logs`` shows out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from knet.kernel.inotify import IN_MODIFY, Watch

_BLOCK = 1 << 18


@dataclass(frozen=True)
class LogOptions:
    """``tail``: that many last lines, None for all; ``since``: Unix time; ``limit``: bytes; ``stream``: "stdout"…"""

    tail: int | None = None
    since: float = 0.0
    timestamps: bool = False
    limit: int | None = None
    stream: str = ""


class Entry(NamedTuple):
    """A line of a log file, or a part of one that the container wrote without a newline (yet)."""

    time: bytes
    stream: bytes
    partial: bool
    text: bytes


def parse(line: bytes) -> Entry | None:
    """An entry of the form ``TIME STREAM F|P TEXT``; None for anything else."""
    parts = line.split(b" ", 3)
    if len(parts) < 4:
        return None
    return Entry(parts[0], parts[1], parts[2] == b"P", parts[3])


def last_lines(entries: list[Entry], count: int) -> list[Entry]:
    """The entries that make up the last ``count`` lines; an unfinished line is one."""
    if count == 0:
        return []
    found = 0
    for index in range(len(entries) - 1, -1, -1):
        begins = index == 0 or not entries[index - 1].partial or entries[index - 1].stream != entries[index].stream
        if begins:
            found += 1
            if found == count:
                return entries[index:]
    return entries


def tail(path: Path, lines: int, size: int) -> str:
    """The last ``lines`` of a log file, of these the last ``size`` bytes; OSError."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _BLOCK))
        entries = [entry for line in file.read().split(b"\n") if (entry := parse(line)) is not None]
    text = b"".join(entry.text + (b"" if entry.partial else b"\n") for entry in last_lines(entries, lines))
    return text[-size:].decode(errors="replace")


class Formatter:
    """Turns entries into bytes; remembers whether a line was left unfinished."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._partial = False

    def format(self, entries: list[Entry]) -> bytes:
        out = []
        for entry in entries:
            if self._options.stream and entry.stream.decode() != self._options.stream:
                continue
            if self._options.since and _unix(entry.time) < self._options.since:
                continue
            if self._options.timestamps and not self._partial:
                out += [entry.time, b" "]
            out.append(entry.text if entry.partial else entry.text + b"\n")
            self._partial = entry.partial
        return b"".join(out)


async def read(path: Path, options: LogOptions, ended: "asyncio.Future[Any] | None" = None) -> AsyncIterator[bytes]:
    """What a log holds; with ``ended`` also what is added until that future is done."""
    formatter = Formatter(options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with path.open("rb") as file:
        rest = file.read()
        *lines, rest = rest.split(b"\n")
        entries = [entry for entry in map(parse, lines) if entry is not None]
        if options.tail is not None:
            entries = last_lines(entries, options.tail)
        text = formatter.format(entries)
        yield text[: options.limit]
        if ended is None:
            return
        left = None if options.limit is None else options.limit - len(text)
        async for block in _added(path, file, ended):
            *lines, rest = (rest + block).split(b"\n")
            text = formatter.format([entry for entry in map(parse, lines) if entry is not None])
            if left is not None:
                if left <= 0:
                    return
                text, left = text[:left], left - len(text)
            yield text


async def _added(path: Path, file: BinaryIO, ended: "asyncio.Future[Any]") -> AsyncIterator[bytes]:
    with Watch(path, IN_MODIFY) as watch:
        while True:
            over = ended.done()  # asked before reading: what was written before the end is read
            while block := file.read(_BLOCK):
                yield block
            if over:
                return
            changed = asyncio.create_task(watch.changed())
            waiting: list[asyncio.Future[Any]] = [changed, ended]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()


def _unix(text: bytes) -> float:
    """An RFC 3339 time with nanoseconds, which datetime does not read, as Unix time."""
    whole, _, fraction = text.decode().rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")
