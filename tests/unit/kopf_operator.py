"""An operator as people write them with kopf: a ConfigMap for every CronTab, and a tombstone when one is deleted.

Run by ``kopf run``; test_custom_kopf.py looks at what it does to the cluster.
"""

import os
from typing import Any

import kopf
from lightkube import Client
from lightkube.config.kubeconfig import KubeConfig
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

_client = Client(config=KubeConfig.from_file(os.environ["KUBECONFIG"]), field_manager="crontab-operator")


@kopf.on.create("crontabs.stable.example.com")
def create(body: Any, name: str, namespace: str, spec: Any, patch: Any, **_: Any) -> dict[str, int]:
    """Make the child, which goes with its owner, and say so in the status."""
    child: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-jobs"},
        "data": {"when": spec["cronSpec"]},
    }
    kopf.adopt(child)
    _client.create(ConfigMap.from_dict(child), namespace=namespace)
    patch.status["phase"] = "Made"
    kopf.info(body, reason="Made", message="jobs are planned")
    return {"jobs": spec["replicas"]}


@kopf.on.update("crontabs.stable.example.com", field="spec.replicas")
def rescale(old: int, new: int, patch: Any, **_: Any) -> None:
    """Follow the spec."""
    patch.status["phase"] = f"Scaled from {old} to {new}"
    patch.status["replicas"] = new


@kopf.on.delete("crontabs.stable.example.com")
def delete(name: str, namespace: str, **_: Any) -> None:
    """The last word; the object waits for it."""
    _client.create(ConfigMap(metadata=ObjectMeta(name=f"{name}-tombstone")), namespace=namespace)
