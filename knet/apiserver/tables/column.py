"""What a column is, and the cells that many kinds have: a field, a number of elements, a name, an age."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from knet.apiserver.tables.times import age
from knet.store import Object

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"
#: elements shown before "+ n more..."
_SHOWN = 3

_NAME_HELP = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a"
    " client to request the generation of an appropriate name automatically."
)
_CREATED_HELP = "CreationTimestamp is a timestamp representing the server time of creation."

Cell = Callable[[Object], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``cell`` gets the object.  Those of priority 1 are shown by ``-o wide`` only."""

    name: str
    cell: Cell
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    def definition(self) -> Object:
        """TableColumnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


Columns = Sequence[Column]


def wide(name: str, cell: Cell, type_: str = "string", format_: str = "") -> Column:
    """A column of ``-o wide``."""
    return Column(name, cell, type_, 1, format_)


def at(path: str, default: Any = "") -> Cell:
    """The field at a dotted path, ``default`` where it is absent."""
    keys = path.split(".")

    def read(value: Object) -> Any:
        here: Any = value
        for key in keys:
            here = here.get(key) if isinstance(here, dict) else None
        return default if here is None else here

    return read


def text(path: str, default: str = "") -> Cell:
    """The field at a path as text, ``default`` where it is absent or empty."""
    read = at(path)
    return lambda value: str(read(value)) or default


def count(*paths: str) -> Cell:
    """How many elements there are in the lists or maps at the paths."""
    reads = [at(path, ()) for path in paths]
    return lambda value: sum(len(read(value)) for read in reads)


def shortened(parts: Sequence[str], empty: str = NONE, shown: int = _SHOWN, separator: str = ",") -> str:
    """``a,b,c + 2 more...``."""
    more = f" + {len(parts) - shown} more..." if len(parts) > shown else ""
    return (separator.join(parts[:shown]) or empty) + more


def joined(path: str, empty: str = NONE) -> Cell:
    """The elements of a list with commas."""
    read = at(path, ())
    return lambda value: ",".join(map(str, read(value))) or empty


def labels(path: str) -> Cell:
    """A map as ``a=b,c=d``."""
    read = at(path, {})
    return lambda value: format_labels(read(value))


def format_labels(rows: dict[str, str]) -> str:
    """``a=b,c=d``, sorted."""
    return ",".join(f"{key}={rows[key]}" for key in sorted(rows)) or NONE


def format_selector(rows: Object) -> str:
    """A LabelSelector in the notation of the query string, sorted by key."""
    parts = {key: f"{key}={item}" for key, item in rows.get("matchLabels", {}).items()}
    for row in rows.get("matchExpressions", ()):
        key, operator = row.get("key", ""), row.get("operator")
        values = ",".join(sorted(row.get("values", ())))
        parts[key] = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }.get(str(operator), key)
    return ",".join(parts[key] for key in sorted(parts)) or NONE


def selector(path: str) -> Cell:
    """A LabelSelector: ``app=web,tier in (a,b)``."""
    read = at(path, {})
    return lambda value: format_selector(read(value))


def aged(path: str, default: str = UNKNOWN) -> Cell:
    """How long ago the time at the path was."""
    read = at(path)
    return lambda value: age(read(value)) if read(value) else default


def condition(value: Object, kind: str) -> Object:
    """The condition of a type; {} where there is none."""
    rows = value.get("status", {}).get("conditions") or ()
    return next((row for row in rows if row.get("type") == kind), {})


def phase(value: Object) -> str:
    """status.phase, or Terminating."""
    if value["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str(value.get("status", {}).get("phase", ""))


NAME = Column("Name", at("metadata.name"), format="name", description=_NAME_HELP)
AGE = Column("Age", aged("metadata.creationTimestamp"), description=_CREATED_HELP)
CREATED_AT = Column("Created At", at("metadata.creationTimestamp"), "date", description=_CREATED_HELP)
