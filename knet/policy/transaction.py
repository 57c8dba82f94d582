"""From one table to the next: what has to be told to the kernel, and whether it still holds what it was told.  Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from knet.policy.table import FAMILY, NAME, Table

_TABLE = f"{FAMILY} {NAME}"


def difference(wanted: Table, written: Table) -> str:
    """Commands for one transaction that turn ``written`` into ``wanted``; "" where they are the same.

    The order is what the kernel needs: what is referred to comes before who refers to it and goes after.
    """
    if wanted == written:
        return ""
    if not wanted:
        return f"delete table {_TABLE}\n"
    if not written:
        return str(wanted)
    lines: list[str] = []
    changed = [name for name, row in wanted.sets.items() if name in written.sets and _definition(wanted, written, name)]
    new = [name for name in wanted.sets if name not in written.sets]
    if changed:  # another type: nothing that can be done to a set in use
        return str(wanted)
    for name in new:
        row = wanted.sets[name]
        lines.append(f"add {row.kind} {_TABLE} {name} {{ {' '.join(row.lines)} }}")
    lines += [f"add chain {_TABLE} {name}{_hook(wanted.chains[name])}" for name in _new(wanted.chains, written.chains)]
    for name, rules in wanted.chains.items():
        before = written.chains.get(name)
        if rules != before:
            lines += [f"flush chain {_TABLE} {name}"] if before is not None else []
            lines += [f"add rule {_TABLE} {name} {rule}" for rule in rules if not _is_hook(rule)]
    for name, row in wanted.sets.items():
        held = written.sets[name].elements if name in written.sets else frozenset()
        lines += _elements("delete", name, held - row.elements)
        lines += _elements("add", name, row.elements - held)
    gone = _new(written.chains, wanted.chains)
    sets = _new(written.sets, wanted.sets)
    # a map's elements hold on to chains; deleting the map lets go of them
    lines += [f"flush chain {_TABLE} {name}" for name in gone]
    lines += [f"delete {written.sets[name].kind} {_TABLE} {name}" for name in sets]
    lines += [f"delete chain {_TABLE} {name}" for name in gone]
    return "\n".join([*lines, ""])


def _definition(wanted: Table, written: Table, name: str) -> bool:
    return wanted.sets[name].lines != written.sets[name].lines


def _new(these: Iterable[str], those: Mapping[str, object]) -> list[str]:
    return [name for name in these if name not in those]


def _is_hook(rule: str) -> bool:
    return rule.startswith("type ")


def _hook(rules: tuple[str, ...]) -> str:
    return f" {{ {rules[0]} }}" if rules and _is_hook(rules[0]) else ""


def _elements(verb: str, name: str, elements: Iterable[str]) -> list[str]:
    rows = sorted(elements)
    return [f"{verb} element {_TABLE} {name} {{ {', '.join(rows)} }}"] if rows else []


@dataclass(frozen=True)
class Held:
    """What the kernel holds: names of sets with their elements, and chains with their rules, in canonical spelling."""

    sets: Mapping[str, frozenset[str]]
    chains: Mapping[str, tuple[str, ...]]


def held(listing: list[dict[str, Any]] | None) -> Held:
    """The listing of the table (`knet.kernel.nft.listing`) without what changes by itself: counters and memories."""
    sets: dict[str, frozenset[str]] = {}
    chains: dict[str, list[str]] = {}
    for entry in listing or ():
        [(kind, row)] = entry.items()
        if kind in ("set", "map"):
            memory = "timeout" in row.get("flags", ())
            sets[row["name"]] = frozenset(() if memory else map(_element, row.get("elem", ())))
        elif kind == "chain":
            hook = f"{row['hook']} {row['prio']}" if "hook" in row else ""
            chains.setdefault(row["name"], []).extend([hook] if hook else [])
        elif kind == "rule":
            chains.setdefault(row["chain"], []).append(_rule(row["expr"]))
    return Held(sets, {name: tuple(rules) for name, rules in chains.items()})


def _element(row: Any) -> str:
    """As `knet.policy.compile` spells it."""
    if isinstance(row, list):
        key, verdict = row
        return f"{_element(key)} : goto {verdict['goto']['target']}" if "goto" in verdict else str(verdict)
    if isinstance(row, dict):
        parts = row.get("concat")
        return " . ".join(map(str, parts)) if parts else orjson.dumps(row).decode()
    return str(row)


def _rule(expressions: list[dict[str, Any]]) -> str:
    """A counter's numbers are no part of the rule."""
    return orjson.dumps([{"counter": None} if "counter" in row else row for row in expressions]).decode()


def plausible(wanted: Table, found: Held) -> bool:
    """Whether the kernel could hold ``wanted``: its sets with their elements, its chains with as many rules."""
    sets = {name: row.elements for name, row in wanted.sets.items()}
    chains = {name: len(rules) for name, rules in wanted.chains.items()}
    return found.sets == sets and {name: len(rules) for name, rules in found.chains.items()} == chains
