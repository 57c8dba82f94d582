"""CustomResourceDefinitions for tests, and how to wait for what follows from them."""

from collections.abc import Callable
from typing import Any

import orjson
from apiserver_harness import JSON, Api

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "stable.example.com"

#: a CronTab like that of the documentation
CRON_TAB: JSON = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["cronSpec"],
            "properties": {
                "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
                "image": {"type": "string", "default": "busybox"},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "port": {"x-kubernetes-int-or-string": True},
                "note": {"type": "string", "nullable": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "jobs": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "tries": {"type": "integer", "default": 3}},
                    },
                },
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer"},
                "selector": {"type": "string"},
                "phase": {"type": "string"},
            },
        },
    },
}
#: what belongs to a version beside its schema
CRON_TAB_VERSION: JSON = {
    "subresources": {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    },
    "selectableFields": [{"jsonPath": ".spec.image"}],
    "additionalPrinterColumns": [
        {"name": "Spec", "type": "string", "description": "When", "jsonPath": ".spec.cronSpec"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
}


def version(name: str = "v1", schema: JSON = CRON_TAB, **more: Any) -> JSON:
    """One version, served and stored unless ``more`` says otherwise."""
    return {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **more}


def definition(plural: str, kind: str, *versions: JSON, scope: str = "Namespaced", **names: Any) -> JSON:
    """A CustomResourceDefinition; a CronTab's schema unless there are versions.  The result shares nothing."""
    value = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {"plural": plural, "kind": kind, **names},
            "versions": list(versions) or [version(**CRON_TAB_VERSION)],
        },
    }
    found: JSON = orjson.loads(orjson.dumps(value))
    return found


def path(plural: str, name: str = "", *, api: str = "v1", namespace: str = "default") -> str:
    """The path of a namespaced custom resource or of one object of it."""
    below = f"/apis/{GROUP}/{api}/namespaces/{namespace}/{plural}"
    return f"{below}/{name}" if name else below


def cron_tab(kind: str, name: str, api: str = "v1", **spec: Any) -> JSON:
    """A small custom resource."""
    body = {"cronSpec": "* * * * */5", **spec}
    return {"apiVersion": f"{GROUP}/{api}", "kind": kind, "metadata": {"name": name}, "spec": body}


async def until(api: Api, name: str, condition: str, status: str = "True") -> JSON:
    """Follow a definition until a condition of it has a status."""
    selector = f"fieldSelector=metadata.name%3D{name}"
    async with api.session.get(f"{api.url}{DEFINITIONS}?watch=1&{selector}") as response:
        async for line in response.content:
            value: JSON = orjson.loads(line)["object"]
            for row in value.get("status", {}).get("conditions", ()):
                if (row["type"], row["status"]) == (condition, status):
                    return value
    raise AssertionError(f"the watch of {name} ended")


async def define(api: Api, value: JSON) -> JSON:
    """Create a definition and wait until it is established; its state then."""
    made = await api("POST", DEFINITIONS, value)
    assert made.code == 201, made.body
    return await until(api, value["metadata"]["name"], "Established")


async def reached(api: Api, collection: str, name: str, holds: Callable[[JSON], bool]) -> JSON:
    """Follow a collection until something holds of an object of it; its state then."""
    async with api.session.get(f"{api.url}{collection}?watch=1&fieldSelector=metadata.name%3D{name}") as response:
        async for line in response.content:
            value: JSON = orjson.loads(line)["object"]
            if holds(value):
                return value
    raise AssertionError(f"the watch of {collection} ended")


async def gone(api: Api, collection: str, name: str) -> None:
    """Follow a collection until an object of it has been deleted."""
    listing = await api("GET", collection)
    if all(item["metadata"]["name"] != name for item in listing.body["items"]):
        return
    revision = listing.body["metadata"]["resourceVersion"]
    async with api.session.get(f"{api.url}{collection}?watch=1&resourceVersion={revision}") as response:
        async for line in response.content:
            event = orjson.loads(line)
            if event["type"] == "DELETED" and event["object"]["metadata"]["name"] == name:
                return
    raise AssertionError(f"the watch of {collection} ended")
