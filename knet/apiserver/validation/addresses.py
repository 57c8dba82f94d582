"""IPv4 addresses, the one family that knet has."""

from ipaddress import AddressValueError, IPv4Address

#: the detail of an error about anything else
INVALID_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
#: transport protocols of ports
PROTOCOLS = ("SCTP", "TCP", "UDP")


def is_ipv4(text: str) -> bool:
    """Whether the text is an IPv4 address."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
