"""Just enough HTTP for a pod that watches two kinds: GET over one TLS connection to the API server.

Why not `knet.client`: this process is started anew in every DNS pod, and the cluster is not up before it answers.
aiohttp alone takes 270 ms and 15 MB to import, which is more than everything else here together.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")

#: seconds for connecting, and for the beginning of an answer
TIMEOUT = 10
#: a peer that acknowledges nothing for so many seconds is gone (a cut link)
DEAD_PEER_SECONDS = 5


@dataclass(frozen=True)
class Access:
    """Where the API server is, how to verify it, and the file of our token (read anew each time, as it rotates)."""

    host: str
    port: int
    tls: ssl.SSLContext
    token_file: Path


def in_cluster() -> Access:
    """The access of a pod: environment and service-account volume.  RuntimeError outside of one."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise RuntimeError("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(SERVICE_ACCOUNT_DIR / "ca.crt")
    return Access(host, int(port), tls, SERVICE_ACCOUNT_DIR / "token")


class Refused(Exception):
    """The API server answered with an error: its HTTP status."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(_message(body) or f"{status}: {body.decode(errors='replace').strip()[:300]}")
        self.status = status


class _Status(msgspec.Struct):
    message: str = ""


def _message(body: bytes) -> str:
    """Of a Status; "" for what is none."""
    try:
        return msgspec.json.decode(body, type=_Status).message
    except msgspec.DecodeError:
        return ""


class Connection:
    """One connection; one request after the other.  OSError (ConnectionError, TimeoutError) where it breaks."""

    def __init__(self, access: Access, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._access = access
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, access: Access) -> "Connection":
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(access.host, access.port, ssl=access.tls)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, DEAD_PEER_SECONDS - 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_SECONDS * 1000)
        return cls(access, reader, writer)

    def close(self) -> None:
        self._writer.close()

    async def get(self, path: str) -> AsyncIterator[bytes]:
        """The body of the answer, in pieces as they come; it has to be read to its end.  Raises Refused."""
        self._writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {self._access.host}:{self._access.port}\r\n"
            f"Authorization: Bearer {self._access.token_file.read_text().strip()}\r\n"
            "Accept: application/json\r\nUser-Agent: knet-dns\r\n\r\n".encode()
        )
        try:
            async with asyncio.timeout(TIMEOUT):
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
            status = int(head[0].split()[1])
            if status != 200:
                raise Refused(status, b"".join([piece async for piece in self._body(headers)]))
            async for piece in self._body(headers):
                yield piece
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the API server closed the connection") from error
        except (asyncio.LimitOverrunError, ValueError, IndexError) as error:
            raise ConnectionError("this is no HTTP") from error

    async def _body(self, headers: dict[str, str]) -> AsyncIterator[bytes]:
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                yield (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readuntil(b"\r\n")
        elif "content-length" in headers:
            yield await self._reader.readexactly(int(headers["content-length"]))
        else:
            while piece := await self._reader.read(65536):
                yield piece
            raise ConnectionError("the API server closed the connection")
