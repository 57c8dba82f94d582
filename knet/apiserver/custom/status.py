"""What a definition's status says: the names it got, and whether it is served.  Pure: from all definitions to one.

https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/#CustomResourceDefinitionStatus
"""

from collections.abc import Iterable
from typing import NamedTuple

from knet.apiserver.custom.definition import approval, is_protected
from knet.store import Object

_ONE = (
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)


class Row(NamedTuple):
    """A condition without its time."""

    type: str
    status: str
    reason: str
    message: str


def is_true(value: Object, kind: str) -> bool:
    """Whether a condition of a definition holds."""
    rows = (value.get("status") or {}).get("conditions") or ()
    return any(row.get("type") == kind and row.get("status") == "True" for row in rows)


def decide(value: Object, others: Iterable[Object], now: str) -> Object:
    """The status a definition is to have; the present one, if nothing is new.

    ``others`` are all other definitions: within a group, the first to ask for a name has it.
    """
    status = dict(value.get("status") or {})
    wanted = value["spec"]["names"]
    names, row = accept(wanted, status.get("acceptedNames") or {}, _taken(value["spec"]["group"], others))
    status["acceptedNames"] = names
    conditions = put(status.get("conditions") or [], row, now)
    if row.status == "True":
        established = Row("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
    else:
        established = Row("Established", "False", "NotAccepted", "not all names are accepted")
    if not is_true(value, "Established"):
        conditions = put(conditions, established, now)
    if is_protected(value["spec"]["group"]):
        conditions = put(conditions, Row("KubernetesAPIApprovalPolicyConformant", *approval(value)), now)
    status["conditions"] = conditions
    return status


def _taken(group: str, others: Iterable[Object]) -> tuple[set[str], set[str]]:
    """The names of resources and of kinds that others of the group have."""
    plain: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other["spec"].get("group") == group:
            names = (other.get("status") or {}).get("acceptedNames") or {}
            plain |= {names.get("plural", ""), names.get("singular", ""), *names.get("shortNames", ())}
            kinds |= {names.get("kind", ""), names.get("listKind", "")}
    return plain - {""}, kinds - {""}


def accept(wanted: Object, accepted: Object, taken: tuple[set[str], set[str]]) -> tuple[Object, Row]:
    """The names that a definition gets, and the condition NamesAccepted."""
    names = dict(accepted)
    plain, kinds = taken
    row = Row("NamesAccepted", "True", "NoConflicts", "no conflicts found")
    for key, reason in _ONE:
        name = wanted.get(key, "")
        if name != accepted.get(key, "") and name in (kinds if key in ("kind", "listKind") else plain):
            row = Row("NamesAccepted", "False", reason, f'"{name}" is already in use')
        else:
            names[key] = name
    short = wanted.get("shortNames") or []
    lost = [name for name in short if name in plain and name not in accepted.get("shortNames", ())]
    if lost:
        message = ", ".join(f'"{name}" is already in use' for name in lost)
        row = Row("NamesAccepted", "False", "ShortNamesConflict", f"[{message}]" if len(lost) > 1 else message)
    else:
        names["shortNames"] = short
    names["categories"] = wanted.get("categories") or []
    return {key: item for key, item in names.items() if item}, row


def put(conditions: list[Object], row: Row, now: str) -> list[Object]:
    """The conditions with one of them brought up to date; its time changes with its status only."""
    for index, have in enumerate(conditions):
        if have.get("type") == row.type:
            if tuple(have.get(key) for key in ("status", "reason", "message")) == row[1:]:
                return conditions
            since = have.get("lastTransitionTime", now) if have.get("status") == row.status else now
            return [*conditions[:index], _condition(row, since), *conditions[index + 1 :]]
    return [*conditions, _condition(row, now)]


def _condition(row: Row, since: str) -> Object:
    return {
        "type": row.type,
        "status": row.status,
        "lastTransitionTime": since,
        "reason": row.reason,
        "message": row.message,
    }
