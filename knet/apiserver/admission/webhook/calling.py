"""One question to one webhook over HTTPS, and Go's words for all that can come between."""

import asyncio
import base64
import binascii
import json
import ssl
from functools import lru_cache
from urllib.parse import urlsplit

import orjson

from knet.apiserver.admission.request import Request
from knet.apiserver.admission.webhook.configuration import Client, Webhook
from knet.apiserver.admission.webhook.review import BadAnswer, Verdict, question, verdict
from knet.apiserver.kind import Kind
from knet.apiserver.reach import Endpoint, Reach, Reply
from knet.apiserver.status import bad_request

#: seconds to get a connection; a webhook's own timeout is mostly shorter
_PATIENCE = 30
_HEADERS = [
    ("Accept", "application/json, */*"),
    ("Content-Type", "application/json"),
    ("User-Agent", "kube-apiserver-admission"),
]
#: what Go's client says of codes, if it is not the answer's text
_WORDS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    409: "the server reported a conflict",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
_SERVERS_TEXT = frozenset((403, 405, 406, 415))


class CallFailed(Exception):
    """No answer that counts: the failurePolicy says what that means."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"failed calling webhook {json.dumps(name)}: {why}")


async def ask(reach: Reach, webhook: Webhook, request: Request, form: Kind, mutating: bool) -> Verdict:
    """What a webhook says of a request.  Raises CallFailed, and StatusError 400 for a dry run it would not survive."""
    if request.options.dry_run and not webhook.harmless:
        raise bad_request(f"admission webhook {json.dumps(webhook.name)} does not support dry run")
    if not webhook.version:
        why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
        raise CallFailed(webhook.name, f"could not create admission objects: {why}")
    uid, review = question(request, form, webhook.version)
    try:
        tls = _tls(webhook.client.bundle)
    except ValueError as error:
        raise CallFailed(webhook.name, f"could not get REST client: {error}") from None
    try:
        answer = await _exchange(reach, webhook, tls, orjson.dumps(review))
    except ConnectionError as error:
        raise CallFailed(webhook.name, f"failed to call webhook: {error}") from None
    try:
        return verdict(answer, uid, webhook.version, mutating)
    except BadAnswer as error:
        raise CallFailed(webhook.name, f"received invalid webhook response: {error}") from None


async def _exchange(reach: Reach, webhook: Webhook, tls: ssl.SSLContext, body: bytes) -> bytes:
    """The body of the answer; ConnectionError."""
    client = webhook.client
    authority, path = _place(client)
    target = f"{path or '/'}?timeout={webhook.timeout}s"
    try:
        async with asyncio.timeout(webhook.timeout):
            endpoint = _endpoint(reach, client, authority, tls)
            reply = await reach.exchange(endpoint, "POST", target, _HEADERS, body, _PATIENCE)
    except TimeoutError:
        raise ConnectionError(f'Post "https://{authority}{target}": context deadline exceeded') from None
    except ConnectionError as error:
        raise ConnectionError(f'Post "https://{authority}{target}": {error}') from None
    if not 200 <= reply.status <= 206:
        raise ConnectionError(_refusal(reply))
    return reply.body


def _place(client: Client) -> tuple[str, str]:
    """Host and port as the URL has them, and the path."""
    if client.service:
        path = client.path if client.path.startswith("/") or not client.path else f"/{client.path}"
        return f"{client.service}.{client.namespace}.svc:{client.port}", path
    parts = urlsplit(client.url)
    return parts.netloc, parts.path


def _endpoint(reach: Reach, client: Client, authority: str, tls: ssl.SSLContext) -> Endpoint:
    if client.service:
        return reach.service(client.namespace, client.service, client.port, tls, authority)
    parts = urlsplit(client.url)
    return Endpoint(parts.hostname or "", parts.port or 443, tls, authority)


@lru_cache(maxsize=256)
def _tls(bundle: str) -> ssl.SSLContext:
    """Trusts the CAs of a caBundle, or the machine's; ValueError where it has none.  As Go, servers themselves, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not bundle:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=base64.b64decode(bundle).decode())
    except (ssl.SSLError, binascii.Error, ValueError):
        raise ValueError("unable to load root certificates: unable to parse bytes as PEM block") from None
    return context


def _refusal(reply: Reply) -> str:
    """An HTTP error as Go's client tells it."""
    text = reply.body.decode(errors="replace").strip() or "unknown"
    if reply.status in _SERVERS_TEXT:
        return text
    if words := _WORDS.get(reply.status):
        return words
    if reply.status >= 500:
        return f"an error on the server ({json.dumps(text)}) has prevented the request from succeeding"
    return f"the server responded with the status code {reply.status} but did not return more information"
