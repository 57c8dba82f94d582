"""gzip for large answers, as upstream's APIResponseCompression: above 128 KiB, at the fastest level."""

import asyncio
import gzip

from knet.apiserver.http.request import Request
from knet.apiserver.http.response import Response

#: bytes; smaller ones cost more time to compress than to send
THRESHOLD = 128 * 1024


async def compress(request: Request, response: Response) -> None:
    """Compress the answer if the client takes it; in a thread, because zlib needs 10 ms for a megabyte."""
    if not request.headers.has_token("Accept-Encoding", "gzip"):
        return
    response.body = await asyncio.to_thread(gzip.compress, response.body, 1, mtime=0)
    response.headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
