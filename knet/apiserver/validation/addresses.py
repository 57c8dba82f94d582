"""IPv4 addresses, the one family that knet has."""

from ipaddress import AddressValueError, IPv4Address

from knet.apiserver.formats import INVALID_IP

__all__ = ["INVALID_IP", "PROTOCOLS", "is_ipv4"]

#: transport protocols of ports
PROTOCOLS = ("SCTP", "TCP", "UDP")


def is_ipv4(text: str) -> bool:
    """Whether the text is an IPv4 address."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
