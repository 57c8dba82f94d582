"""When two lines say the same: programs print rules in words of their own.  Pure.

What is compared is a line's meaning as far as our renderers and the kernel's listings differ in spelling it: options of
iptables in another order or with their defaults, masks of whole addresses, numbers in other bases or units.
"""

import re
import shlex
from collections.abc import Iterable

from knet.inspect.explain.picture import Section

#: what iptables-save adds although nobody has said it
_DEFAULTS = {
    ("--mask", "255.255.255.255"),
    ("--mask", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("--rsource",),
    ("--reject-with", "icmp-port-unreachable"),
    ("--reject-with", "icmp6-port-unreachable"),
}
_WHOLE = re.compile(r"(?<=[0-9a-f])/(32|128)$")


def meaning(section: Section, line: str) -> str:
    """The same for two lines of a section that say the same."""
    if section.kind in ("iptables", "ip6tables"):
        return _iptables(line)
    if section.name.startswith("chain "):
        return _nft(line)
    return line


def _iptables(rule: str) -> str:
    """The options, sorted; -m is left out, as each match's options tell it."""
    options: list[list[str]] = []
    negated = False
    for word in shlex.split(rule):
        if word == "!":
            negated = True
        elif word.startswith("-") and not word.removeprefix("-").isdigit():
            options.append([f"! {word}" if negated else word])
            negated = False
        elif options:
            options[-1].append(word)
    said = (tuple(_option(name, *values)) for name, *values in options if name != "-m")
    return " ".join(sorted(" ".join(row) for row in said if row not in _DEFAULTS))


def _option(name: str, *values: str) -> Iterable[str]:
    if name in ("--or-mark", "--xor-mark"):
        number = int(values[0], 16)
        return "--set-xmark", f"{number:#x}/{number if name == '--or-mark' else 0:#x}"
    if name == "--probability":
        return name, f"{float(values[0]):.6f}"
    return name, *(_WHOLE.sub("", value) for value in values)


_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?<=timeout )(?:\d+[dhms])+")
_HEXADECIMAL = re.compile(r"\b0x([0-9a-f]+)\b")
#: a set that is written into a rule
_ANONYMOUS = re.compile(r"\{ ([^{}]*) \}")
#: nft's names of hooks' priorities, and numbers
_PRIORITY = re.compile(r"(?<=priority )(dstnat|srcnat|filter \+ )")
_PRIORITIES = {"dstnat": "-100", "srcnat": "100", "filter + ": ""}
#: nft says a protocol that was asked for once, and not twice
_PORT = re.compile(r"meta l4proto (\w+) (ip6? daddr \. )th dport")


def _nft(rule: str) -> str:
    rule = _PRIORITY.sub(lambda found: _PRIORITIES[found[1]], rule.strip())
    rule = _PORT.sub(r"\2\1 dport", rule)
    rule = _DURATION.sub(_in_seconds, rule)
    rule = _HEXADECIMAL.sub(lambda found: str(int(found[1], 16)), rule)
    return _ANONYMOUS.sub(_sorted, rule)


def _in_seconds(found: re.Match[str]) -> str:
    parts = re.findall(r"(\d+)([dhms])", found[0])
    return f"{sum(int(number) * _SECONDS[unit] for number, unit in parts)}s"


def _sorted(found: re.Match[str]) -> str:
    """nft prints a set of one element as that element, and others in their own order."""
    elements = sorted(_WHOLE.sub("", row) for row in found[1].split(", "))
    return elements[0] if len(elements) == 1 and ":" not in elements[0] else f"{{ {', '.join(elements)} }}"
