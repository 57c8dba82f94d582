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

from knet.kernel import netlink_wire as wire
from knet.kernel.link_messages import IFF_LOWER_UP, IFINFOMSG, IFLA_IFNAME, RTM_GETLINK
from knet.kernel.namespaces import Namespaces, entered
from knet.kernel.netlink import Netlink
from knet.kernel.netlink_wire import Request

_RTMGRP_LINK = 1
#: RFC 2863's state of an interface, which linkwatch sets
_IFLA_OPERSTATE, _IF_OPER_UP = 16, 6
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
        while waiting := _not_operational(netlink, interfaces):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{', '.join(waiting)}: the cable is plugged in, but the kernel does not use it")
            select.select([events], [], [], left)
            _drain(events)


def _not_operational(netlink: Netlink, interfaces: Collection[str]) -> list[str]:
    found = []
    for reply in netlink.dump(Request(RTM_GETLINK, 0, IFINFOMSG.pack(0, 0, 0, 0, 0, 0), "link show")):
        _family, _pad, _type, _index, flags, _change = IFINFOMSG.unpack_from(reply.body)
        attributes = wire.attributes(reply.body, IFINFOMSG.size)
        name = wire.string(attributes.get(IFLA_IFNAME))
        operational = wire.number(attributes.get(_IFLA_OPERSTATE)) == _IF_OPER_UP
        if name in interfaces and flags & IFF_LOWER_UP and not operational:
            found.append(name)
    return found


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
