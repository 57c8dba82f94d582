"""When two lines say the same: programs print rules in words of their own.  Pure.

What is compared is a line's meaning as far as our renderers and the kernel's listings differ in spelling it: options of
iptables in another order or with their defaults, masks of whole addresses, numbers in other bases or units.
"""

import functools
import re
import shlex
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from knet.inspect.explain.picture import Section

#: what iptables-save adds although nobody has said it
_DEFAULTS = {
    ("--mask", "255.255.255.255"),
    ("--mask", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("--rsource",),
    ("--reject-with", "icmp-port-unreachable"),
    ("--reject-with", "icmp6-port-unreachable"),
}
#: machines have nearly the same lines
_KEPT = 1 << 16
_WHOLE = re.compile(r"(?<=[0-9a-f])/(32|128)$")


def meaning(section: Section, line: str) -> str:
    """The same for two lines of a section that say the same."""
    if section.kind in ("iptables", "ip6tables"):
        return _iptables(line)
    if section.name.startswith("chain "):
        return _nft(line)
    return line


@functools.lru_cache(_KEPT)
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
#: addresses that a rule is about: one, a network, a range, or a set of such
_ADDRESSES = re.compile(r"(?<=[sd]addr )(!= )?(\{ [^{}]* \}|[0-9a-f.:/-]+)(?= |$)")
#: a set that is written into a rule
_ANONYMOUS = re.compile(r"\{ ([^{}]*) \}")
#: nft's names of hooks' priorities, and numbers
_PRIORITY = re.compile(r"(?<=priority )(dstnat|srcnat|filter \+ )")
_PRIORITIES = {"dstnat": "-100", "srcnat": "100", "filter + ": ""}
#: nft says a protocol that was asked for once, and not twice
_PORT = re.compile(r"meta l4proto (\w+) (ip6? daddr \. )th dport")


@functools.lru_cache(_KEPT)
def _nft(rule: str) -> str:
    rule = _PRIORITY.sub(lambda found: _PRIORITIES[found[1]], rule.strip())
    rule = _PORT.sub(r"\2\1 dport", rule)
    rule = _DURATION.sub(_in_seconds, rule)
    rule = _HEXADECIMAL.sub(lambda found: str(int(found[1], 16)), rule)
    return _ANONYMOUS.sub(_sorted, _ADDRESSES.sub(_ranges, rule))


def _in_seconds(found: re.Match[str]) -> str:
    parts = re.findall(r"(\d+)([dhms])", found[0])
    return f"{sum(int(number) * _SECONDS[unit] for number, unit in parts)}s"


def _ranges(found: re.Match[str]) -> str:
    """nft prints neighbouring networks as one range, and a set of one as what is in it."""
    merged: list[list[Any]] = []
    try:
        rows = sorted(map(_range, found[2].strip("{ }").split(", ")))
    except ValueError:  # no addresses: the address is part of a key, somebody names an interface
        return found[0]
    for first, last in rows:
        if merged and int(first) <= int(merged[-1][1]) + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return (found[1] or "") + ", ".join(f"{first}-{last}" for first, last in merged)


def _range(text: str) -> tuple[Any, Any]:
    first, dash, last = text.partition("-")
    if dash:
        return ip_address(first), ip_address(last)
    network = ip_network(text, strict=False)
    return network[0], network[-1]


def _sorted(found: re.Match[str]) -> str:
    """In nft's own order, or in ours."""
    return f"{{ {', '.join(sorted(found[1].split(', ')))} }}"
