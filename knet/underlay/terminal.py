"""Run commands inside namespaces from an interactive process: on its terminal, or for their output.

Unlike `knet.kernel.process`, whose programs lead sessions of their own, a command on the terminal must stay in the
caller's session and process group: then Ctrl-C reaches it, and ``vi`` or ``tcpdump`` work as if started by hand.
"""

import os
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.programs import DEFAULTED


def on_terminal(namespaces: Namespaces, command: str, output: int = 1) -> int:
    """Run a bash command line inside ``namespaces`` with the caller's standard input and error, and wait for it.

    ``output`` is the descriptor for its standard output.  Returns its exit code, or minus the number of the signal
    that ended it.  Ctrl-C is the command's, not the caller's, while it runs.
    """
    with _terminal_kept():
        pid = run_in(namespaces, lambda: _spawn(command, output))
        _pid, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Ignore Ctrl-C, and afterwards have the terminal as it was, whatever was done to it: its modes, and who it is that
    reads from it (an interactive shell makes itself the foreground process group)."""
    terminal = sys.__stdin__.fileno() if sys.__stdin__ is not None else -1
    try:
        foreground, modes = os.tcgetpgrp(terminal), termios.tcgetattr(terminal)
    except (OSError, termios.error):
        terminal = -1  # it is none, or not ours
    ignored = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTTOU)}
    try:
        yield
    finally:
        if terminal >= 0:
            os.tcsetpgrp(terminal, foreground)
            termios.tcsetattr(terminal, termios.TCSADRAIN, modes)
        for number, handler in ignored.items():
            signal.signal(number, handler)


def capture(namespaces: Namespaces, command: str) -> str:
    """Run a bash command line inside ``namespaces`` and return what it printed, to either stream."""

    def run() -> bytes:
        return subprocess.run(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        ).stdout

    return run_in(namespaces, run).decode(errors="replace")


def _spawn(command: str, output: int) -> int:
    return os.posix_spawn(
        shutil.which("bash") or "/bin/sh",
        ["bash", "-c", command],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, output, 1)],
        setsigdef=DEFAULTED,
    )
