"""Packet filter rules in iptables' own transactional text: restore a table, save a table.

Everything happens in the network namespace (and with the /run/xtables.lock) of the calling process.  A restore is one
transaction per table: either all of its lines are in force or none.  Chains that are not named in it stay as they are.
A process costs about 1 ms; the asynchronous variants let an event loop go on meanwhile.
"""

import asyncio
import re
import subprocess

#: seconds to wait for another iptables to let go of the lock: what kube-proxy and flannel wait
LOCK_WAIT = 5

_PROGRAMS = {4: ("iptables-restore", "iptables-save"), 6: ("ip6tables-restore", "ip6tables-save")}
_NOISE = re.compile(r"^Try `|^# |^Error occurred at line|^$")


class RulesError(RuntimeError):
    """iptables refused: one line that quotes the rule and the reason.  Nothing of that table was changed."""


def restore(text: str, *, family: int = 4) -> None:
    """Apply ``text`` (the format of iptables-save(8)) without flushing what it does not mention (``--noflush``).

    A chain declared in it (``:NAME - [0:0]``) is created or emptied.  Raises RulesError.
    """
    _applied(text, _run(_restore_command(family), text))


def save(table: str, *, family: int = 4, counters: bool = False) -> str:
    """A table as text; with ``counters`` each rule begins with ``[packets:bytes]``.  Raises RulesError."""
    return _output(_run(_save_command(table, family) + ["-c"] * counters, ""))


async def restore_async(text: str, *, family: int = 4) -> None:
    """`restore`, while the event loop goes on."""
    _applied(text, await _run_async(_restore_command(family), text))


async def save_async(table: str, *, family: int = 4) -> str:
    """`save`, while the event loop goes on."""
    return _output(await _run_async(_save_command(table, family), ""))


def rule_lines(saved: str, chain: str) -> list[str] | None:
    """The rules of one chain in a saved table, as ``-A CHAIN …`` lines; None where there is no such chain.  Pure."""
    lines = saved.splitlines()
    if not any(line.startswith(f":{chain} ") for line in lines):
        return None
    return [line for line in lines if line.startswith(f"-A {chain} ")]


def explain(text: str, stderr: str) -> str:
    """One line out of what iptables-restore said about ``text``: the offending rule, if it can be told, and why.

    iptables names a jump to a missing chain only when it comes to COMMIT; the rule is then found by the chain's name.
    """
    where = re.search(r"line:? (\d+)", stderr)
    reasons = [line for line in stderr.splitlines() if not _NOISE.match(line)]
    reason = "; ".join(reasons) or "iptables-restore failed without a word"
    lines = text.splitlines()
    if where is None or not 1 <= int(where[1]) <= len(lines):
        return reason
    number = int(where[1])
    name = re.search(r"'([^']+)'", reason)
    if lines[number - 1] == "COMMIT" and name:
        numbers = [place for place, line in enumerate(lines, 1) if name[1] in line.split()]
        number = numbers[-1] if numbers else number
    return f"line {number}, {lines[number - 1]}: {reason}"


def _restore_command(family: int) -> list[str]:
    return [_PROGRAMS[family][0], "--noflush", "--wait", str(LOCK_WAIT)]


def _save_command(table: str, family: int) -> list[str]:
    return [_PROGRAMS[family][1], "-t", table]


def _run(command: list[str], text: str) -> tuple[int, str, str]:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RulesError(f"{command[0]} is not installed (Debian: apt install iptables)") from None
    return done.returncode, done.stdout, done.stderr


async def _run_async(command: list[str], text: str) -> tuple[int, str, str]:
    """In a thread: event loops' own subprocesses fail where the program ends before its input is written."""
    return await asyncio.to_thread(_run, command, text)


def _applied(text: str, outcome: tuple[int, str, str]) -> None:
    code, _stdout, stderr = outcome
    if code != 0:
        raise RulesError(explain(text, stderr))


def _output(outcome: tuple[int, str, str]) -> str:
    code, stdout, stderr = outcome
    if code != 0:
        raise RulesError("; ".join(line for line in stderr.splitlines() if not _NOISE.match(line)))
    return stdout
