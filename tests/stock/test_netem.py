"""What netem does to the packets of a link, with real packets: the kernel of the host may have none of it."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from knet.api.families import IPV4
from knet.inspect.reach.probes import PROTOCOLS
from knet.inspect.reach.rounds import Probe, observe
from knet.inspect.reach.stations import Station
from knet.kernel import features
from knet.kernel.namespaces import entered
from knet.underlay.ping import reach
from knet.underlay.topology import describe, load
from knet.underlay.underlay import Underlay
from tests.node.underlay_sandbox import isolated

PORT = 9
#: of a burst
PACKETS = 100


def test_a_stock_kernel_has_every_feature_that_is_probed_for() -> None:
    assert features.missing(features.FEATURES) == []


def _round_trip(underlay: Underlay, a: str, b: str, timeout: float = 5.0) -> float | None:
    """Seconds from ``a`` to ``b`` and back, None where nothing comes back in time."""
    sources, destinations = {a: underlay.machines[a].namespaces}, {b: underlay.machines[b].address}
    return reach(sources, destinations, timeout)[a, b]


@isolated
def test_delay_loss_of_one_direction_and_a_partition(tmp_path: Path) -> None:
    with Underlay(describe(load("single")), tmp_path) as underlay:
        assert _round_trip(underlay, "n1", "n2") is not None
        underlay.change_link("n1", "s1", delay="60ms", direction="n1")
        assert (_round_trip(underlay, "n1", "n2") or 0) >= 0.06
        underlay.change_link("n1", "s1", delay="60ms")
        assert (_round_trip(underlay, "n1", "n2") or 0) >= 0.12
        underlay.change_link("n1", "s1", loss=100, direction="s1")
        assert str(underlay.links()[1]) == "n1–s1 · up · → 60 ms ← 60 ms, loss 100 %"
        assert _round_trip(underlay, "n1", "n2", 0.5) is None
        assert _round_trip(underlay, "n2", "client") is not None
        underlay.reset_link("n1", "s1")
        assert _round_trip(underlay, "n1", "n2") is not None
        underlay.partition([["n1"], ["n2"]])
        assert _round_trip(underlay, "n1", "n2", 0.5) is None
        underlay.heal()
        assert _round_trip(underlay, "n1", "n2") is not None


@isolated
def test_probes_outwait_delays_and_are_sent_again_where_packets_are_lost(tmp_path: Path) -> None:
    with Underlay(describe(load("single")), tmp_path) as underlay, ExitStack() as opened:
        stations = {
            name: opened.enter_context(
                Station(underlay.machines[name].namespaces.fds["net"], PROTOCOLS["tcp"], IPV4, 1 << 20)
            )
            for name in ("n1", "n2")
        }
        probe = Probe("n1", underlay.machines["n2"].address.partition("/")[0], PORT)
        assert _round_trip(underlay, "n1", "n2") is not None
        underlay.change_link("n1", "s1", delay="400ms")
        [delayed] = observe(stations, [probe], [0], delay=0.8)
        assert (delayed.reached, delayed.tries, delayed.seconds >= 0.8) == (True, 1, True)
        underlay.change_link("n1", "s1", delay="0", loss="50%")
        assert all(row.reached for _ in range(3) for row in observe(stations, [probe], [0], tries=60))


@contextmanager
def _sockets(underlay: Underlay) -> Iterator[tuple[socket.socket, socket.socket]]:
    """UDP from n1 to n2, without checksums: what arrives damaged is to arrive."""
    ends = []
    for name in ("n1", "n2"):
        with entered(underlay.machines[name].namespaces.only("net")):
            ends.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with ends[0] as sender, ends[1] as receiver:
        sender.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
        receiver.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE: nothing is lost for want of a reader
        receiver.bind((underlay.machines["n2"].address, PORT))
        receiver.settimeout(1)
        sender.connect(receiver.getsockname())
        yield sender, receiver


def _burst(sender: socket.socket, receiver: socket.socket, most: int = PACKETS) -> list[bytes]:
    """What arrives of numbered packets that leave at once, in that order: ``most`` of them, or until it is silent."""
    for number in range(PACKETS):
        sender.send(b"%04d" % number * 100)
    arrived: list[bytes] = []
    try:
        while len(arrived) < most:
            arrived.append(receiver.recv(2000))
    except TimeoutError:
        pass
    return arrived


@isolated
def test_packets_come_twice_damaged_late_in_part_or_not_at_all(tmp_path: Path) -> None:
    sent = [b"%04d" % number * 100 for number in range(PACKETS)]
    with Underlay(describe(load("single")), tmp_path) as underlay, _sockets(underlay) as ends:
        assert _burst(*ends) == sent

        def arrive(most: int = PACKETS, **options: object) -> list[bytes]:
            underlay.reset_link("n1", "s1")
            underlay.change_link("n1", "s1", direction="n1", **options)
            return _burst(*ends, most)

        assert Counter(Counter(arrive(2 * PACKETS, duplicate=100)).values()) == {2: PACKETS}
        assert 0 < len(arrive(loss=50)) < PACKETS
        # a loss decides the next one's wholly: all are lost or none
        assert len(arrive(loss=50, loss_correlation=100)) in (0, PACKETS)
        assert arrive(delay="50ms") == sent
        overtaken = arrive(delay="200ms", reorder=50)
        assert overtaken != sent and sorted(overtaken) == sent
        shaken = arrive(delay="100ms", jitter="100ms")
        assert shaken != sent and sorted(shaken) == sent
        # the wrong bit is in the payload most of the time (400 of 442 bytes), else in a header
        assert len(set(arrive(corrupt=100)) - set(sent)) > PACKETS / 2
        assert len(arrive(delay="300ms", max_queue_size=10)) == 10
        # 10 ms of 1 Mbit/s pass at once, or two frames of 1514 bytes; 10 of the largest wait
        assert len(arrive(bw=1, max_queue_size=10)) < PACKETS
        assert sum(end.dropped for end in underlay.links()[1].ends) > 0
        assert arrive(bw=10, delay="20ms") == sent
