"""Query parameters as typed options, refused with upstream's words where they make no sense."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Literal

from knet.apiserver import field
from knet.apiserver.status import bad_request, invalid
from knet.apiserver.user import SERVER, Writer
from knet.store import Object

_INTEGER = re.compile("[+-]?[0-9]+")
#: beyond, no integer fits into 64 bits (nor does Python read thousands of them), unless it begins with zeros
_DIGITS = 100

#: parameters of one request; the first value counts, as upstream
Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Of create, update and patch; ``warnings`` gathers what the client is to be told besides (admission's)."""

    dry_run: bool = False
    validation: Literal["Ignore", "Warn", "Strict"] = "Warn"
    writer: Writer = SERVER
    warnings: list[str] = dataclass_field(default_factory=list)
    operation: Literal["Create", "Update", "Patch"] = "Update"


def integer(query: Query, key: str) -> int:
    """A parameter that is a whole number; 0 where it is absent.  StatusError 400."""
    return number(query.get(key, "0"))


def number(text: str, bits: int = 64) -> int:
    """Go's idea of a whole number: strict, and so many bits wide; StatusError 400."""
    if not _INTEGER.fullmatch(text):
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    bound = 1 << (bits - 1)
    if len(text) > _DIGITS or not -bound <= int(text) < bound:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def flag(query: Query, key: str) -> bool:
    """Go's idea of a boolean parameter: present and neither "false" nor "0"."""
    return query.get(key, "false").lower() not in ("false", "0")


def write_options(
    query: Query, operation: Literal["Create", "Update", "Patch"], writer: Writer, apply: bool = False
) -> WriteOptions:
    """Read dryRun, fieldValidation and fieldManager; StatusError 422 for other values than upstream's.

    An ``apply`` has to say for whom it applies.
    """
    if not query and not apply:
        return WriteOptions(writer=writer, operation=operation)
    validation = query.get("fieldValidation") or "Warn"
    problems: field.Errors = []
    dry_run = _dry_run([query["dryRun"]] if query.get("dryRun") else [], problems)
    if validation not in ("Ignore", "Warn", "Strict"):
        problems.append(field.not_supported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    problems += _field_manager(query, apply, operation)
    if problems:
        raise invalid("meta.k8s.io", f"{operation}Options", "", problems)
    return WriteOptions(dry_run, validation, writer, operation=operation)  # type: ignore[arg-type]  # checked above


def _field_manager(query: Query, apply: bool, operation: str) -> field.Errors:
    problems: field.Errors = []
    name = query.get("fieldManager", "")
    if apply and not name:
        problems.append(field.required("fieldManager", "is required for apply patch"))
    if not apply and operation == "Patch" and "force" in query:
        problems.append(field.forbidden("force", "may not be specified for non-apply patch"))
    if len(name.encode()) > 128:
        problems.append(
            field.FieldError("fieldManager", "FieldValueTooLong", "Too long: may not be more than 128 bytes")
        )
    for place, char in enumerate(name):
        if not char.isprintable():
            shown = f"U+{ord(char):04X}"
            problems.append(field.invalid("fieldManager", name, f"invalid character {shown} (at position {place})"))
    return problems


def _dry_run(values: list[str], problems: field.Errors) -> bool:
    if any(value != "All" for value in values):
        problems.append(field.not_supported("dryRun", values, ("All",)))
    return bool(values)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Of delete and deletecollection."""

    grace: int | None = None
    propagation: Literal["", "Background", "Foreground", "Orphan"] = ""
    #: preconditions, None where there is none
    uid: str | None = None
    revision: str | None = None
    dry_run: bool = False
    writer: Writer = SERVER
    warnings: list[str] = dataclass_field(default_factory=list)
    #: the deprecated orphanDependents, where propagation was said by that
    orphan: bool | None = None


def delete_options(query: Query, body: Object | None, writer: Writer) -> DeleteOptions:
    """From the body, whose types have been checked, or, without one, from the query; StatusError 400 or 422."""
    given = body or {}
    grace = given.get("gracePeriodSeconds")
    propagation = given.get("propagationPolicy") or ""
    orphan = given.get("orphanDependents")
    dry_run = given.get("dryRun") or []
    preconditions = given.get("preconditions") or {}
    if body is None:
        grace = integer(query, "gracePeriodSeconds") if query.get("gracePeriodSeconds") else None
        propagation = query.get("propagationPolicy", "")
        orphan = flag(query, "orphanDependents") if "orphanDependents" in query else None
        dry_run = [query["dryRun"]] if query.get("dryRun") else []
    problems: field.Errors = []
    _dry_run(dry_run, problems)
    if propagation not in ("", "Background", "Foreground", "Orphan"):
        problems.append(
            field.not_supported("propagationPolicy", propagation, ("Foreground", "Background", "Orphan", "nil"))
        )
    if propagation and orphan is not None:
        problems.append(
            field.invalid(
                "propagationPolicy", propagation, "orphanDependents and deletionPropagation cannot be both set"
            )
        )
    if problems:
        raise invalid("meta.k8s.io", "DeleteOptions", "", problems)
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    return DeleteOptions(
        grace,
        propagation,  # type: ignore[arg-type]  # checked above
        preconditions.get("uid"),
        preconditions.get("resourceVersion"),
        bool(dry_run),
        writer,
        orphan=orphan,
    )
