"""BIRD as a component, on routers and workers, where load balancers are announced by BGP (``--lb-mode bgp``).

Debian's program in the place of the process that was forked for it.  A worker's learns from a kernel table what the
speaker wants announced (`knet.speaker.bgp`), and tells the routers of its networks that it is the next hop.  A router
puts what it hears into its kernel: what several nodes announce as one route with several next hops (ECMP).

Routers take whichever node calls from their networks, so machines may join.  BFD (RFC 5880) finds out about dead
neighbours; the sessions' own timers are FRR's for data centres.  ``knet exec r1 -- birdc show route`` asks it.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from knet.api.load_balancers import ANNOUNCED_TABLE
from knet.api.timing import PROFILES
from knet.kernel import sysctl

PROGRAM = "bird"
#: where birdc(8) and bird(8) look by themselves for the control socket
DIRECTORY = Path("/run/bird")
#: next hops of one route, at most
WIDTH = 64
#: net.ipv4.fib_multipath_hash_fields: source and destination address, protocol, source and destination port
CONNECTION = 0x01 | 0x02 | 0x04 | 0x10 | 0x20
#: silent BFD intervals after which a neighbour is dead
PATIENCE = 3


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to hold a session with: a router, or whichever node calls from the network ``address``."""

    name: str
    address: str
    system: int

    @property
    def family(self) -> str:
        return "ipv6" if ":" in self.address else "ipv4"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``router_id`` looks like an IPv4 address, ``system`` is the AS number; who ``forwards`` is a router."""

    router_id: str
    system: int
    forwards: bool
    peers: list[Peer]
    timing: str = "lab"


def configuration(options: Options) -> str:
    """bird.conf.  Pure."""
    interval = round(1000 * PROFILES[options.timing].load_balancer_advertisement_interval)
    families = sorted({peer.family for peer in options.peers})
    kernel = _to_kernel if options.forwards else _from_table
    template = (
        f"local as {options.system}",
        "bfd on",
        "hold time 9",
        "keepalive time 3",
        # who comes back is called again at once; a second is as short as this can be
        "connect delay time 1",
        "connect retry time 1",
        "error wait time 0, 0",
    )
    blocks = [
        _block("protocol device"),
        _block("protocol bfd", f'interface "*" {{ interval {interval} ms; multiplier {PATIENCE}; }}'),
        *(kernel(family) for family in families),
        _block("template bgp session", *template),
        *(_session(peer, options.forwards) for peer in options.peers),
    ]
    return "\n".join([f"router id {options.router_id};", "log stderr all;", "debug protocols { states };", *blocks, ""])


def _to_kernel(family: str) -> str:
    return _block("protocol kernel", f"merge paths on limit {WIDTH}", f"{family} {{ import none; export all; }}")


def _from_table(family: str) -> str:
    return _block(
        "protocol kernel", f"kernel table {ANNOUNCED_TABLE}", "learn", f"{family} {{ import all; export none; }}"
    )


def _session(peer: Peer, forwards: bool) -> str:
    """Nodes tell routers, routers tell each other."""
    if "/" in peer.address:
        where = f"neighbor range {peer.address} as {peer.system}"
        how = (where, "passive", f'dynamic name "{peer.name}"', f"{peer.family} {{ import all; export none; }}")
        return _block("protocol bgp from session", *how)
    taken = "all" if forwards else "none"
    return _block(
        f"protocol bgp '{peer.name}.{peer.family}' from session",
        f"neighbor {peer.address} as {peer.system}",
        f"{peer.family} {{ import {taken}; export all; }}",
    )


def _block(head: str, *lines: str) -> str:
    return "\n".join(["", f"{head} {{", *(f"    {line};" for line in lines), "}"])


def main(options: Options) -> None:
    """Become BIRD."""
    DIRECTORY.mkdir(exist_ok=True)
    config = DIRECTORY / "bird.conf"
    config.write_text(configuration(options))
    if options.forwards:
        for name, value in settings(options, os.listdir("/proc/sys/net/ipv4/conf")):
            sysctl.ensure(name, value)
    with contextlib.suppress(PermissionError):  # BFD is to tell of the network, not of a busy machine
        os.nice(-10)
    os.execvp(PROGRAM, [PROGRAM, "-f", "-c", str(config)])


def settings(options: Options, interfaces: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Of a router's kernel: connections are spread, not packets or clients, and nobody is sent past it to one node.

    The policy for layer 4 (1) would go by the hash that a packet has already.  Between two hosts the network card makes
    it; here packets keep what the client's socket drew by lot, and draws again whenever an answer is late.
    """
    for family in sorted({peer.family for peer in options.peers}):
        yield f"net.{family}.fib_multipath_hash_fields", CONNECTION
        yield f"net.{family}.fib_multipath_hash_policy", 3
    for interface in interfaces:
        yield f"net/ipv4/conf/{interface}/send_redirects", 0
