"""A `Reach` as people read it: disagreements first, then the matrix.  Pure.

::

    !  default/a → default/b, and 24 more from n1 to n2
         predicted   reached, by n1 route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 (Node n2 podCIDR) › …
         observed    dropped: nothing arrived (3 tries)
         look        knet trace pod/a pod/b:80

                          1  2  3  4
     1  default/web-* (3)  .  x  .  .
     2  default/db-0       .  -  .  .
     3  n1, n2             .  .  .  .
     4  svc/default/web:80
"""

from collections.abc import Iterable, Iterator

from rich.text import Text

from knet.inspect.reach.matrix import BY_CHANCE, DIFFERS, NO_WAY, REACHED, Pair, Reach, alike

#: disagreements of different kinds that are shown, and reasons
_MOST = 12
MEANINGS = {REACHED: "reached", NO_WAY: "no way", BY_CHANCE: "by some endpoints", DIFFERS: "differs"}
STYLES = {REACHED: "green", NO_WAY: "yellow", BY_CHANCE: "magenta", DIFFERS: "bold red"}


def text(reach: Reach) -> str:
    """All of it, in rich's markup."""
    blocks = [_disagreements(reach), _matrix(reach), _reasons(reach), [*reach.notes, summary(reach)]]
    return "\n\n".join("\n".join(block) for block in map(list, blocks) if block)


def plain(reach: Reach) -> str:
    """The same without colours."""
    return "\n".join(row.rstrip() for row in Text.from_markup(text(reach)).plain.splitlines())


def _disagreements(reach: Reach) -> Iterator[str]:
    kinds = alike(reach.disagreements, _kind)
    for pairs in kinds[:_MOST]:
        first = pairs[0]
        more = f", and {len(pairs) - 1} more from {first.source.machine} to {_where(first)}" if pairs[1:] else ""
        yield f"{_sign(DIFFERS)}  {first.source} → {first.destination}{more}"
        yield f"     predicted   {_plain(first.expectation)}"
        yield f"     observed    {_plain(first.experience)}"
        yield f"     look        {_look(first, reach.what)}"
    if left := kinds[_MOST:]:
        yield f"   … and {sum(map(len, left))} more, of {len(left)} other kinds (--json has them)"


def _kind(pair: Pair) -> object:
    """Pairs between the same machines that were to be different, and are, in the same way."""
    found = pair.observed
    answer = found.answer and (found.answer.what, found.answer.detail)
    outcome = pair.predicted.outcome, _general(pair), answer, found.error, bool(found.arrived), pair.culprit
    return pair.source.machine, _where(pair), outcome


def _general(pair: Pair) -> str:
    """The reason of a prediction, as it is for other pairs, too."""
    text = pair.predicted.text
    for address in (pair.destination.address, pair.source.address):
        text = text.replace(f"the address {address}", "that address").replace(f" {address}", " it")
    return text


def _where(pair: Pair) -> str:
    return pair.destination.machine or str(pair.destination)


def _look(pair: Pair, what: str) -> str:
    """How to look closer."""
    protocol, _, port = what.partition("/")
    to = pair.destination.word
    if port and pair.destination.spot is not None:
        to = f"{to}:{port}"
    options = "" if protocol == "tcp" else f" --proto {protocol}"
    return f"knet trace {pair.source.word} {to}{options}{' -6' if ':' in pair.destination.address else ''}"


def _matrix(reach: Reach) -> Iterator[str]:
    groups = reach.groups
    wide = max(len(group.name) for group in groups)
    number = len(str(len(groups)))
    yield " " * (number + 2 + wide) + "".join(f"  {group.number:>{number}}" for group in groups)
    senders = set(reach.ends.sources)
    for row in groups:
        signs = ""
        if senders.issuperset(row.members):
            signs = "".join("  " + " " * (number - 1) + _sign(reach.between(row, column)) for column in groups)
        yield f"{row.number:>{number}}  {row.name:<{wide}}{signs}"


def _reasons(reach: Reach) -> Iterator[str]:
    """Why there is no way where none was to be expected, and from whom to whom."""
    number = {end: group.number for group in reach.groups for end in group.members}
    known = [pair for pair in reach.pairs if pair.agrees and pair.predicted.text]
    kinds = alike(known, lambda pair: (pair.sign, _general(pair)))
    for pairs in kinds[:_MOST]:
        ways = sorted({(number[pair.destination], number[pair.source]) for pair in pairs})
        senders = {to: tuple(a for b, a in ways if b == to) for to, _ in ways}
        alike_ = {row: [to for to in senders if senders[to] == row] for row in senders.values()}
        told = "; ".join(f"{_list(row)} → {_list(to)}" for row, to in alike_.items())
        yield f"{_sign(pairs[0].sign)}  {told}   {_plain(_general(pairs[0]))}"
    if left := kinds[_MOST:]:
        yield f"   … and {len(left)} other reasons (--json has them)"


def _list(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


def summary(reach: Reach) -> str:
    """Which signs there are, and how many of each."""
    counts = {sign: sum(pair.sign == sign for pair in reach.pairs) for sign in MEANINGS}
    words = [f"{_sign(sign)} {count:,} {MEANINGS[sign]}" for sign, count in counts.items() if count or sign == DIFFERS]
    return f"{len(reach.pairs):,} pairs, {reach.what}:  {'  '.join(words)}   ({reach.seconds:.1f} s)"


def _plain(words: str) -> str:
    """IPv6 addresses stand in brackets, as markup does."""
    return words.replace("[", r"\[")


def _sign(sign: str) -> str:
    style = STYLES.get(sign)
    return f"[{style}]{sign}[/]" if style else sign
