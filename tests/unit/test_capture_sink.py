"""Where a capture is written to: disks that fill up, readers that stop or leave."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from knet.errors import KnetError
from knet.inspect.capture import sink
from knet.inspect.capture.sink import Sink

BATCH = b"0123456789" * 10


def test_a_file_has_all_that_was_put(tmp_path: Path) -> None:
    path = tmp_path / "packets"
    to = Sink(str(path))
    for _ in range(100):
        to.put(BATCH, 1)
    assert to.close()
    assert path.read_bytes() == BATCH * 100


def test_a_file_that_cannot_be_made_is_refused_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(KnetError, match=r"there/packets cannot be written: No such file or directory"):
        Sink(str(tmp_path / "there" / "packets"))


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    to = Sink("/dev/full")
    to.put(BATCH, 1)
    with pytest.raises(KnetError, match="/dev/full: No space left on device"):
        to.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As if the disk had no room for more: the rest of a write is refused."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_on_a_full_disk_ends_with_a_whole_batch(tmp_path: Path) -> None:
    path = tmp_path / "packets"
    to = Sink(str(path))
    with largest_file(250), pytest.raises(KnetError, match="File too large; what was written before is whole"):
        for _ in range(3):
            to.put(BATCH, 1)
        to.close()
    assert path.read_bytes() == BATCH * 2


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sink, int]]:
    """A sink into a pipe, as `-w -` has it, and the end that is read."""
    reading, writing = os.pipe()
    monkeypatch.setattr(sink, "STDOUT", writing)
    yield Sink("-"), reading
    os.close(reading) if reading > 2 else None
    os.close(writing)


def test_a_reader_that_leaves_is_noticed_without_anything_to_write(pipe: tuple[Sink, int]) -> None:
    to, reading = pipe
    assert not to.gone
    os.close(os.dup(reading))
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, reading)  # the pipe's reading end is closed by that
    os.close(null)
    assert to.gone
    to.put(BATCH, 1)
    assert to.close()


def test_what_a_reader_does_not_read_is_left_out_and_counted(
    pipe: tuple[Sink, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    to, reading = pipe
    monkeypatch.setattr(sink, "_WAITING", 1 << 20)
    for _ in range(30):
        to.put(b"x" * (1 << 16), 10)
    assert 0 < to.left_out < 300
    monkeypatch.setattr(sink, "_PATIENCE", 0.05)
    assert not to.close()
    os.set_blocking(reading, False)
    while not to.done:  # so that the sink's thread comes to its end
        try:
            os.read(reading, 1 << 16)
        except BlockingIOError:
            continue
