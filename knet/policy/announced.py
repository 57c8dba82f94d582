"""Pods that the kubelet has told us of and that the API server does not show with their addresses yet.

On disk too (the machine's /run), so that one that was killed and started anew knows them: the pod runs already.
"""

import logging
from collections.abc import Container
from pathlib import Path

import msgspec

from knet.client.controller import Key
from knet.policy.population import Endpoint, NarrowPod, endpoint

log = logging.getLogger(__name__)

DIRECTORY = Path("/run/kube-network-policies")


class Announced:
    """By key; an address belongs to whom it was given last."""

    def __init__(self, node_name: str, directory: Path = DIRECTORY) -> None:
        self._node_name = node_name
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._rows: dict[Key, Endpoint] = {}
        for path in directory.iterdir():
            try:
                self._hold(msgspec.json.decode(path.read_bytes(), type=NarrowPod))
            except msgspec.DecodeError:  # we ended in the middle of writing it; its pod did not start
                path.unlink()

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def addresses(self, key: Key) -> tuple[str, ...]:
        return self._rows[key].addresses if key in self._rows else ()

    @property
    def endpoints(self) -> list[Endpoint]:
        return list(self._rows.values())

    def add(self, pod: NarrowPod) -> None:
        """The kubelet's word."""
        for key in self._hold(pod):
            self.drop(key)
        self._path(Key(pod.namespace, pod.name)).write_bytes(msgspec.json.encode(pod))

    def keep(self, keys: Container[Key]) -> None:
        """Of those who were announced to a former life, forget all but these: the others have gone meanwhile."""
        for key in [key for key in self._rows if key not in keys]:
            self.drop(key)

    def drop(self, key: Key) -> None:
        """The API server shows the pod as it is, or has it no more."""
        if self._rows.pop(key, None) is not None:
            self._path(key).unlink(missing_ok=True)

    def _hold(self, pod: NarrowPod) -> list[Key]:
        """The keys of those that had its addresses before."""
        found = endpoint(pod, self._node_name)
        if found is None:
            raise ValueError(f"pod {pod.namespace}/{pod.name} has no address")
        key, taken = Key(pod.namespace, pod.name), set(found.addresses)
        former = [other for other, row in self._rows.items() if other != key and not taken.isdisjoint(row.addresses)]
        self._rows[key] = found
        return former

    def _path(self, key: Key) -> Path:
        return self._directory / f"{key.namespace}_{key.name}.json"
