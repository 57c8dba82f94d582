"""What nodes and pods use: a pod is the sum of its containers."""

from collections.abc import Callable, Mapping

from knet.api import resources
from knet.api.quantity import parse_quantity
from knet.api.resources import Resource
from knet.api.schema import canonical_quantity
from knet.apiserver.tables.column import NAME, Column, Columns, at
from knet.store import Object


def _total(name: str, unit: str) -> Callable[[Object], str]:
    def read(value: Object) -> str:
        rows = value.get("containers", [value])
        amount = sum(parse_quantity(row.get("usage", {}).get(name, 0)) for row in rows) / parse_quantity(f"1{unit}")
        return canonical_quantity(f"{int(amount)}{unit}")

    return read


_COLUMNS: Columns = (
    NAME,
    Column("cpu", _total("cpu", "n"), format="quantity"),
    Column("memory", _total("memory", "Ki"), format="quantity"),
    Column("Window", at("window"), format="duration"),
)

COLUMNS: Mapping[Resource, Columns] = {resources.NODEMETRICS: _COLUMNS, resources.PODMETRICS: _COLUMNS}
