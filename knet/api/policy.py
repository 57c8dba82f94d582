"""Policies as their controllers need them: see `knet.api.objects`."""

from msgspec import field

from knet.api import resources
from knet.api.objects import JSON, KubeObject


class ResourceQuota(KubeObject, frozen=True, kw_only=True):
    """Read by `knet.api.quota`, which takes JSON."""

    resource = resources.RESOURCEQUOTAS
    spec: JSON = field(default_factory=dict)
    status: JSON = field(default_factory=dict)
