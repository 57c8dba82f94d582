"""A few of the hundred kills of tests/durability, so that whoever takes their ground away notices at once."""

from pathlib import Path

from tests.durability.server_process import zygote
from tests.durability.test_kill import trial


def test_acknowledged_writes_survive_a_few_kills(tmp_path: Path) -> None:
    with zygote() as parent:
        trial(tmp_path, parent, None, seed=1, kills=7)
