"""host-local: which address of the node's subnet belongs to which sandbox, one small file per address.

A node with a subnet of each family gives every sandbox an address out of each: all or none.

The directory is upstream's: /var/lib/cni/networks/cbr0/10.244.1.7 holds the sandbox's id, a carriage return, and the
interface; a third line, the pod, is for people.  ``last_reserved_ip.0`` (``.1`` of a second subnet) remembers where
the round goes on: an address that was given back is not used again before all others, so that nobody's stale
connection meets a new pod.

The files are the truth and outlive the kubelet.  In memory there is only an index of them, read once: upstream opens
every file for every pod, which is a quarter of the price of a sandbox.  One process at a time uses a directory.
"""

import ipaddress
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from knet.api.families import Network, split

DATA_DIR = Path("/var/lib/cni/networks")
#: flannel's CNI configuration names the network so
NETWORK = "cbr0"
_LAST = "last_reserved_ip."
_SEPARATOR = "\r\n"


class AddressesExhausted(RuntimeError):
    """Every address of the subnet is taken; upstream's words."""


@dataclass(frozen=True)
class Allocation:
    """An address, or one of each family, with its holder."""

    address: str
    """the first, or the only one"""
    container_id: str
    pod: str
    more: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.address, *self.more

    def __str__(self) -> str:
        return _SEPARATOR.join((self.container_id, "eth0", self.pod))


class Ipam:
    """The allocations recorded in one directory."""

    def __init__(self, directory: Path = DATA_DIR / NETWORK) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._held: dict[str, Allocation] = {}
        self._last: dict[int, str] = {}
        self._load()

    def held(self) -> list[Allocation]:
        """All allocations, in no particular order."""
        return list(self._held.values())

    def find(self, container_id: str) -> Allocation | None:
        return self._held.get(container_id)

    def allocate(self, subnet: str, container_id: str, pod: str) -> Allocation:
        """The next free address of ``subnet`` after the last one given out, or what this sandbox has already.

        ``subnet`` may be one of each family, with a comma between.
        Raises AddressesExhausted, OSError where a record cannot be written; then the sandbox has nothing.
        """
        already = self._held.get(container_id)
        if already is not None:
            return already
        taken: list[str] = []
        try:
            for number, cidr in enumerate(split(subnet)):
                taken.append(self._take(number, ipaddress.ip_network(cidr), Allocation("", container_id, pod)))
        except BaseException:
            for address in taken:
                (self._directory / address).unlink()
            raise
        allocation = self._held[container_id] = Allocation(taken[0], container_id, pod, tuple(taken[1:]))
        return allocation

    def _take(self, number: int, network: Network, holder: Allocation) -> str:
        """Record the next free address of the range of that number."""
        for address in following(network, self._last.get(number, "")):
            try:
                self._write(address, str(holder), os.O_EXCL)
            except FileExistsError:
                continue
            self._write(f"{_LAST}{number}", address)
            self._last[number] = address
            return address
        last = network.broadcast_address - (network.version == 4)
        raise AddressesExhausted(
            f"failed to allocate for range {number}: no IP addresses available in range set: {network[1]}-{last}"
        )

    def release(self, container_id: str) -> Allocation | None:
        """Give the addresses back; None where the sandbox held none."""
        allocation = self._held.pop(container_id, None)
        for address in allocation.addresses if allocation is not None else ():
            (self._directory / address).unlink(missing_ok=True)
        return allocation

    def _write(self, name: str, text: str, flags: int = 0) -> None:
        """With bare system calls, which halve the price; and shortened after writing, because ext4 puts a file that is
        emptied first on the disk before close(2) returns (its ``auto_da_alloc``: 300 µs)."""
        fd = os.open(f"{self._directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
        try:
            os.ftruncate(fd, os.write(fd, text.encode()))
        finally:
            os.close(fd)

    def _load(self) -> None:
        found: dict[str, list[str]] = {}
        for path in self._directory.iterdir():
            if path.name.startswith(_LAST):
                self._last[int(path.name.removeprefix(_LAST))] = path.read_text().strip()
            elif _is_address(path.name):
                container_id, _interface, pod = [*path.read_text().splitlines(), "", "", ""][:3]
                found.setdefault(container_id, []).append(path.name)
                # IPv4 before IPv6, as subnets are
                address, *more = sorted(found[container_id], key=lambda text: ipaddress.ip_address(text).version)
                self._held[container_id] = Allocation(address, container_id, pod, tuple(more))


def following(subnet: Network, last: str) -> Iterator[str]:
    """The usable addresses of ``subnet`` (all but the network's, the gateway's, which is the first, and IPv4's
    broadcast) in the order to try them: those after ``last``, then the rest.

    Pure.  ``last`` may be "" or lie elsewhere (the node's podCIDR changed): then from the start.
    """
    usable = range(int(subnet.network_address) + 2, int(subnet.broadcast_address) + (subnet.version == 6))
    start = int(ipaddress.ip_address(last)) + 1 if _is_address(last) else usable.start
    if start not in usable:
        start = usable.start
    for number in itertools.chain(range(start, usable.stop), range(usable.start, start)):
        yield str(subnet.network_address + (number - int(subnet.network_address)))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
