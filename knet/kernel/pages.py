"""Pages over plain HTTP for those who ask after a component: kubelets and Prometheus.  No more than that takes."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

#: seconds for a request to come
_PATIENCE = 10


class Page(NamedTuple):
    """An answer."""

    body: str
    status: str = "200 OK"
    content_type: str = "text/plain; charset=utf-8"


NOT_FOUND = Page("404 page not found\n", "404 Not Found")


async def serve(host: str, port: int, page: Callable[[str], Page]) -> asyncio.Server:
    """Answer requests at an address ("" is all) with what ``page`` says of their target; OSError if it is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                [target] = request.split(b" ", 2)[1:2] or [b""]
                writer.write(_response(page(target.decode(errors="replace"))))
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # no HTTP, or nobody there any more
        finally:
            writer.close()

    return await asyncio.start_server(answer, host or None, port)


def _response(page: Page) -> bytes:
    data = page.body.encode()
    head = (
        f"HTTP/1.1 {page.status}\r\nContent-Type: {page.content_type}\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data
