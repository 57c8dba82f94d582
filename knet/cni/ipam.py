"""host-local: which address of the node's subnet belongs to which sandbox, one small file per address.

The directory is upstream's: /var/lib/cni/networks/cbr0/10.244.1.7 holds the sandbox's id, a carriage return, and the
interface; a third line, the pod, is for people.  ``last_reserved_ip.0`` remembers where the round goes on: an address
that was given back is not used again before all others, so that nobody's stale connection meets a new pod.

The files are the truth and outlive the kubelet.  In memory there is only an index of them, read once: upstream opens
every file for every pod, which is a quarter of the price of a sandbox.  One process at a time uses a directory.
"""

import ipaddress
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DATA_DIR = Path("/var/lib/cni/networks")
#: flannel's CNI configuration names the network so
NETWORK = "cbr0"
_LAST = "last_reserved_ip.0"
_SEPARATOR = "\r\n"


class AddressesExhausted(RuntimeError):
    """Every address of the subnet is taken; upstream's words."""


@dataclass(frozen=True)
class Allocation:
    """An address with its holder."""

    address: str
    container_id: str
    pod: str

    def __str__(self) -> str:
        return _SEPARATOR.join((self.container_id, "eth0", self.pod))


class Ipam:
    """The allocations recorded in one directory."""

    def __init__(self, directory: Path = DATA_DIR / NETWORK) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._held: dict[str, Allocation] = {}
        self._last = ""
        self._load()

    def held(self) -> list[Allocation]:
        """All allocations, in no particular order."""
        return list(self._held.values())

    def find(self, container_id: str) -> Allocation | None:
        return self._held.get(container_id)

    def allocate(self, subnet: str, container_id: str, pod: str) -> Allocation:
        """The next free address of ``subnet`` after the last one given out, or the one that this sandbox has already.

        Raises AddressesExhausted; OSError where the record cannot be written.
        """
        already = self._held.get(container_id)
        if already is not None:
            return already
        network = ipaddress.IPv4Network(subnet)
        for address in following(network, self._last):
            allocation = Allocation(address, container_id, pod)
            try:
                self._write(address, str(allocation), os.O_EXCL)
            except FileExistsError:
                continue
            self._write(_LAST, address)
            self._last = address
            self._held[container_id] = allocation
            return allocation
        raise AddressesExhausted(
            f"failed to allocate for range 0: no IP addresses available in range set: {network[1]}-{network[-2]}"
        )

    def release(self, container_id: str) -> Allocation | None:
        """Give the address back; None where the sandbox held none."""
        allocation = self._held.pop(container_id, None)
        if allocation is not None:
            (self._directory / allocation.address).unlink(missing_ok=True)
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
        for path in self._directory.iterdir():
            if path.name == _LAST:
                self._last = path.read_text().strip()
            elif _is_address(path.name):
                container_id, _interface, pod = [*path.read_text().splitlines(), "", "", ""][:3]
                self._held[container_id] = Allocation(path.name, container_id, pod)


def following(subnet: ipaddress.IPv4Network, last: str) -> Iterator[str]:
    """The usable addresses of ``subnet`` (all but the network's, the gateway's, which is the first, and broadcast) in
    the order to try them: those after ``last``, then the rest.

    Pure.  ``last`` may be "" or lie elsewhere (the node's podCIDR changed): then from the start.
    """
    usable = range(int(subnet.network_address) + 2, int(subnet.broadcast_address))
    start = int(ipaddress.IPv4Address(last)) + 1 if _is_address(last) else usable.start
    if start not in usable:
        start = usable.start
    for number in itertools.chain(range(start, usable.stop), range(usable.start, start)):
        yield str(ipaddress.IPv4Address(number))


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
