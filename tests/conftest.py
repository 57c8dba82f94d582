"""What tests of the real kernel and of whole clusters share."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: how many examples of each law hypothesis tries; scripts/soak sets it
if EXAMPLES := os.environ.get("KNET_EXAMPLES"):
    from hypothesis import settings

    settings.register_profile("soak", max_examples=int(EXAMPLES), deadline=None)
    settings.load_profile("soak")
KNET = str(Path(sys.executable).with_name("knet"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests below tests/node and tests/cluster need root; without it they are skipped, and say so."""
    for item in items:
        place = item.path.relative_to(ROOT / "tests").parts[0]
        if place in ("node", "cluster"):
            item.add_marker(pytest.mark.root)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root: sudo scripts/test"))


def knet(*words: str, check: bool = True, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run the knet command as a user would."""
    done = subprocess.run([KNET, *words], capture_output=True, text=True, timeout=180, **options)  # type: ignore[call-overload]
    if check and done.returncode:
        raise AssertionError(f"knet {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done  # type: ignore[no-any-return]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kubeconfig of the test's own, so that the developer's stays as it is."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield tmp_path
