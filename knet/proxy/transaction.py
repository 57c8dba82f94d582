"""What has to be told to the kernel, given what is wanted and what it holds.  Pure.

Writing a chain empties it, and with it the counters that people watch in a lab; and all of 100 Services take twice as
long to write as one.  So after a change only the chains that differ from what we wrote last are written; and only
where the kernel's rules are not as we left them (first start, somebody's ``iptables -F``) is everything written again.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from knet.proxy.chains import FILTER, IPVS_JUMPS, JUMPS, NAT, Chain, Jump, Rules, is_ours
from knet.proxy.iptables import text


@dataclass(frozen=True)
class Held:
    """What of kube-proxy's the kernel holds: its chains' rules as iptables-save prints them, and which jumps."""

    rules: Mapping[Chain, tuple[str, ...]] = field(default_factory=dict)
    jumps: frozenset[Jump] = frozenset()


_LEADS_IN = {(jump.table, jump.source, jump.target, jump.comment): jump for jump in (*JUMPS, *IPVS_JUMPS)}
_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))')


def parse_saved(saved: str) -> Held:
    """Find what is ours in the tables that iptables-save printed; everything else is passed over.

    A jump is known by its comment and by where it leads to, whatever else it matches: comparing the whole line would
    let jumps pile up under an iptables that prints them differently.
    """
    rules: dict[Chain, list[str]] = {}
    jumps: set[Jump] = set()
    table = ""
    for line in saved.splitlines():
        words = line.split()
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            chain = Chain(table, words[0][1:])
            if is_ours(chain):
                rules[chain] = []
        elif line.startswith("-A"):
            comment = _COMMENT.search(line)
            jump = _LEADS_IN.get((table, words[1], words[-1], comment[1] or comment[2] if comment else ""))
            if jump is not None:
                jumps.add(jump)
            elif (chain := Chain(table, words[1])) in rules:
                rules[chain].append(line)
    return Held({chain: tuple(lines) for chain, lines in rules.items()}, frozenset(jumps))


def removal(saved: str) -> str:
    """Takes what is ours out of the tables that iptables-save printed, and what leads to it; "" where nothing is."""
    held = parse_saved(saved)
    gone: dict[str, list[str]] = {}
    table = ""
    for line in saved.splitlines():
        words = line.split()
        if line.startswith("*"):
            table = line[1:].strip()
        elif (
            line.startswith("-A") and Chain(table, words[1]) not in held.rules and Chain(table, words[-1]) in held.rules
        ):
            gone.setdefault(table, []).append("-D" + line[2:])
    tables = []
    for table in dict.fromkeys(chain.table for chain in held.rules):
        names = [chain.name for chain in held.rules if chain.table == table]
        declared = [f":{name} - [0:0]" for name in names]
        lines = [f"*{table}", *declared, *gone.get(table, ()), *(f"-X {name}" for name in names), "COMMIT"]
        tables.append("\n".join(lines) + "\n")
    return "".join(tables)


def plausible(wanted: Rules, held: Held, jumps: Collection[Jump] = JUMPS) -> bool:
    """Whether ``held`` can be what became of ``wanted``: all jumps, the same chains, as many rules in each.

    The rules' text cannot be compared, as iptables prints them in words of its own.
    """
    return (
        held.jumps == set(jumps)
        and held.rules.keys() == wanted.keys()
        and all(len(held.rules[chain]) == len(lines) for chain, lines in wanted.items())
    )


def complete(wanted: Rules, held: Held, jumps: Collection[Jump] = JUMPS) -> str:
    """Everything, whatever the kernel holds: our chains filled anew, missing jumps added, leftovers deleted.

    Leftovers are what Services had that are gone, and what another mode had that works by iptables too.
    """
    leftover = sorted(chain for chain in held.rules if chain not in wanted)
    stale = sorted(jump for jump in held.jumps if jump not in jumps)
    return text(wanted, leftover, [jump for jump in jumps if jump not in held.jumps], stale)


def difference(wanted: Rules, written: Rules) -> str:
    """Only the chains that are not as they were written last; "" where all are.

    Each table is a transaction of its own, and what the nat table does not translate the filter table has to refuse.
    In between, a packet that neither does would go on as it is, and its connection be tracked as one that nobody
    translates: the client's next attempts would go the same way for two minutes.  So what refuses comes first, and
    what does not refuse any more goes last.
    """
    before = written.get
    changed = {
        chain: lines
        for chain, lines in wanted.items()
        if (known := before(chain)) is not lines and known != lines  # nearly all are the very same objects
    }
    gone = [chain for chain in written if chain not in wanted]
    refusing = {chain: lines for chain, lines in changed.items() if chain.table == FILTER}
    ending = {chain: _without(before(chain) or (), lines) for chain, lines in refusing.items()}
    if not any(ending.values()):
        return text(changed, gone)
    beginning = {
        chain: (*lines, *ending[chain]) for chain, lines in refusing.items() if _without(lines, before(chain) or ())
    }
    translating = {chain: lines for chain, lines in changed.items() if chain.table == NAT}
    return text(beginning) + text(translating, gone) + text(refusing)


def _without(lines: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    known = set(others)
    return tuple(line for line in lines if line not in known)
