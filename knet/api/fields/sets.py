"""The algebra of field sets.

Union, difference and intersection are of paths: taking away ``spec`` does not take away ``spec.replicas``.
"""

from collections.abc import Iterator
from typing import Any

from knet.api.fields.elements import order

#: a trie, see the package; of the root only the children count
Fields = dict[str, Any]

#: a member without children; shared, never changed
LEAF: Fields = {}

NOTHING: Fields = {}


def union(one: Fields, other: Fields) -> Fields:
    """The paths of either."""
    if not one or not other:
        return one or other
    found = dict(one)
    for element, theirs in other.items():
        mine = found.get(element)
        if mine is None:
            found[element] = theirs
        elif mine is not theirs:
            found[element] = _either(mine, theirs)
    return found


def _either(one: Fields, other: Fields) -> Fields:
    if not one or not other:
        both = one or other
        return both if not both or "." in both else {".": LEAF, **both}
    return union(one, other)


def difference(one: Fields, other: Fields) -> Fields:
    """The paths of ``one`` that are not in ``other``; ``one`` itself if all are."""
    if not other:
        return one
    changed: Fields | None = None
    for element, theirs in other.items():
        mine = one.get(element)
        if mine is None:
            continue
        rest = _without(mine, theirs)
        if rest is mine:
            continue
        if changed is None:
            changed = dict(one)
        if rest is None:
            del changed[element]
        else:
            changed[element] = rest
    return one if changed is None else changed


def _without(node: Fields, other: Fields) -> Fields | None:
    """A node of which the paths of another are taken away; None if nothing remains."""
    if not node:
        return node if other and "." not in other else None
    if not other:
        rest = {element: child for element, child in node.items() if element != "."} if "." in node else node
    else:
        rest = difference(node, other)
    if not rest:
        return None
    return LEAF if len(rest) == 1 and "." in rest else rest


def intersection(one: Fields, other: Fields) -> Fields:
    """The paths of both."""
    found: Fields = {}
    for element, mine in one.items():
        theirs = other.get(element)
        if theirs is None:
            continue
        if not mine or not theirs:
            more = mine or theirs
            if not more or "." in more:
                found[element] = LEAF
        elif both := intersection(mine, theirs):
            found[element] = LEAF if len(both) == 1 and "." in both else both
    return found


def with_member(children: Fields) -> Fields:
    """The node of a path that is a member itself, above these children."""
    return {".": LEAF, **children} if children else LEAF


def paths(fields: Fields, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every member's path, in upstream's order: members of a level first, then what is below."""
    elements = sorted((element for element in fields if element != "."), key=order)
    for element in elements:
        node = fields[element]
        if not node or "." in node:
            yield (*above, element)
    for element in elements:
        yield from paths(fields[element], (*above, element))


def below(fields: Fields, *elements: str) -> Fields:
    """The children of a path."""
    for element in elements:
        fields = fields.get(element, NOTHING)
    return fields


def has(fields: Fields, *elements: str) -> bool:
    """Whether the path is a member."""
    for element in elements[:-1]:
        fields = fields.get(element, NOTHING)
    node = fields.get(elements[-1])
    return node is not None and (not node or "." in node)
