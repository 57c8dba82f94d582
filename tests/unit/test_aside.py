"""Work done by a fork: its effects stay, its imports do not, and what goes wrong is told."""

import os
import sys
from pathlib import Path

import pytest

from knet.kernel.aside import Aside


def test_only_the_effect_stays(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "done").write_text(str(os.getpid()))
        sys.modules["taken-along"] = sys

    Aside(work).wait()
    assert int((tmp_path / "done").read_text()) != os.getpid()
    assert "taken-along" not in sys.modules


def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^IsADirectoryError: "):
        Aside(lambda: tmp_path.write_text("")).wait()
