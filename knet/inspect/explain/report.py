"""Explanations for people and for programs.  Pure.

::

    Service default/web created
      the ClusterIP 10.96.71.12 is not final: …
    n1, n2:
    @@ iptables nat KUBE-SERVICES
    + -m comment --comment "default/web:http cluster IP" …             # service default/web
    @@ iptables nat KUBE-SEP-XQ2… (new)
    + … -j DNAT --to-destination 10.244.2.5:8080                       # pod default/web-0
    cluster:
    @@ dns cluster.local
    + web.default.svc.cluster.local A 10.96.71.12                     # service default/web
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from knet.api.families import host_port
from knet.api.objects import JSON
from knet.inspect.explain.connections import FORGOTTEN, Connection
from knet.inspect.explain.difference import ADDED, CHANGED, GONE, NEW, REMOVED, SAME, Change
from knet.inspect.explain.explain import Explanation
from knet.kernel.protocols import kind_of

#: rich's styles
_STYLES = {ADDED: "green", REMOVED: "red", SAME: "", "@": "cyan"}
TITLE, NOTE, HEAD = "bold", "yellow", "bold"
#: addresses, prefixes and hardware addresses, as they stand in rules
_ADDRESS = re.compile(r"(?<![\w.:-])(?:(?:[0-9a-f]{2}:){5}[0-9a-f]{2}|\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f:]+)(/\d+)?")
_PORT = re.compile(r"(?<=[\d\]]):\d+$")
#: columns after which the tags stand
_TAG_AT = 100


class Piece(NamedTuple):
    """A line, how it looks on a terminal, and whose it is (which stands behind it, dimmed)."""

    text: str
    style: str = ""
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.text:<{_TAG_AT}}  # {self.tag}" if self.tag else self.text


def lines(explanation: Explanation) -> Iterator[Piece]:
    """As one reads it."""
    yield Piece(f"{explanation.subject} {explanation.verb}".strip(), TITLE)
    yield from (Piece(f"  {note}", NOTE) for note in explanation.notes)
    for effect in explanation.effects:
        yield Piece(f"{', '.join(effect.machines) or 'cluster'}:", HEAD)
        for change in effect.changes:
            yield from _change(change, explanation)
    for machine, rows in explanation.connections.items():
        yield Piece(f"{machine}:", HEAD)
        yield Piece("@@ conntrack", _STYLES["@"])
        for row in rows:
            sign = REMOVED if row.fate == FORGOTTEN else SAME
            yield Piece(f"{sign} {connection(row)}", _STYLES[sign], tag(connection(row), explanation.owners))
    if not explanation.effects and not explanation.connections:
        yield Piece("  nothing changes on any machine")


def _change(change: Change, explanation: Explanation) -> Iterator[Piece]:
    what = {NEW: " (new)", GONE: " (gone)", CHANGED: ""}[change.what]
    yield Piece(f"@@ {change.section}{what}", _STYLES["@"])
    for line in change.lines:
        subject = explanation.subject
        whose = tag(line.text, explanation.owners) or f"{subject.kind.lower()} {subject.key}"
        yield Piece(f"{line.sign} {line.text}", _STYLES[line.sign], whose if line.sign != SAME else "")


def connection(row: Connection) -> str:
    """``udp 10.244.1.9:40000 → 10.96.0.10:53 ⇒ 10.244.2.2:53 forgotten``"""
    flow = row.tracked.flow
    source, destination = host_port(flow.source, flow.source_port), host_port(flow.destination, flow.destination_port)
    answering = host_port(flow.answered_by, flow.answered_by_port)
    return f"{kind_of(flow.protocol)} {source} → {destination} ⇒ {answering} {row.fate}"


def tag(line: str, owners: Mapping[str, str]) -> str:
    """Whose addresses stand in a line."""
    found = (owners.get(_PORT.sub("", word[0])) or owners.get(word[0].partition("/")[0]) for word in words(line))
    return ", ".join(dict.fromkeys(owner for owner in found if owner))


def words(line: str) -> Iterable[re.Match[str]]:
    return _ADDRESS.finditer(line)


def as_json(explanation: Explanation) -> JSON:
    """The same for programs."""
    subject = explanation.subject
    return {
        "kind": subject.kind,
        "namespace": subject.key.namespace,
        "name": subject.key.name,
        "verb": explanation.verb,
        "notes": list(explanation.notes),
        "effects": [
            {
                "machines": list(effect.machines),
                "changes": [
                    {
                        "section": str(change.section),
                        "what": change.what,
                        "removed": [line.text for line in change.lines if line.sign == REMOVED],
                        "added": [line.text for line in change.lines if line.sign == ADDED],
                    }
                    for change in effect.changes
                ],
            }
            for effect in explanation.effects
        ],
        "connections": [
            {"machine": machine, "fate": row.fate, "flow": row.tracked.flow._asdict()}
            for machine, rows in explanation.connections.items()
            for row in rows
        ],
    }
