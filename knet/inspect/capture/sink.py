"""Where a capture's bytes go: a file, a pipe, a terminal; any of them may fill up, stop reading or go away.

Writing is a thread's business, so that a disk or a reader that takes its time does not keep anybody from emptying the
rings.  What waits to be written is limited; beyond that whole batches are left out, and counted.
"""

import errno
import os
import queue
import select
import threading

from knet.errors import KnetError

STDOUT = 1
#: bytes that may wait
_WAITING = 64 << 20
#: seconds for a reader that has stopped reading to go on once the capture has ended
_PATIENCE = 10.0
#: bytes for one system call
_PIECE = 1 << 16


class Sink:
    """Takes batches for a descriptor, which it closes in the end if it is a file of its own.

    What is handed over at once is one whole piece: where a disk is full, what has been written ends with the last one.
    """

    def __init__(self, path: str) -> None:
        """``path``: "-" for standard output; KnetError where the file cannot be written."""
        self._path = path
        self._own = path != "-"
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) if self._own else STDOUT
        except OSError as error:
            raise KnetError(f"{path} cannot be written: {error.strerror}") from None
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting = 0
        self._progress = 0
        self._lock = threading.Lock()
        self._failure: OSError | None = None
        #: packets that were left out because nobody took those before
        self.left_out = 0
        self._poll = select.poll()
        self._poll.register(self._file, 0)
        self._thread = threading.Thread(target=self._work, name="knet-sink", daemon=True)
        self._thread.start()

    def put(self, data: bytes, packets: int) -> None:
        """Have so many packets' bytes written, in order; KnetError where earlier ones could not be."""
        self._check()
        if self._waiting + len(data) > _WAITING:
            self.left_out += packets
            return
        with self._lock:
            self._waiting += len(data)
        self._queue.put(data)

    @property
    def gone(self) -> bool:
        """Whether the reader of a pipe has closed its end."""
        closed = any(event & select.POLLERR for _, event in self._poll.poll(0))
        return closed or (self._failure is not None and self._failure.errno == errno.EPIPE)

    def close(self) -> bool:
        """Write the rest, wherever somebody takes it; False where a reader has stopped reading and some is left.

        KnetError where something could not be written.
        """
        self._queue.put(None)
        before = -1
        while self._thread.is_alive() and (self._own or before != self._progress):
            before = self._progress
            self._thread.join(_PATIENCE)
        if self.done and self._own:
            os.close(self._file)
        if not self.gone:
            self._check()
        return self.done

    @property
    def done(self) -> bool:
        """Whether, after `close`, all has been written or given up."""
        return not self._thread.is_alive()

    def _check(self) -> None:
        if self._failure is not None and self._failure.errno != errno.EPIPE:
            raise KnetError(f"{self._path}: {self._failure.strerror}; what was written before is whole")

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    self._write(data)
            except OSError as error:
                self._failure = error
            with self._lock:
                self._waiting -= len(data)

    def _write(self, data: bytes) -> None:
        """All of it or, into a file that has no room for it, nothing."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view[:_PIECE]) :]
                self._progress += 1
        except OSError:
            if self._own and (written := len(data) - len(view)):
                os.ftruncate(self._file, os.lseek(self._file, 0, os.SEEK_CUR) - written)
            raise
