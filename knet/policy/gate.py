"""Answers the kubelet: a pod's containers may start, because its rules are in force (`knet.cni.isolation`)."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

import msgspec

from knet.cni.isolation import IN_FORCE, NO_POLICY
from knet.policy.population import NarrowPod

log = logging.getLogger(__name__)


class Gate:
    """``admit`` returns when the pod may start, and whether there are policies; ValueError for a pod that may not."""

    def __init__(self, listening: socket.socket, admit: Callable[[NarrowPod], Awaitable[bool]]) -> None:
        self._listening = listening
        self._admit = admit

    async def run(self) -> None:
        """Answer until cancelled.  Who is not answered hears the end of the connection, and asks again."""
        async with await asyncio.start_unix_server(self._answer, sock=self._listening) as server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            pod = msgspec.json.decode(await reader.readline(), type=NarrowPod)
            writer.write(IN_FORCE if await self._admit(pod) else NO_POLICY)
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("not understood: %s", error)
        except OSError as error:  # it did not wait for the answer
            log.info("%s", error)
        finally:
            writer.close()
