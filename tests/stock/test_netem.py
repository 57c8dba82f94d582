"""What netem does to the packets of a link, with real packets: the kernel of the host may have none of it."""

from pathlib import Path

from knet.kernel import features
from knet.underlay.ping import reach
from knet.underlay.topology import describe, load
from knet.underlay.underlay import Underlay
from tests.node.underlay_sandbox import isolated


def test_a_stock_kernel_has_every_feature_that_is_probed_for() -> None:
    assert features.missing(features.FEATURES) == []


def _round_trip(underlay: Underlay, a: str, b: str, timeout: float = 5.0) -> float | None:
    """Seconds from ``a`` to ``b`` and back, None where nothing comes back in time."""
    sources, destinations = {a: underlay.machines[a].namespaces}, {b: underlay.machines[b].address}
    return reach(sources, destinations, timeout)[a, b]


@isolated
def test_delay_and_loss_of_one_direction(tmp_path: Path) -> None:
    with Underlay(describe(load("single")), tmp_path) as underlay:
        assert _round_trip(underlay, "n1", "n2") is not None
        underlay.change_link("n1", "s1", delay="60ms", direction="n1")
        assert (_round_trip(underlay, "n1", "n2") or 0) >= 0.06
        underlay.change_link("n1", "s1", delay="60ms")
        assert (_round_trip(underlay, "n1", "n2") or 0) >= 0.12
        underlay.change_link("n1", "s1", loss=100, direction="s1")
        assert _round_trip(underlay, "n1", "n2", 0.5) is None
        assert _round_trip(underlay, "n2", "client") is not None
        underlay.reset_link("n1", "s1")
        assert _round_trip(underlay, "n1", "n2") is not None
