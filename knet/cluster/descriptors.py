"""What is open before the component runs that it is for: sockets that listen, files that it appends to.

Sockets exist before whoever serves them does: connections wait in the backlog, across restarts too, and nobody has to
try again.
"""

import os
import socket

from knet.cluster.components import Component
from knet.cluster.errors import KnetError
from knet.kernel.namespaces import Namespaces, entered
from knet.underlay.machine import Machine

#: connections that wait until they are accepted
BACKLOG = 4096


def opened(component: Component, machine: Machine | None) -> dict[str, list[int]]:
    """Descriptors for a component, by the option that tells it their numbers; KnetError where that cannot be."""
    found = {option: [_appending(path)] for option, path in component.appends.items()}
    for option, addresses in component.listens.items():
        found[option] = [listening(machine, address).detach() for address in addresses]
    return found


def listening(machine: Machine | None, address: str | tuple[str, int], kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket on a machine's network, or on that beside the machines: at a Unix address, or at IP address and port."""
    if isinstance(address, str):
        family = socket.AF_UNIX
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with entered(machine.namespaces.only("net") if machine else Namespaces({})):
        sock = socket.socket(family, kind)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    sock.listen(BACKLOG)
    return sock


def _appending(path: str) -> int:
    """A file of the host, open for a component that appends to it; KnetError."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise KnetError(f"{path} cannot be written: {error.strerror}.") from None
