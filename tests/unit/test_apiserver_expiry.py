"""Events go after an hour, unless they have happened again."""

from typing import Any

import pytest

from knet.apiserver.expiry import is_expired

LONG_AGO = "2020-01-01T00:00:00Z"
FAR_AHEAD = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("value", "expired"),
    [
        ({"metadata": {"creationTimestamp": LONG_AGO}}, True),
        ({"metadata": {"creationTimestamp": LONG_AGO}, "lastTimestamp": LONG_AGO}, True),
        ({"metadata": {"creationTimestamp": LONG_AGO}, "lastTimestamp": FAR_AHEAD}, False),
        ({"metadata": {"creationTimestamp": LONG_AGO}, "eventTime": FAR_AHEAD}, False),
        ({"metadata": {"creationTimestamp": FAR_AHEAD}, "lastTimestamp": None}, False),
        ({"metadata": {}}, False),
    ],
)
def test_the_latest_occurrence_counts(value: dict[str, Any], expired: bool) -> None:
    assert is_expired(value) is expired
