"""The two address families, as Kubernetes names them, and lists of one address or range of each.

Where one was, there may be two now (a Service's addresses, a Node's ranges), the first being the primary one; options
and flags write them with a comma between: ``10.96.0.0/12,fd00:10:96::/112``.
"""

import ipaddress
from collections.abc import Iterable

IPV4, IPV6 = "IPv4", "IPv6"
FAMILIES = (IPV4, IPV6)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def family_of(text: str) -> str:
    """Of an address or a prefix, by its look."""
    return IPV6 if ":" in text else IPV4


def split(text: str) -> tuple[str, ...]:
    """The members of such a list, without what is empty."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def ranges(text: str) -> dict[str, Network]:
    """A list of one or two ranges by their families, the primary one first.

    ValueError, in words that follow the list, for what is no range, for two of one family, and for none.
    """
    networks = [ipaddress.ip_network(item) for item in split(text)]
    found = {f"IPv{network.version}": network for network in networks}
    if not found or len(found) != len(networks):
        raise ValueError("give one range, or one of each address family")
    return found


def of_family(addresses: Iterable[str], family: str) -> str:
    """The first of the addresses that is of a family, "" where there is none."""
    return next((address for address in addresses if family_of(address) == family), "")


def host_port(host: str, port: int | str) -> str:
    """As it stands in a URL: IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
