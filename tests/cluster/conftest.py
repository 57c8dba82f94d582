"""Test clusters have fixed names, so two runs on one machine take turns."""

import fcntl
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _turn() -> Iterator[None]:
    """Hold a lock while clusters are tested: on a directory that every Linux has, so that nothing is left of it."""
    directory = os.open("/run/lock", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
