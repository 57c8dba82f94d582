"""The columns of every kind, and the Table object around them.

A column is a name, how to compute its cell, its JSON type, and its priority: those of priority 1 are shown by
``-o wide`` only.  Kinds without a row of their own get name and age.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.kind import Kind
from knet.apiserver.tables import core, pod, workloads
from knet.apiserver.tables.times import age
from knet.store import Object

_NAME_HELP = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a"
    " client to request the generation of an appropriate name automatically."
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``cell`` gets the object."""

    name: str
    cell: Callable[[Object], Any]
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


def _name(value: Object) -> str:
    return str(value["metadata"]["name"])


def _age(value: Object) -> str:
    return age(value["metadata"].get("creationTimestamp"))


NAME = Column("Name", _name, format="name", description=_NAME_HELP)
AGE = Column("Age", _age, description="CreationTimestamp is a timestamp representing the server time of creation.")
_PLAIN: Sequence[Column] = (NAME, AGE)

COLUMNS: Mapping[Resource, Sequence[Column]] = {
    resources.PODS: (
        NAME,
        Column("Ready", pod.ready),
        Column("Status", pod.status),
        Column("Restarts", pod.restarts),
        AGE,
        Column("IP", pod.address, priority=1),
        Column("Node", pod.node, priority=1),
        Column("Nominated Node", pod.nominated_node, priority=1),
        Column("Readiness Gates", pod.readiness_gates, priority=1),
    ),
    resources.NODES: (
        NAME,
        Column("Status", core.node_status),
        Column("Roles", core.node_roles),
        AGE,
        Column("Version", core.node_info("kubeletVersion")),
        Column("Internal-IP", core.node_address("InternalIP"), priority=1),
        Column("External-IP", core.node_address("ExternalIP"), priority=1),
        Column("OS-Image", core.node_info("osImage"), priority=1),
        Column("Kernel-Version", core.node_info("kernelVersion"), priority=1),
        Column("Container-Runtime", core.node_info("containerRuntimeVersion"), priority=1),
    ),
    resources.NAMESPACES: (NAME, Column("Status", core.phase), AGE),
    resources.SERVICES: (
        NAME,
        Column("Type", core.service_type),
        Column("Cluster-IP", core.service_address),
        Column("External-IP", core.service_external),
        Column("Port(s)", core.service_ports),
        AGE,
        Column("Selector", core.service_selector, priority=1),
    ),
    resources.ENDPOINTS: (NAME, Column("Endpoints", core.endpoints), AGE),
    resources.ENDPOINTSLICES: (
        NAME,
        Column("AddressType", core.address_type),
        Column("Ports", core.slice_ports),
        Column("Endpoints", core.slice_endpoints),
        AGE,
    ),
    resources.CONFIGMAPS: (NAME, Column("Data", core.config_map_size), AGE),
    resources.SECRETS: (NAME, Column("Type", core.secret_type), Column("Data", core.secret_size, "integer"), AGE),
    resources.SERVICEACCOUNTS: (NAME, Column("Secrets", core.secrets, "string"), AGE),
    resources.EVENTS: (
        Column("Last Seen", core.event_last_seen),
        Column("Type", core.event_type),
        Column("Reason", core.event_reason),
        Column("Object", core.event_object),
        Column("Subobject", core.event_subobject, priority=1),
        Column("Source", core.event_source, priority=1),
        Column("Message", core.event_message),
        Column("First Seen", core.event_first_seen, priority=1),
        Column("Count", core.event_count, "integer", priority=1),
        Column("Name", _name, priority=1, format="name"),
    ),
    resources.LEASES: (NAME, Column("Holder", core.lease_holder), AGE),
    resources.DEPLOYMENTS: (
        NAME,
        Column("Ready", workloads.deployment_ready),
        Column("Up-to-date", workloads.updated, "integer"),
        Column("Available", workloads.available, "integer"),
        AGE,
        Column("Containers", workloads.containers, priority=1),
        Column("Images", workloads.images, priority=1),
        Column("Selector", workloads.selector, priority=1),
    ),
    resources.REPLICASETS: (
        NAME,
        Column("Desired", workloads.desired, "integer"),
        Column("Current", workloads.current, "integer"),
        Column("Ready", workloads.ready, "integer"),
        AGE,
        Column("Containers", workloads.containers, priority=1),
        Column("Images", workloads.images, priority=1),
        Column("Selector", workloads.selector, priority=1),
    ),
    resources.CONTROLLERREVISIONS: (
        NAME,
        Column("Controller", workloads.controller),
        Column("Revision", workloads.revision, "integer"),
        AGE,
    ),
}


def table(kind: Kind, values: Sequence[Object], metadata: Object, version: str, include_object: str = "") -> Object:
    """``meta.k8s.io/v1`` Table of some objects; ``include_object`` is the parameter: Metadata, Object or None."""
    columns = COLUMNS.get(kind.stored.resource, _PLAIN)
    kept = {key: metadata[key] for key in ("resourceVersion", "continue", "remainingItemCount") if key in metadata}
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": kept,
        "columnDefinitions": [column.definition() for column in columns],
        "rows": [
            {
                "cells": [column.cell(value) for column in columns],
                "object": _embedded(kind, value, version, include_object),
            }
            for value in values
        ],
    }


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
