"""nftables in its own transactional text: apply a batch of commands, list a table.

Everything happens in the network namespace of the calling thread.  A batch is one transaction: the kernel either
takes all of it or leaves everything as it was.  A process of nft(8) costs 4 ms; what it does costs extra.
"""

import re
import subprocess

import orjson

from knet.kernel.rules import RulesError

#: what nft says about a line of its input, the line and a row of carets below it
_COMPLAINT = re.compile(r"^\S+:(\d+):\d+(?:-\d+)?: Error: (.*)$", re.MULTILINE)


def apply(text: str) -> None:
    """Carry out the commands of ``text`` as one transaction; RulesError, with nothing changed."""
    done = _run(["nft", "--file", "-"], text)
    if done.returncode:
        raise RulesError(explain(text, done.stderr))


def listing(family: str, table: str) -> list[dict[str, object]] | None:
    """A table as libnftables-json(5) has it: tables, sets, maps, chains and rules in one list; None for no table.

    Raises RulesError where the kernel refuses for another reason.
    """
    done = _run(["nft", "--json", "list", "table", family, table], "")
    if done.returncode:
        if "No such file or directory" in done.stderr:
            return None
        raise RulesError(explain("", done.stderr))
    found: list[dict[str, object]] = orjson.loads(done.stdout)["nftables"]
    return [row for row in found if "metainfo" not in row]


def explain(text: str, stderr: str) -> str:
    """One line out of what nft said about ``text``: the offending command, if it can be told, and why."""
    found = _COMPLAINT.search(stderr)
    if found is None:
        return next((line for line in stderr.splitlines() if line.strip()), "nft failed without a word")
    number, why = int(found[1]), found[2]
    lines = text.splitlines()
    command = lines[number - 1].strip() if 1 <= number <= len(lines) else ""
    return f"line {number}, {command}: {why}" if command else why


def _run(command: list[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RulesError("nft is not installed (Debian: apt install nftables)") from None
