"""Volumes and claims: which belongs to which, who makes and removes them, and what must not vanish while it is used.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from knet.controllers.volumes.binder import build as build_binder
from knet.controllers.volumes.ephemeral import build as build_ephemeral
from knet.controllers.volumes.protection import build_claim_protection, build_volume_protection
from knet.controllers.volumes.provisioner import build as build_provisioner

__all__ = [
    "build_binder",
    "build_claim_protection",
    "build_ephemeral",
    "build_provisioner",
    "build_volume_protection",
]
