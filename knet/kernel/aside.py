"""Work that a process has done aside, by a fork of itself, because of what the work leaves behind.

A library that is needed for a tenth of a second stays in a process for as long as that lives: megabytes, of
cryptography.  A fork takes it along when it ends, and does its work while its parent does something else.
"""

import os
import sys
import traceback
from collections.abc import Callable


class Aside:
    """``work`` under way; only for processes of one thread, since fork(2) copies no other."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._said, tell = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                work()
                code = 0
            except BaseException as error:  # noqa: BLE001 - the last frame of this process: told to its parent
                traceback.print_exc()
                os.write(tell, f"{type(error).__name__}: {error}".encode())
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(tell)

    def wait(self) -> None:
        """Return when it is done; RuntimeError with what went wrong, which its traceback on stderr tells in full."""
        with open(self._said, "rb") as said:
            text = said.read().decode()
        if os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1]):
            raise RuntimeError(text or "killed")
