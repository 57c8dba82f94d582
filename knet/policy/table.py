"""The table ``inet knet-policy`` as a value, and as the text that makes it from nothing.

Everything of NetworkPolicy is in this one table; no other is looked at.  Where no pod of the machine is isolated the
table is not there at all: a cluster without policies pays nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

FAMILY, NAME = "inet", "knet-policy"
#: nflog(4)'s group that dropped packets are copied to, for whoever listens
LOG_GROUP = 86
#: how a table with everything in it begins: what was there before is replaced in the same transaction
_REPLACE = f"add table {FAMILY} {NAME}\ndelete table {FAMILY} {NAME}\n"


@dataclass(frozen=True)
class Set:
    """A set, or with ``: verdict`` in its type a map; ``elements`` as nft(8) writes them.

    ``memory``: the kernel itself puts elements in, and forgets them; they are not ours to compare.
    """

    type: str
    elements: frozenset[str] = frozenset()
    comment: str = ""
    memory: bool = False

    @property
    def kind(self) -> str:
        return "map" if " : " in self.type else "set"

    @property
    def lines(self) -> list[str]:
        """Its definition, without the elements."""
        found = [f"type {self.type};"]
        if self.memory:
            found.append("flags dynamic,timeout; timeout 10m; size 1024;")
        if self.comment:
            found.append(f'comment "{self.comment}";')
        return found


@dataclass(frozen=True)
class Table:
    """Sets and chains by name; a chain is its rules, a base chain's first line says where packets come from."""

    sets: Mapping[str, Set] = field(default_factory=dict)
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.chains)

    def __str__(self) -> str:
        """Input for ``nft -f``: the table, whatever was there before."""
        if not self:
            return _REPLACE
        lines = [_REPLACE + f"table {FAMILY} {NAME} {{"]
        for name, row in self.sets.items():
            lines += [f"\t{row.kind} {name} {{", *(f"\t\t{line}" for line in row.lines)]
            if row.elements:
                lines.append(f"\t\telements = {{ {', '.join(sorted(row.elements))} }}")
            lines.append("\t}")
        for name, rules in self.chains.items():
            lines += [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}"]
        return "\n".join([*lines, "}", ""])
