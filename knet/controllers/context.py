"""What every controller of the process is given: the client, the shared caches, the intervals, a voice."""

import asyncio
from dataclasses import dataclass, field

from knet.api.families import Network
from knet.api.timing import Timing
from knet.client import Client, EventRecorder, SharedInformers


@dataclass(frozen=True)
class Context:
    """Made once by main; controllers take from it what they need in their constructors."""

    client: Client
    informers: SharedInformers
    timing: Timing
    cluster_cidrs: dict[str, Network]
    """the pods' ranges by family, the primary one first"""
    account_key_file: str
    signing_cert_file: str = ""
    signing_key_file: str = ""
    load_balancer_pool: str = ""
    recorders: list[EventRecorder] = field(default_factory=list)

    def recorder(self, component: str) -> EventRecorder:
        """An Event recorder that names ``component`` as the source, as upstream does per controller."""
        made = EventRecorder(self.client, component)
        self.recorders.append(made)
        return made

    async def run_recorders(self) -> None:
        async with asyncio.TaskGroup() as group:
            for recorder in self.recorders:
                group.create_task(recorder.run())
