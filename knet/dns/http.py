"""What kubelets and Prometheus read of a DNS server: /health, /ready and /metrics, each at a port of its own."""

import asyncio
from collections.abc import Callable

from knet.kernel import pages
from knet.kernel.pages import NOT_FOUND, Page

__all__ = ["Page", "serve_page"]


async def serve_page(host: str, port: int, path: str, page: Callable[[], Page]) -> asyncio.Server:
    """GET ``path`` at an address ("" is all) answers what ``page`` returns then.  OSError where the port is taken."""
    return await pages.serve(host, port, lambda target: page() if target == path else NOT_FOUND)
