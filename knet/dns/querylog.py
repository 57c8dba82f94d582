"""A line for each query, as CoreDNS's plugin log writes it.

10.244.1.2:43221 - 7 "A IN web.default.svc.cluster.local. udp 54 false 512" NOERROR qr,aa,rd 106 0.000112000s
"""

from typing import Any

from dnslib import CLASS, QTYPE

from knet.dns.metrics import code_name
from knet.dns.question import HEADER, Malformed, parse

_FLAGS = ((0x8000, "qr"), (0x400, "aa"), (0x200, "tc"), (0x100, "rd"), (0x80, "ra"), (0x20, "ad"), (0x10, "cd"))
_UDP_SIZE = 512


def line(query: bytes, reply: bytes, proto: str, client: Any, seconds: float) -> str:
    identity, flags, *_ = HEADER.unpack_from(reply)
    asked = "- - ."
    size, dnssec_ok = _UDP_SIZE, False
    try:
        question = parse(query)
    except Malformed:
        pass  # there is a line nevertheless, for it was answered
    else:
        name = b".".join(question.labels).decode("latin-1").encode("unicode_escape").decode()
        asked = f"{QTYPE.get(question.type)} {CLASS.get(question.cls)} {name}."
        if question.edns is not None:
            size, dnssec_ok = question.edns.udp_size, question.edns.dnssec_ok
    if proto == "tcp":
        size = 65535
    host = f"[{client[0]}]" if ":" in client[0] else client[0]
    shown = ",".join(name for bit, name in _FLAGS if flags & bit)
    return (
        f'{host}:{client[1]} - {identity} "{asked} {proto} {len(query)} {str(dnssec_ok).lower()} {size}" '
        f"{code_name(flags & 0xF)} {shown} {len(reply)} {seconds:.9f}s"
    )
