"""metrics.k8s.io/v1beta1 as an OpenAPI document has it: no part of a release, so its schemas do not come with one.

https://kubernetes.io/docs/reference/external-api/metrics.v1beta1/
"""

from typing import Any

_API = "io.k8s.metrics.pkg.apis.metrics.v1beta1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_USAGE = {
    "description": "What is used: cpu in cores, memory as the working set in bytes.",
    "type": "object",
    "additionalProperties": {"$ref": "#/$defs/io.k8s.apimachinery.pkg.api.resource.Quantity"},
}
_WHEN = {
    "timestamp": {"$ref": f"#/$defs/{_META}Time", "description": "The end of the time that was measured."},
    "window": {
        "$ref": f"#/$defs/{_META}Duration",
        "description": "The length of the time that was measured: the usage of CPU is the mean over it.",
    },
}


def _text(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}


def _kind(kind: str, description: str, meta: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "required": sorted(properties),
        "properties": {
            "apiVersion": _text("The version of the schema of this object."),
            "kind": _text("The REST resource that this object represents."),
            "metadata": {"$ref": f"#/$defs/{_META}{meta}", "description": f"Standard {meta}."},
            **properties,
        },
        "x-kubernetes-group-version-kind": [{"group": "metrics.k8s.io", "version": "v1beta1", "kind": kind}],
    }


def _list(name: str, kind: str) -> dict[str, Any]:
    return {name: {"type": "array", "items": {"$ref": f"#/$defs/{_API}{kind}"}, "description": f"The {kind}."}}


DEFINITIONS: dict[str, dict[str, Any]] = {
    f"{_META}Duration": {"type": "string", "description": "A length of time as Go writes it: 1m30s."},
    f"{_API}ContainerMetrics": {
        "description": "What a container uses.",
        "type": "object",
        "required": ["name", "usage"],
        "properties": {"name": _text("Its name in the spec of the pod."), "usage": _USAGE},
    },
    f"{_API}NodeMetrics": _kind("NodeMetrics", "What a node uses.", "ObjectMeta", {**_WHEN, "usage": _USAGE}),
    f"{_API}NodeMetricsList": _kind(
        "NodeMetricsList", "A list of NodeMetrics.", "ListMeta", _list("items", "NodeMetrics")
    ),
    f"{_API}PodMetrics": _kind(
        "PodMetrics", "What a pod uses.", "ObjectMeta", {**_WHEN, **_list("containers", "ContainerMetrics")}
    ),
    f"{_API}PodMetricsList": _kind("PodMetricsList", "A list of PodMetrics.", "ListMeta", _list("items", "PodMetrics")),
}
