"""inotify(7): learn of changed files without asking again and again."""

import asyncio
import os
from pathlib import Path
from types import TracebackType

from knet.kernel.libc import call

IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x2, 0x40, 0x80, 0x100, 0x200
_EVENTS = 1 << 16


class Watch:
    """Changes in a file or directory; use as a context manager inside an event loop."""

    def __init__(self, path: Path, mask: int) -> None:
        self._fd = call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            call("inotify_add_watch", self._fd, bytes(path), mask)
        except OSError:
            os.close(self._fd)
            raise
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._drain)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    async def changed(self) -> None:
        """Until something happened since the last call (or since the watch began)."""
        await self._changed.wait()
        self._changed.clear()

    def _drain(self) -> None:
        try:
            os.read(self._fd, _EVENTS)
        except BlockingIOError:
            return
        self._changed.set()
