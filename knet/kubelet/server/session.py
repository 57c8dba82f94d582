"""What a client and a command in a container say to each other, whatever carries it.

stdin 0, stdout 1, stderr 2, the outcome 3, terminal sizes 4.  Dialects have versions: since v4 the outcome is a Status,
from which kubectl takes its exit code; before that it is a sentence, and none is good news.
https://github.com/kubernetes/apimachinery/blob/master/pkg/util/remotecommand/constants.go
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)

Status = dict[str, object]


@dataclass(frozen=True)
class Wanted:
    """Which streams the client asks for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, request: web.Request) -> "Wanted":
        def flag(name: str) -> bool:
            return request.query.get(name, "") in ("1", "true")

        tty = flag("tty")
        return cls(flag("input"), flag("output"), flag("error") and not tty, tty)


class Session(Protocol):
    """A connection for one command."""

    @property
    def response(self) -> web.StreamResponse:
        """What the request's handler returns."""

    async def ready(self) -> None:
        """Until the client is there to hear; to be awaited before anything is sent.  ConnectionError if it goes."""

    async def send(self, channel: int, data: bytes) -> None:
        """ConnectionError when the client has gone."""

    def received(self) -> AsyncIterator[tuple[int, bytes]]:
        """(channel, data) until the client goes; no data: it closed that channel."""

    async def finish(self, status: Status) -> None:
        """Tell the outcome, and close."""


def success() -> Status:
    return {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> Status:
    """The Status for an exit code."""
    if code == 0:
        return success()
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure(message: str) -> Status:
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "InternalError",
        "message": f"Internal error occurred: {message}",
        "code": 500,
    }


def told(status: Status, version: int) -> bytes:
    """The outcome as a dialect of that version has it."""
    if version >= 4:
        return json.dumps(status).encode()
    return str(status.get("message", "")).encode()
