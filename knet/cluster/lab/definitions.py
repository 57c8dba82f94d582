"""The kinds of lab.knet.io/v1: what components read of them, and their CustomResourceDefinitions."""

from typing import Any, ClassVar

import msgspec

from knet.api.objects import JSON, KubeObject, Part
from knet.api.resources import Resource
from knet.underlay.impairment import OPTIONS

GROUP, VERSION = "lab.knet.io", "v1"
LINKS = Resource(GROUP, VERSION, "Link", "links", namespaced=False, subresources=("status",), custom=True)
MACHINES = Resource(GROUP, VERSION, "Machine", "machines", namespaced=False, subresources=("status",), custom=True)

#: `Machine.spec.power`
RUNNING, PAUSED, OFF = "Running", "Paused", "Off"


class LabStatus(Part, frozen=True, kw_only=True):
    """What has been seen of the network, and of whose spec."""

    observedGeneration: int = 0
    cluster: str = ""
    """which life of the cluster has seen it: whatever was wished in an earlier one has ended with that"""
    message: str = ""


class LabObject(KubeObject, frozen=True, kw_only=True):
    """A Link or a Machine; ``spec`` and ``status`` are JSON, as `translate` reads and writes them."""

    resource: ClassVar[Resource]
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def seen(self) -> LabStatus:
        return LabStatus(
            observedGeneration=self.status.get("observedGeneration", 0),
            cluster=self.status.get("cluster", ""),
            message=self.status.get("message", ""),
        )


class Link(LabObject, frozen=True, kw_only=True):
    resource = LINKS


class Machine(LabObject, frozen=True, kw_only=True):
    resource = MACHINES


def field_of(option: str) -> str:
    """The name that a link's option has in a spec: ``maxQueueSize``."""
    first, *others = option.split("_")
    return first + "".join(map(str.capitalize, others))


_TIME: JSON = {"type": "string", "pattern": r"^(0|\d+(\.\d+)?(us|ms|s))$"}
_PERCENT: JSON = {"type": "number", "minimum": 0, "maximum": 100}

#: option of a link → its schema
_OPTIONS: dict[str, JSON] = {
    "bw": {"type": "number", "minimum": 0, "maximum": 100000, "description": "Bandwidth in Mbit/s; 0 is unlimited."},
    "delay": {**_TIME, "description": "How much later packets come, such as 20ms."},
    "jitter": {**_TIME, "description": "How much the delay varies, more or less."},
    "loss": {**_PERCENT, "description": "Per cent of the packets that vanish."},
    "loss_correlation": {**_PERCENT, "description": "Per cent by which a packet's fate decides the next one's."},
    "duplicate": {**_PERCENT, "description": "Per cent of the packets that come twice."},
    "reorder": {**_PERCENT, "description": "Per cent of the packets that are not delayed and overtake others."},
    "corrupt": {**_PERCENT, "description": "Per cent of the packets that have a wrong bit."},
    "max_queue_size": {"type": "integer", "minimum": 0, "description": "Packets that wait at most; 0 is the default."},
}
_IMPAIRMENTS: JSON = {field_of(option): _OPTIONS[option] for option in OPTIONS}

_SEEN: JSON = {
    "observedGeneration": {"type": "integer", "format": "int64", "description": "The spec that this is the answer to."},
    "cluster": {"type": "string", "description": "The life of the cluster in which this was seen."},
    "message": {"type": "string", "description": "Why the spec could not be carried out."},
}


def definitions() -> list[JSON]:
    """The manifests of both kinds."""
    return [
        _definition(
            LINKS,
            "A cable of the underlay between two nodes: what becomes of its packets.",
            {
                "up": {"type": "boolean", "default": True, "description": "Whether the cable is whole; false cuts it."},
                **_IMPAIRMENTS,
                "from": {
                    "type": "object",
                    "description": "By the name of an end: what becomes of packets that it sends, where it differs.",
                    "additionalProperties": {"type": "object", "properties": _IMPAIRMENTS},
                },
            },
            {
                "state": {"type": "string", "description": "up, down (cut), standby (spanning tree) or no carrier."},
                "impairment": {"type": "string", "description": "What becomes of packets, in words."},
                "mtu": {"type": "integer", "description": "Bytes."},
                "interfaces": {"type": "string", "description": "Where the cable is plugged in."},
            },
            [
                ("State", "string", ".status.state", 0),
                ("Impairment", "string", ".status.impairment", 0),
                ("MTU", "integer", ".status.mtu", 1),
                ("Interfaces", "string", ".status.interfaces", 1),
                ("Message", "string", ".status.message", 1),
            ],
        ),
        _definition(
            MACHINES,
            "A machine of the underlay.",
            {
                "power": {
                    "type": "string",
                    "enum": [RUNNING, PAUSED, OFF],
                    "default": RUNNING,
                    "description": "Paused: all its processes stand still and it answers nobody. Off: it has no power.",
                },
                "delays": {
                    "type": "object",
                    "description": "By component: how much later it learns what its watches tell, such as 300ms.",
                    "additionalProperties": _TIME,
                },
            },
            {
                "power": {"type": "string", "description": "As in the spec, as it is."},
                "role": {"type": "string", "description": "control-plane, worker, external or router."},
                "address": {"type": "string", "description": "Its first IP address."},
                "delays": {"type": "string", "description": "The components that are late, and by how much."},
                "apart": {"type": "string", "description": "The machines that partitions keep it from hearing."},
            },
            [
                ("Role", "string", ".status.role", 0),
                ("Power", "string", ".status.power", 0),
                ("Address", "string", ".status.address", 0),
                ("Apart", "string", ".status.apart", 0),
                ("Delays", "string", ".status.delays", 1),
                ("Message", "string", ".status.message", 1),
            ],
        ),
    ]


def _definition(
    row: Resource, description: str, spec: JSON, status: JSON, columns: list[tuple[str, str, str, int]]
) -> JSON:
    properties = {
        "spec": {"type": "object", "default": {}, "description": "What it is to be.", "properties": spec},
        "status": {"type": "object", "description": "What it is.", "properties": {**status, **_SEEN}},
    }
    shown = [{"name": n, "type": kind, "jsonPath": path, "priority": priority} for n, kind, path, priority in columns]
    shown.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": row.group_resource},
        "spec": {
            "group": row.group,
            "scope": "Cluster",
            "names": {"kind": row.kind, "plural": row.plural, "singular": row.singular, "listKind": row.list_kind},
            "versions": [
                {
                    "name": row.version,
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "description": description, "properties": properties}
                    },
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": shown,
                }
            ],
        },
    }
