"""Questions that others have to be asked about, from whom to ask to the answer for a client."""

import logging
import time

from dnslib import QTYPE, RCODE, DNSRecord
from dnslib.dns import DNSError
from dnslib.label import DNSLabelError

from knet.dns.foreign import Said, reply
from knet.dns.forward import NoAnswer, TooMany
from knet.dns.responder import Foreign, Responder, Transport
from knet.dns.sparing import Sparing

log = Sparing(logging.getLogger(__name__))


async def resolve(responder: Responder, foreign: Foreign, query: bytes, transport: Transport) -> bytes:
    """The answer; SERVFAIL where no name server gives one, REFUSED where too many questions wait for theirs."""
    question, plugin = foreign.question, "forward"
    try:
        said = await _said(foreign)
        message = _message(responder, foreign, said, transport)
        code = said.code
    except TooMany:
        code, plugin = RCODE.REFUSED, ""
        message = responder.routes.packer.code(question, transport.tcp, code)
    except (NoAnswer, DNSError, DNSLabelError, RecursionError) as error:
        name = ".".join(label.decode("latin-1") for label in foreign.asked.labels)
        log.error("plugin/errors: 2 %s. %s: %s", name, QTYPE.get(question.type), error)
        code, plugin = RCODE.SERVFAIL, ""
        message = responder.routes.packer.code(question, transport.tcp, code)
    responder.told(query, transport, responder.labels(question, transport, code, plugin), len(message))
    return message


async def _said(foreign: Foreign) -> Said:
    forwarder = foreign.route.forwarder_of(foreign.asked.name)
    assert forwarder is not None, "who has none is not asked"
    return forwarder.known(foreign.asked) or await forwarder.resolve(foreign.asked)


def _message(responder: Responder, foreign: Foreign, said: Said, transport: Transport) -> bytes:
    question, now = foreign.question, time.monotonic()
    if foreign.answer is None:
        return reply(said, question, transport.tcp, now)
    packer = responder.routes.packer
    if said.code not in (RCODE.NOERROR, RCODE.NXDOMAIN):
        return packer.code(question, transport.tcp, said.code)
    whole = DNSRecord.parse(reply(said, foreign.asked._replace(edns=None), True, now))
    answer = foreign.answer._replace(exists=said.code == RCODE.NOERROR)
    return packer.answer(question, transport.tcp, answer, whole.rr, whole.auth)
