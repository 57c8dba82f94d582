"""The table of intervals in docs/reference.md is the profiles', all of them."""

import re
from dataclasses import asdict
from pathlib import Path

from knet.api.timing import LAB, UPSTREAM

REFERENCE = Path(__file__).parents[2] / "docs/reference.md"


def test_every_interval_is_documented_with_both_of_its_values() -> None:
    [section] = re.findall(r"^## Timing\n(.*?)^## ", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if "_" in line]
    told = {row[0]: (float(row[2]), float(row[3])) for row in rows if row[0] in asdict(LAB)}
    assert told == {name: (asdict(LAB)[name], asdict(UPSTREAM)[name]) for name in asdict(LAB)}
    assert all(row[1] for row in rows), "each has upstream's name, or says that there is none"
