"""Label and field selectors of a request: which objects it is about.

https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from knet.api import label_selector
from knet.api.selectors import EVERYTHING, Requirement, Selector, Test
from knet.apiserver import field, formats
from knet.apiserver.kind import Kind
from knet.apiserver.options import Query
from knet.apiserver.status import bad_request
from knet.store import Record

_INTEGER = re.compile("[+-]?[0-9]{1,19}")


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
        seen = record.attributes
        return self.labels.matches(seen.labels) and self.fields.matches(seen.fields)

    def among(self, records: Iterable[Record]) -> Iterable[Record]:
        """Those that are selected, in the same order, as they are asked for; cheaper than asking of each."""
        for test in self.labels.tests:
            records = _with_labels(records, test)
        for test in self.fields.tests:
            records = _with_fields(records, test)
        return records

    def fixed(self, label: str) -> str:
        """The one value that a field of what is selected can have; "" if there may be several."""
        for row in self.fields.requirements:
            if row.key == label and row.operator == "In":
                return row.values[0]
        return ""

    def named(self, name: str) -> "Selection":
        """The one object of a path; StatusError 400 where a field selector says something else."""
        if not self.fields.requirements:
            return replace(self, fields=Selector((Requirement("metadata.name", "In", (name,)),)))
        if self.fixed("metadata.name") != name:
            raise bad_request("fieldSelector metadata.name doesn't match requested name")
        return self


ALL = Selection()


def _with_labels(records: Iterable[Record], test: Test) -> Iterable[Record]:
    return (record for record in records if test(record.attributes.labels))


def _with_fields(records: Iterable[Record], test: Test) -> Iterable[Record]:
    return (record for record in records if test(record.attributes.fields))


def selection(query: Query, kind: Kind) -> Selection:
    """The selectors of a request; StatusError 400 for what cannot be parsed or is no field label of the kind."""
    labels = _label_selector(query.get("labelSelector", ""))
    fields = field_selector(query.get("fieldSelector", ""))
    for row in fields.requirements:
        if row.key not in kind.field_labels:
            raise bad_request(_unknown(row.key, kind))
    if kind.conversion:
        fields = Selector(tuple(replace(row, key=kind.field_labels[row.key]) for row in fields.requirements))
    return Selection(labels, fields)


def _label_selector(text: str) -> Selector:
    try:
        found = label_selector.parse(text)
    except ValueError as error:
        raise bad_request(str(error)) from None
    for row in found.requirements:
        if errors := list(_malformed(row)):
            raise bad_request(f"unable to parse requirement: {field.summary(errors)}")
    return found


def _malformed(row: Requirement) -> Iterator[field.FieldError]:
    if wrong := formats.qualified_name(row.key):
        yield field.invalid("<nil>", row.key, wrong)
        return
    for index, value in enumerate(row.values):
        if row.operator in ("Gt", "Lt") and not _INTEGER.fullmatch(value):
            yield field.invalid(f"values[{index}]", value, "for 'Gt', 'Lt' operators, the value must be an integer")
        if wrong := formats.label_value(value):
            yield field.invalid(f"values[{index}][{row.key}]", value, wrong)


def _unknown(label: str, kind: Kind) -> str:
    """Upstream's sentences: of kinds without labels of their own, of a few with their name, and of the others."""
    resource = kind.resource
    if not kind.is_custom and len(kind.field_labels) == 2:
        return f'"{label}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    if resource.group in ("apps", "batch"):
        return f'field label "{label}" not supported for {resource.kind}'
    return f"field label not supported: {label}"


def field_selector(text: str) -> Selector:
    """``a=b,c!=d``; a backslash takes its meaning from a comma, equals sign or backslash.  StatusError 400."""
    requirements = []
    for part in sorted(_terms(text)):
        if not part:
            continue
        at = min((at for sign in ("=", "!=") if (at := part.find(sign)) >= 0), default=-1)
        if at < 0:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        sign = next(sign for sign in ("!=", "==", "=") if part.startswith(sign, at))
        value = _unescaped(part[at + len(sign) :])
        requirements.append(Requirement(part[:at], "NotIn" if sign == "!=" else "In", (value,)))
    return Selector(tuple(requirements))


def _terms(text: str) -> list[str]:
    terms, start, escaped = [], 0, False
    for at, char in enumerate(text):
        if escaped or char == "\\":
            escaped = not escaped
        elif char == ",":
            terms.append(text[start:at])
            start = at + 1
    return [*terms, text[start:]]


def _unescaped(text: str) -> str:
    found, escaped = [], False
    for char in text:
        if escaped and char not in "\\,=":
            raise bad_request(f"invalid field selector: invalid escape sequence: \\{char}")
        if not escaped and char in ",=":
            raise bad_request(f"invalid field selector: unescaped character in value: {ord(char)}")
        escaped = char == "\\" and not escaped
        if not escaped:
            found.append(char)
    if escaped:
        raise bad_request("invalid field selector: invalid escape sequence: \\")
    return "".join(found)
