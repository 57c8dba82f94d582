"""Who a frame is between, as bytes: enough to look names up, for every packet of a flood.  Pure."""

import ipaddress

from knet.kernel.bpf import VXLAN_PORT

_PORT = VXLAN_PORT.to_bytes(2)
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"


def addresses(frame: bytes) -> tuple[bytes, bytes]:
    """Of the IP packet in a frame, and of the one that it carries where it is VXLAN: source and destination in one, as
    bytes; b"" where there is none.  What says which names belong to a packet, without decoding it."""
    outer = _ends_at(frame, 14)
    if outer and (start := _tunnelled(frame)):
        return outer, _ends_at(frame, start + 14)
    return outer, b""


def _ends_at(frame: bytes, start: int) -> bytes:
    """Both addresses of the IP header that begins there; of IPv4 8 bytes, of IPv6 32."""
    kind = frame[start - 2 : start]
    if kind == _IPV4:
        return frame[start + 12 : start + 20]
    return frame[start + 8 : start + 40] if kind == _IPV6 else b""


def _tunnelled(frame: bytes) -> int:
    """Where the frame begins that this one carries, 0 if it carries none."""
    if frame[12:14] == _IPV4:
        return 50 if frame[23] == 17 and frame[36:38] == _PORT and len(frame) > 64 else 0
    return 70 if frame[20] == 17 and frame[56:58] == _PORT and len(frame) > 84 else 0


def text(ends: bytes) -> tuple[str, str]:
    """The two addresses in words; ValueError for what is cut short."""
    half = len(ends) // 2
    return str(ipaddress.ip_address(ends[:half])), str(ipaddress.ip_address(ends[half:]))
