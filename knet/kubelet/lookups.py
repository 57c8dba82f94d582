"""The API objects that pods refer to: fetched when a pod needs them, with two exceptions that every pod has.

The cluster's CA bundle (ConfigMap kube-root-ca.crt of each namespace) is kept; tokens are kept for four fifths of
their life, as upstream's token manager does.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from knet.api.objects import ConfigMap, KubeObject, Meta, Part, Pod, Secret, ServiceAccount, TokenProjection
from knet.api.storage import PersistentVolume, PersistentVolumeClaim
from knet.client import ApiError, Client, NotFound, Unavailable
from knet.kubelet.environment import ConfigError
from knet.kubelet.volumes import Lookups

ROOT_CA = "kube-root-ca.crt"
#: part of a token's life after which it is replaced
FRESH = 0.8
#: requests under way at once: a hundred pods that start together must not open a hundred connections
PARALLEL = 4
#: seconds that a namespace's CA bundle is trusted to stay
CA_KEPT = 600

K = TypeVar("K", bound=KubeObject)


class _TokenStatus(Part, frozen=True, kw_only=True):
    token: str = ""


class _TokenResponse(Part, frozen=True, kw_only=True):
    status: _TokenStatus = _TokenStatus()


@dataclass(frozen=True)
class _Token:
    text: str
    until: float


class ApiLookups:
    """``ca_file`` stands in for the CA bundle where its ConfigMap is not published."""

    def __init__(self, client: Client, ca_file: Path) -> None:
        self._client = client
        self._ca_file = ca_file
        self._bundles: dict[str, tuple[float, asyncio.Future[ConfigMap]]] = {}
        self._tokens: dict[tuple[str, str], _Token] = {}
        self._turn = asyncio.Semaphore(PARALLEL)

    async def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        if name != ROOT_CA:
            return await self._get(ConfigMap, namespace, name)
        since, asking = self._bundles.get(namespace) or (0.0, None)
        if asking is None or time.monotonic() - since > CA_KEPT:
            asking = asyncio.ensure_future(self._bundle(namespace))
            self._bundles[namespace] = (time.monotonic(), asking)
        try:
            return await asyncio.shield(asking)
        except (ApiError, Unavailable):
            self._bundles.pop(namespace, None)
            raise

    async def _bundle(self, namespace: str) -> ConfigMap:
        found = await self._get(ConfigMap, namespace, ROOT_CA)
        return found or ConfigMap(metadata=Meta(name=ROOT_CA), data={"ca.crt": self._ca_file.read_text()})

    async def secret(self, namespace: str, name: str) -> Secret | None:
        return await self._get(Secret, namespace, name)

    async def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return await self._get(PersistentVolumeClaim, namespace, name)

    async def volume(self, name: str) -> PersistentVolume | None:
        return await self._get(PersistentVolume, "", name)

    async def token(self, pod: Pod, projection: TokenProjection) -> str:
        """A token bound to the pod, by the TokenRequest API; raises ConfigError if there is no such account."""
        key = (pod.uid, projection.audience)
        kept = self._tokens.get(key)
        if kept is not None and time.time() < kept.until:
            return kept.text
        account = pod.spec.serviceAccountName or "default"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [projection.audience] if projection.audience else [],
                "expirationSeconds": projection.expirationSeconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid},
            },
        }
        path = ServiceAccount.resource.path(pod.namespace, account, "token")
        try:
            async with self._turn:
                answer = await self._client.raw("POST", path, body)
        except NotFound as error:
            raise ConfigError(f"failed to fetch token: {error.message}") from None
        text = msgspec.json.decode(answer, type=_TokenResponse).status.token
        self._tokens[key] = _Token(text, time.time() + FRESH * projection.expirationSeconds)
        return text

    def as_volumes(self) -> Lookups:
        """These lookups in the form that volumes ask for."""
        return Lookups(self.config_map, self.secret, self.claim, self.volume, self.token)

    def forget(self, uid: str) -> None:
        """Drop what was kept for a pod."""
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]

    async def _get(self, cls: type[K], namespace: str, name: str) -> K | None:
        try:
            async with self._turn:
                return await self._client.get(cls, name, namespace)
        except NotFound:
            return None
