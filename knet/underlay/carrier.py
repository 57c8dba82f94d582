"""Wait until cables carry.

Setting both ends of a cable up gives it a carrier at once; but it is a worker of the kernel (linkwatch) that makes the
ends transmit and tells the bridge to forward, some milliseconds later, on a busy host half a second.  Until then frames
are dropped.  The first ARP request would be lost, and the next comes after a second.
"""

import errno
import select
import socket
import time
from collections.abc import Collection

from knet.kernel import links
from knet.kernel.namespaces import Namespaces, entered
from knet.kernel.netlink import Netlink

_RTMGRP_LINK = 1
#: seconds; the kernel's own limit for linkwatch is one
_PATIENCE = 5.0


def wait_until_operational(netns: int, interfaces: Collection[str]) -> None:
    """Wait until all those of ``interfaces`` work that have a carrier; TimeoutError after 5 seconds.

    ``netns`` is a descriptor of the network namespace in which they are.
    """
    with entered(Namespaces({"net": netns})):
        events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    with events, Netlink(netns) as netlink:
        events.bind((0, _RTMGRP_LINK))
        events.setblocking(False)
        deadline = time.monotonic() + _PATIENCE
        while waiting := [name for name in links.not_yet_used(netlink) if name in interfaces]:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{', '.join(waiting)}: the cable is plugged in, but the kernel does not use it")
            select.select([events], [], [], left)
            _drain(events)


def _drain(events: socket.socket) -> None:
    """Forget the notices: what counts is asked for anew.  Notices that did not fit into the buffer matter as little."""
    while True:
        try:
            events.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
