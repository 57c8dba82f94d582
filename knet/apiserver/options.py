"""Query parameters as typed options, refused with upstream's words where they make no sense."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Literal

import orjson

from knet.api import selectors
from knet.api.selectors import EVERYTHING, Requirement, Selector
from knet.apiserver import field
from knet.apiserver.kind import Kind
from knet.apiserver.status import bad_request, invalid
from knet.apiserver.user import SERVER, Writer
from knet.store import Object, Record

_FIELD_SEPARATOR = re.compile(r"(?<!\\),")
_FIELD = re.compile(r"([^=!\\]+)(==|!=|=)(.*)", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]+")
#: beyond, no integer fits into 64 bits (nor does Python read thousands of them), unless it begins with zeros
_DIGITS = 100
_ESCAPED = re.compile(r"\\([\\,=])")

#: parameters of one request; the first value counts, as upstream
Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Selection:
    """Label and field selector together."""

    labels: Selector = EVERYTHING
    fields: Selector = EVERYTHING

    @property
    def everything(self) -> bool:
        """Nothing is filtered out."""
        return not self.labels.requirements and not self.fields.requirements

    def matches(self, record: Record) -> bool:
        """Whether a record is selected."""
        return self.labels.matches(record.attributes.labels) and self.fields.matches(record.attributes.fields)

    @property
    def name(self) -> str:
        """The one name that can be selected, if the field selector fixes it."""
        for row in self.fields.requirements:
            if row.key == "metadata.name" and row.operator == "In":
                return row.values[0]
        return ""


@dataclass(frozen=True, slots=True)
class Continue:
    """Where a chunked list goes on: as of ``revision``, after ``key``."""

    revision: int
    key: str

    def encode(self) -> str:
        """The opaque token that clients get."""
        token = {"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.key}
        return base64.urlsafe_b64encode(orjson.dumps(token)).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Of list, watch and deletecollection."""

    selection: Selection = Selection()
    limit: int = 0
    continues: Continue | None = None
    #: None where the client gave none; 0 is "any version will do"
    revision: int | None = None
    match: Literal["", "NotOlderThan", "Exact"] = ""
    watch: bool = False
    bookmarks: bool = False
    send_initial: bool = False
    timeout: int = 0


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Of create, update and patch; ``warnings`` gathers what the client is to be told besides (admission's)."""

    dry_run: bool = False
    validation: Literal["Ignore", "Warn", "Strict"] = "Warn"
    writer: Writer = SERVER
    warnings: list[str] = dataclass_field(default_factory=list)
    operation: Literal["Create", "Update", "Patch"] = "Update"


def _integer(query: Query, key: str) -> int:
    text = query.get(key, "") or "0"
    if not _INTEGER.fullmatch(text):
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if len(text) > _DIGITS or not -(1 << 63) <= int(text) < 1 << 63:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def flag(query: Query, key: str) -> bool:
    """Go's idea of a boolean parameter: present and neither "false" nor "0"."""
    return query.get(key, "false").lower() not in ("false", "0")


def _revision(query: Query) -> int | None:
    text = query.get("resourceVersion", "")
    if not text:
        return None
    wrong = ""
    if not text.isdecimal() or not text.isascii():
        wrong = "invalid syntax"
    elif len(text) > _DIGITS or int(text) >= 1 << 64:
        wrong = "value out of range"
    if wrong:
        raise bad_request(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {wrong}')
    return int(text)


def list_options(query: Query, kind: Kind) -> ListOptions:
    """Read the parameters of a list, watch or deletecollection; StatusError 400 or 422."""
    if not query:
        return ListOptions()
    match = query.get("resourceVersionMatch", "")
    watch = flag(query, "watch")
    revision = _revision(query)
    token = query.get("continue", "")
    send_initial = flag(query, "sendInitialEvents")
    problems: field.Errors = []
    if match not in ("", "NotOlderThan", "Exact"):
        problems.append(field.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
    elif match and watch and not send_initial:
        problems.append(field.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch"))
    elif match and revision is None and not send_initial:
        problems.append(
            field.forbidden(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        )
    elif match and token:
        problems.append(
            field.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
        )
    elif match == "Exact" and revision == 0:
        problems.append(
            field.forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
        )
    if send_initial and not watch:
        problems.append(field.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    elif send_initial and match != "NotOlderThan":
        problems.append(
            field.forbidden(
                "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        )
    if problems:
        raise invalid("meta.k8s.io", "ListOptions", "", problems)
    return ListOptions(
        selection=selection(query, kind),
        limit=max(_integer(query, "limit"), 0),
        continues=_continue(token) if token else None,
        revision=revision,
        match=match,  # type: ignore[arg-type]  # checked above
        watch=watch,
        bookmarks=flag(query, "allowWatchBookmarks"),
        send_initial=send_initial,
        timeout=_integer(query, "timeoutSeconds"),
    )


def selection(query: Query, kind: Kind) -> Selection:
    """The selectors of a request; StatusError 400 for what cannot be parsed or is no field label of the kind."""
    try:
        labels = selectors.parse(query.get("labelSelector", ""))
    except ValueError as error:
        raise bad_request(str(error)) from None
    fields = field_selector(query.get("fieldSelector", ""))
    for row in fields.requirements:
        if row.key not in kind.field_labels:
            raise bad_request(f"field label not supported: {row.key}")
    if kind.conversion:
        fields = Selector(tuple(replace(row, key=kind.field_labels[row.key]) for row in fields.requirements))
    return Selection(labels, fields)


def field_selector(text: str) -> Selector:
    """``a=b,c!=d``; a backslash takes the special meaning from the comma, backslash or equals sign after it."""
    requirements = []
    for part in _FIELD_SEPARATOR.split(text):
        if not part:
            continue
        match = _FIELD.fullmatch(part)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        key, operator, value = match.groups()
        plain = _ESCAPED.sub(r"\1", value)
        requirements.append(Requirement(key, "NotIn" if operator == "!=" else "In", (plain,)))
    return Selector(tuple(requirements))


def _continue(token: str) -> Continue:
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if value["v"] != "meta.k8s.io/v1":
            raise bad_request("continue key is not valid: server does not recognize this encoded version")
        if not isinstance(value["start"], str) or not isinstance(value["rv"], int) or value["rv"] < 1:
            raise bad_request(
                "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
            )
        return Continue(value["rv"], value["start"])
    except (binascii.Error, ValueError, TypeError, KeyError) as error:
        raise bad_request(f"continue key is not valid: {error}") from None


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
    dry_run = _dry_run(query.get("dryRun", ""), problems)
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


def _dry_run(value: str, problems: field.Errors) -> bool:
    if value and value != "All":
        problems.append(field.not_supported("dryRun", value, ("All",)))
    return value == "All"


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Of delete and deletecollection."""

    grace: int | None = None
    propagation: Literal["", "Background", "Foreground", "Orphan"] = ""
    uid: str = ""
    revision: str = ""
    dry_run: bool = False
    writer: Writer = SERVER
    warnings: list[str] = dataclass_field(default_factory=list)


def delete_options(query: Query, body: Object, writer: Writer) -> DeleteOptions:
    """From the body (``{}`` if there was none) or, without one, from the query; StatusError 400 or 422.

    The body's types have been checked.
    """
    grace = body.get("gracePeriodSeconds")
    propagation = body.get("propagationPolicy") or ""
    orphan = body.get("orphanDependents")
    dry_run = body.get("dryRun") or []
    preconditions = body.get("preconditions") or {}
    if not body:
        grace = _integer(query, "gracePeriodSeconds") if query.get("gracePeriodSeconds") else None
        propagation = query.get("propagationPolicy", "")
        orphan = flag(query, "orphanDependents") if "orphanDependents" in query else None
        dry_run = [query["dryRun"]] if query.get("dryRun") else []
    problems: field.Errors = []
    for value in dry_run:
        _dry_run(value, problems)
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
        str(preconditions.get("uid") or ""),
        str(preconditions.get("resourceVersion") or ""),
        bool(dry_run),
        writer,
    )
