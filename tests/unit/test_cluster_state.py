"""Whether a cluster is up is told by its lock, which lives exactly as long as somebody holds the descriptor."""

import os
from pathlib import Path

import pytest

from knet.cluster import state
from knet.cluster.config import ClusterConfig
from knet.cluster.errors import KnetError
from knet.cluster.state import Record, StateDir, all_clusters


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    monkeypatch.setattr(state, "LIB", tmp_path / "lib")
    monkeypatch.setattr(state, "RUN", tmp_path / "run")
    return StateDir("lab")


def test_it_is_up_while_any_heir_of_the_lock_lives(lab: StateDir) -> None:
    assert not lab.up
    lock = lab.lock()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # the supervisor, which has inherited the lock
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(lock)
    assert lab.up
    with pytest.raises(KnetError, match="is up already"):
        lab.lock()
    os.close(write)
    os.waitpid(child, 0)
    assert not lab.up
    os.close(lab.lock())
    os.close(read)


def test_a_record_comes_back_as_it_was(lab: StateDir) -> None:
    assert lab.read() is None
    record = Record(config=ClusterConfig(name="lab", workers=3, cni="host-gw"), port=6443, previous_context="work")
    lab.write(record)
    assert lab.read() == record
    assert [row.name for row in all_clusters()] == ["lab"]


def test_a_record_that_cannot_be_read_says_how_to_start_afresh(lab: StateDir) -> None:
    lab.lib.mkdir(parents=True)
    (lab.lib / "cluster.json").write_text("{")
    with pytest.raises(KnetError, match="knet down --delete --name lab"):
        lab.read()


def test_removing_can_leave_the_logs(lab: StateDir) -> None:
    lab.write(Record(config=ClusterConfig(name="lab"), port=1))
    lab.logs.mkdir()
    (lab.logs / "supervisor.log").write_text("why")
    lab.remove(keep_logs=True)
    assert [path.name for path in lab.lib.iterdir()] == ["logs"]
    lab.remove()
    assert not lab.lib.exists()
