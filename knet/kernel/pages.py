"""Pages over plain HTTP for those who ask after a component: kubelets, load balancers, Prometheus.  No more than that
takes."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple

#: seconds for a request to come
_PATIENCE = 10


class Page(NamedTuple):
    """An answer."""

    body: str
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = MappingProxyType({})
    """further ones"""


#: as Go's http.NotFound answers
NOT_FOUND = Page("404 page not found\n", 404, headers={"X-Content-Type-Options": "nosniff"})


async def serve(host: str, port: int, page: Callable[[str], Page]) -> asyncio.Server:
    """Answer requests at an address ("" is all) with what ``page`` says of their path; OSError if it is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                [target] = request.split(b" ", 2)[1:2] or [b""]
                writer.write(_response(page(target.decode(errors="replace").partition("?")[0])))
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # no HTTP, or nobody there any more
        finally:
            writer.close()

    return await asyncio.start_server(answer, host or None, port)


def _response(page: Page) -> bytes:
    data = page.body.encode()
    headers = {
        "Content-Type": page.content_type,
        **page.headers,
        "Content-Length": len(data),
        "Connection": "close",
    }
    rows = (f"{name}: {value}" for name, value in headers.items())
    head = "\r\n".join((f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}", *rows, "", ""))
    return head.encode() + data
