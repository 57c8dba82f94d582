"""Completion indexes: the places 0 … completions − 1 of an Indexed Job, and their text form ``1,3-5,7``.

https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
"""

from collections.abc import Iterable

from knet.api.objects import Pod

#: annotation and, since 1.28, label of every pod of an Indexed Job
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"


def index_of(pod: Pod, completions: int | None) -> int | None:
    """The pod's place; None where it has none, or one that the Job no longer has."""
    text = pod.metadata.annotations.get(COMPLETION_INDEX, "")
    if not (text.isascii() and text.isdecimal()):
        return None
    index = int(text)
    return index if completions is not None and index < completions else None


def parse(text: str, completions: int) -> frozenset[int]:
    """The indexes of ``1,3-5,7`` below ``completions``; what cannot be read (an edited status) counts as none.

    >>> sorted(parse("1,3-5,7", 7))
    [1, 3, 4, 5]
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            continue
        found.update(range(int(first), min(int(last or first), completions - 1) + 1))
    return frozenset(found)


def render(indexes: Iterable[int]) -> str:
    """
    >>> render([7, 3, 4, 5, 1, 0])
    '0,1,3-5,7'
    """
    parts: list[tuple[int, int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][1] == index - 1:
            parts[-1] = parts[-1][0], index
        else:
            parts.append((index, index))
    # two neighbours are listed, three or more are a range, as upstream writes them
    return ",".join(
        str(first) if first == last else f"{first},{last}" if last == first + 1 else f"{first}-{last}"
        for first, last in parts
    )
