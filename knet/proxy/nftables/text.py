"""The table as commands for nft(8): what the kernel is told of chains, and what people read of all of it.  Pure."""

import socket
from collections.abc import Callable, Iterable, Mapping

from knet.kernel import nft_elements
from knet.kernel.protocols import name_of
from knet.proxy.nftables.desired import Change, Desired
from knet.proxy.nftables.frame import BASE_CHAINS, FAMILIES, TABLE, Container, Family, container, declarations, rules
from knet.proxy.snapshot import Snapshot


def frame(family: Family) -> str:
    """What makes the table with all that is always in it; what is there already stays."""
    return "".join(f"{line}\n" for line in declarations(family)) + filled(rules(family), family)


def filled(chains: Mapping[str, tuple[str, ...]], family: Family) -> str:
    """Makes chains where they are not, and gives them these rules and no others."""
    table = f"{family.keyword} {TABLE}"
    lines = [f"add chain {table} {chain}" for chain in chains if chain not in BASE_CHAINS]
    for chain, rows in chains.items():
        lines.append(f"flush chain {table} {chain}")
        lines += [f"add rule {table} {chain} {row}" for row in rows]
    return "".join(f"{line}\n" for line in lines)


def additions(change: Change, family: Family) -> str:
    """The new sets and chains of a change, and the chains whose rules are others now."""
    table = f"{family.keyword} {TABLE}"
    lines = []
    for name, declared in change.sets.items():
        kind, _, rest = declared.partition(" ")
        lines.append(f"add {kind} {table} {name} {rest}\n")
    return "".join(lines) + filled(change.chains, family)


def removals(chains: Iterable[str], sets: Mapping[str, str], family: Family) -> str:
    """Empties chains that nothing leads to any more, and removes sets and maps, which nothing uses any more then.

    ``sets`` tells by their names what they are, a ``set …`` or a ``map …``.
    """
    gone = (_each(f"delete {kind.split()[0]}", [name], family) for name, kind in sets.items())
    return _each("flush chain", chains, family) + "".join(gone)


def chain_deletions(chains: Iterable[str], family: Family) -> str:
    """Removes chains."""
    return _each("delete chain", chains, family)


def deletion(family: Family) -> str:
    """Removes the table."""
    return f"delete table {family.keyword} {TABLE}\n"


def _each(verb: str, names: Iterable[str], family: Family) -> str:
    return "".join(f"{verb} {family.keyword} {TABLE} {name}\n" for name in names)


def elements(change: Change, family: Family) -> str:
    """The new elements of a change."""
    lines = []
    for name, added in change.added.items():
        row = container(name)
        listed = ", ".join(element(one, row, family) for one in added.values())
        lines.append(f"add element {family.keyword} {TABLE} {name} {{ {listed} }}\n")
    return "".join(lines)


def element(one: bytes, row: Container, family: Family) -> str:
    """One element as nft prints it."""
    key, value, comment = nft_elements.read(one)
    words = " . ".join(_parts(key, row.parts, family))
    if comment:
        words += f' comment "{comment}"'
    if isinstance(value, bytes):
        value = " . ".join(_parts(value, "as", family))
    return f"{words} : {value}" if value is not None else words


def _parts(data: bytes, parts: str, family: Family) -> Iterable[str]:
    start = 0
    for part in parts:
        size = family.length if part == "a" else 4
        yield _READ[part](data[start : start + size])
        start += size


def _address(data: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


_READ: dict[str, Callable[[bytes], str]] = {
    "a": _address,
    "p": lambda data: name_of(data[0]),
    "s": lambda data: str(int.from_bytes(data[:2], "big")),
}


def render(snapshot: Snapshot) -> str:
    """All of a snapshot's rules as one text, as for a machine where none of them are yet."""
    family = FAMILIES[snapshot.family]
    everything = Desired(family).update(snapshot)
    return frame(family) + additions(everything, family) + elements(everything, family)
