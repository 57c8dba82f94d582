"""Whole objects inside of custom resources: they have a kind and sound metadata (pkg/apiserver/schema/objectmeta)."""

from collections.abc import Iterator
from typing import Any

from knet.api.structural import JSONSchema
from knet.apiserver import field, formats
from knet.apiserver.custom.walking import Check, descend
from knet.apiserver.field import Errors
from knet.apiserver.validation import metadata as metadata_validation


def compile_embedded(schema: JSONSchema) -> Check | None:
    """The check of all embedded resources below a schema; None where there are none."""
    return descend(schema, _own)


def _own(schema: JSONSchema) -> Iterator[Check]:
    if schema.get("x-kubernetes-embedded-resource"):
        yield _check


def _check(value: Any, old: Any, path: str, errors: Errors) -> None:
    if not isinstance(value, dict):
        return
    errors.extend(field.required(f"{path}.{key}") for key in ("apiVersion", "kind") if key not in value)
    for key in ("apiVersion", "kind"):
        if value.get(key) == "":
            errors.append(field.invalid(f"{path}.{key}", "", "must not be empty"))
    if value.get("apiVersion", "").count("/") > 1:
        sentence = f"unexpected GroupVersion string: {value['apiVersion']}"
        errors.append(field.invalid(f"{path}.apiVersion", value["apiVersion"], sentence))
    kind = value.get("kind") or ""
    if kind and (wrong := formats.dns_1035_label(kind.lower())):
        must = f"may have mixed case, but should otherwise match: {wrong}"
        errors.append(field.invalid(f"{path}.kind", kind, must))
    if "metadata" in value:
        metadata = value["metadata"]
        name = metadata.get("name", "")
        if wrong := formats.path_segment(name):
            errors.append(field.invalid(f"{path}.metadata.name", name, wrong))
        errors.extend(metadata_validation.common(metadata, f"{path}.metadata"))
