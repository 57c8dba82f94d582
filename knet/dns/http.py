"""What kubelets and Prometheus read of a DNS server: /health, /ready and /metrics, each at a port of its own."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

#: seconds for a request to come
_PATIENCE = 10


class Page(NamedTuple):
    body: str
    status: str = "200 OK"
    content_type: str = "text/plain; charset=utf-8"


async def serve_page(host: str, port: int, path: str, page: Callable[[], Page]) -> asyncio.Server:
    """GET ``path`` at an address ("" is all) answers what ``page`` returns then.  OSError where the port is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                found = Page("404 page not found\n", "404 Not Found")
                if request.split(b" ", 2)[1:2] == [path.encode()]:
                    found = page()
                head = (
                    f"HTTP/1.1 {found.status}\r\nContent-Type: {found.content_type}\r\n"
                    f"Content-Length: {len(found.body.encode())}\r\nConnection: close\r\n\r\n"
                )
                writer.write((head + found.body).encode())
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(answer, host or None, port)
