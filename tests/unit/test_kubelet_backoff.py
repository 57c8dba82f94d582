import pytest

from knet.kubelet.backoff import Backoff, duration


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(10, 300)
    delays = [backoff.next("c", float(now)) for now in range(7)]
    assert delays == [10, 20, 40, 80, 160, 300, 300]


def test_nothing_failed_nothing_waits() -> None:
    backoff = Backoff(10, 300)
    assert backoff.delay("c", 0) == 0
    backoff.next("c", 0)
    assert backoff.delay("c", 1) == 10
    assert backoff.delay("other", 1) == 0
    backoff.reset("c")
    assert backoff.delay("c", 1) == 0


def test_a_quiet_while_is_forgiven() -> None:
    backoff = Backoff(10, 300)
    backoff.next("c", 0)
    backoff.next("c", 1)
    assert backoff.delay("c", 601) == 20
    assert backoff.delay("c", 602) == 0
    assert backoff.next("c", 602) == 10


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "500ms"), (10, "10s"), (80, "1m20s"), (300, "5m0s"), (1, "1s"), (0.0004, "0ms")]
)
def test_durations_read_as_in_go(seconds: float, text: str) -> None:
    assert duration(seconds) == text
