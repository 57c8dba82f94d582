"""One informer per kind for all who share a process: a kind is listed, watched, decoded and kept once."""

import asyncio
from typing import Any

from knet.api.objects import K
from knet.client.client import Client
from knet.client.informer import Informer


class SharedInformers:
    """Informers made on first demand and started together."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: dict[tuple[type, str, str], Informer[Any]] = {}

    def of(self, cls: type[K], field_selector: str = "", label_selector: str = "") -> Informer[K]:
        """The informer of a kind, all namespaces; those with different selectors are different informers."""
        key = cls, field_selector, label_selector
        if key not in self._made:
            self._made[key] = Informer(self._client, cls, field_selector=field_selector, label_selector=label_selector)
        return self._made[key]

    async def run(self) -> None:
        """Keep all of them true until cancelled; those asked for after the start are not run."""
        async with asyncio.TaskGroup() as group:
            for informer in self._made.values():
                group.create_task(informer.run())

    async def synced(self) -> None:
        """Return once every first list is in."""
        for informer in self._made.values():
            await informer.synced.wait()
