"""Sets of addresses and ports, in ipset's own text: restore lines, list what there is.

Everything happens in the network namespace of the calling process.  Each line takes effect by itself; a set that rules
refer to cannot be destroyed.
"""

import asyncio
import subprocess
from collections.abc import Mapping

from knet.kernel.rules import RulesError


class SetError(RulesError):
    """ipset refused: one line with the reason.  What came before the line in question is in force."""


async def restore(text: str) -> None:
    """Carry out lines as ipset(8) takes them (``create …``, ``add …``), which may already be true; "" costs nothing."""
    if not text:
        return
    await asyncio.to_thread(_run, ["ipset", "-exist", "restore"], text)


async def saved() -> Mapping[str, frozenset[str]]:
    """The entries of each set."""
    return parse_saved(await asyncio.to_thread(save))


def save() -> str:
    """All sets, as ipset(8) prints them."""
    return _run(["ipset", "save"], "")


def parse_saved(text: str) -> dict[str, frozenset[str]]:
    """Read what ``ipset save`` prints: by name the entries, without their options.  Pure."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        verb, name, *rest = line.split()
        if verb == "create":
            found[name] = set()
        elif verb == "add":
            found[name].add(rest[0])
    return {name: frozenset(entries) for name, entries in found.items()}


def _run(command: list[str], text: str) -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SetError(f"{command[0]} is not installed (Debian: apt install ipset)") from None
    if done.returncode != 0:
        raise SetError("; ".join(done.stderr.split("\n")).strip("; "))
    return done.stdout
