"""Quantities: what people write into requests, and what it comes to."""

import pytest

from knet.api.quantity import milli, parse_quantity, whole


@pytest.mark.parametrize(
    ("text", "cores"),
    [("100m", 100), ("1", 1000), ("1.5", 1500), (2, 2000), ("0.1", 100), ("1u", 1), ("0", 0), (0.25, 250)],
)
def test_cpu_in_thousandths_rounded_up(text: str | int | float, cores: int) -> None:
    assert milli(text) == cores


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("128Mi", 128 * 2**20),
        ("1Gi", 2**30),
        ("1G", 10**9),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("12k", 12000),
        (".5Ki", 512),
        ("100m", 1),
    ],
)
def test_bytes_and_pieces(text: str, amount: int) -> None:
    assert whole(text) == amount


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "1KiB", "--1", "1mm", "e3"])
def test_nonsense_is_refused_in_upstreams_words(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        parse_quantity(text)
