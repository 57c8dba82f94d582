"""Which addresses a Service shall have: a pure function of the pool and of what others have."""

import ipaddress
from collections.abc import Collection, Iterable

from knet.api.load_balancers import AddressPool, held
from knet.api.objects import Service

#: addresses that are asked for, one of each family; spec.loadBalancerIP, which is deprecated, has room for one
REQUESTED = "metallb.io/loadBalancerIPs"


def assign(service: Service, pool: AddressPool, taken: Collection[str]) -> tuple[str, ...]:
    """One address for each of the Service's families: what it asks for, else what it has, else the lowest free one.

    ``taken`` are the other Services' addresses.  LookupError says why that cannot be.
    """
    asked = _by_family(_requested(service))
    has = _by_family(address for address in held(service) if address in pool and address not in taken)
    return tuple(
        _allowed(asked[family], pool, taken) if family in asked else has.get(family) or pool.free(family, taken)
        for family in service.spec.ipFamilies or ("IPv4",)
    )


def _allowed(address: str, pool: AddressPool, taken: Collection[str]) -> str:
    if address not in pool:
        raise LookupError(f"{address} is not in the pool {pool}")
    if address in taken:
        raise LookupError(f"{address} is another Service's")
    return address


def _requested(service: Service) -> list[str]:
    if text := service.metadata.annotations.get(REQUESTED, ""):
        return [part.strip() for part in text.split(",")]
    return [service.spec.loadBalancerIP] if service.spec.loadBalancerIP else []


def _by_family(addresses: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError as error:
            raise LookupError(str(error)) from None
        found.setdefault(f"IPv{address.version}", str(address))
    return found
