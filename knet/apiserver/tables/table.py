"""The columns of every kind, family by family, and the Table object around them."""

from collections.abc import Iterable, Mapping

import orjson

from knet.api.resources import PODS, Resource
from knet.apiserver.kind import Kind
from knet.apiserver.tables import (
    access,
    autoscaling,
    configuration,
    extension,
    network,
    node,
    pod,
    storage,
    usage,
    workloads,
)
from knet.apiserver.tables.column import CREATED_AT, NAME, Columns
from knet.store import Object

#: of kinds for which upstream has no columns of their own
_PLAIN: Columns = (NAME, CREATED_AT)

COLUMNS: Mapping[Resource, Columns] = {
    **pod.COLUMNS,
    **workloads.COLUMNS,
    **autoscaling.COLUMNS,
    **network.COLUMNS,
    **configuration.COLUMNS,
    **storage.COLUMNS,
    **node.COLUMNS,
    **access.COLUMNS,
    **extension.COLUMNS,
    **usage.COLUMNS,
}


def table(kind: Kind, values: Iterable[Object], metadata: Object, version: str, include_object: str = "") -> Object:
    """``meta.k8s.io/v1`` Table of some objects; ``include_object`` is the parameter: Metadata, Object or None.

    Rows are encoded one by one: to have all objects of a list decoded at once takes twice the time.
    """
    columns = kind.columns or COLUMNS.get(kind.stored.resource, _PLAIN)
    kept = {key: metadata[key] for key in ("resourceVersion", "continue", "remainingItemCount") if key in metadata}
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": kept,
        "columnDefinitions": [column.definition() for column in columns],
        "rows": [
            orjson.Fragment(orjson.dumps(_row(kind, columns, value, version, include_object))) for value in values
        ],
    }


def _row(kind: Kind, columns: Columns, value: Object, version: str, include_object: str) -> Object:
    row: Object = {"cells": [column.cell(value) for column in columns]}
    if kind.resource is PODS and (ended := pod.ROW_CONDITIONS.get(value.get("status", {}).get("phase", ""))):
        row["conditions"] = [ended]
    row["object"] = _embedded(kind, value, version, include_object)
    return row


def _embedded(kind: Kind, value: Object, version: str, include_object: str) -> Object | None:
    if include_object == "None":
        return None
    if include_object == "Object":
        return kind.from_stored(value)
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": value["metadata"],
    }
