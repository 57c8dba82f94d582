"""An object's rules for people and for programs.  Pure.

::

    Service default/web
    n1, n2:
    @@ iptables nat KUBE-SERVICES
      -d 10.96.0.80/32 -p tcp … -j KUBE-SVC-LOLE4…            # n1 12 packets/720 bytes, n2 0
    n2:
    @@ iptables nat KUBE-SEP-XQ2…
    ! -s 10.244.2.5 -j KUBE-MARK-MASQ                         # missing
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from knet.api.objects import JSON
from knet.inspect.explain.report import HEAD, TITLE, Piece
from knet.inspect.rules.compare import MISSING, PRESENT, UNEXPECTED, Counters, Rules

#: how a line begins
_SIGNS = {PRESENT: " ", MISSING: "!", UNEXPECTED: "?"}
_STYLES = {PRESENT: "", MISSING: "red", UNEXPECTED: "yellow"}
_REASONS = {MISSING: "missing", UNEXPECTED: "not expected"}
_REPAIR = "kube-proxy and the network-agent repair that at their next look, or now: knet restart COMPONENT@MACHINE"
#: so many machines' counters are told one by one
_FEW = 3


def pieces(rules: Rules) -> Iterator[Piece]:
    """As one reads it."""
    yield Piece(str(rules.subject), TITLE)
    for part in rules.parts:
        yield Piece(f"{', '.join(part.machines)}:", HEAD)
        for section, lines, state in part.rows:
            remark = " (missing)" if state == MISSING else "" if lines else " (empty)"
            yield Piece(f"@@ {section}{remark}", _STYLES[state] or "cyan")
            for place, line in enumerate(lines):
                said = [_REASONS[line.state]] if line.state != PRESENT else []
                said += [text] if (text := _counted(part.counted(section, place))) else []
                yield Piece(f"{_SIGNS[line.state]} {line.text}", _STYLES[line.state], ", ".join(said))
    yield from (Piece(f"{machine}: it is off", "yellow") for machine in rules.silent)
    if not rules.parts:
        yield Piece("  no machine has any rule of it")
    for state, reason in _REASONS.items():
        for machine, number in rules.wrong(state).items():
            yield Piece(f"{machine}: {number} {'line is' if number == 1 else 'lines are'} {reason}", _STYLES[state])
    if rules.wrong(MISSING) or rules.wrong(UNEXPECTED):
        yield Piece(
            "kube-proxy and the network-agent repair that at their next look, or now: knet restart COMPONENT@MACHINE"
        )


def _counted(found: Mapping[str, Counters]) -> str:
    """``n1 12 packets/720 bytes, n2 0``; of many machines the sum; "" where nothing was counted."""
    if not any(number for row in found.values() for number in row.values()):
        return ""
    if len(found) > _FEW:
        total: Counter[str] = Counter()
        for row in found.values():
            total.update(row)
        return f"{_numbers(total)} on {len(found)} machines"
    return ", ".join(f"{machine} {_numbers(row)}" for machine, row in found.items())


def _numbers(row: Counters) -> str:
    return "/".join(f"{number} {what}" for what, number in row.items()) if any(row.values()) else "0"


def as_json(rules: Rules) -> JSON:
    """The same for programs."""
    subject = rules.subject
    return {
        "kind": subject.kind,
        "namespace": subject.key.namespace,
        "name": subject.key.name,
        "off": list(rules.silent),
        "parts": [
            {
                "machines": list(part.machines),
                "sections": [
                    {
                        "section": str(section),
                        "state": state,
                        "lines": [
                            {"text": line.text, "state": line.state, "counters": part.counted(section, place)}
                            for place, line in enumerate(lines)
                        ],
                    }
                    for section, lines, state in part.rows
                ],
            }
            for part in rules.parts
        ],
    }
