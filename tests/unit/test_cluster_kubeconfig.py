"""The user's kubeconfig: our three entries in and out, everybody else's untouched."""

import os
import pwd
from pathlib import Path

import pytest
import yaml

from knet.client.kubeconfig import from_kubeconfig
from knet.cluster import kubeconfig
from knet.cluster.errors import KnetError
from knet.cluster.pki import Authority

OTHERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "work",
    "clusters": [{"name": "work", "cluster": {"server": "https://work"}}],
    "users": [{"name": "work", "user": {"token": "t"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "work", "namespace": "team"}}],
    "preferences": {"colors": True},
}


@pytest.fixture
def ours() -> dict[str, object]:
    authority = Authority.create("kubernetes")
    return kubeconfig.render("lab", "https://127.0.0.1:1", authority.pem, authority.sign("admin", ["system:masters"]))


@pytest.fixture
def user(tmp_path: Path) -> kubeconfig.UserFile:
    return kubeconfig.UserFile(tmp_path / ".kube" / "config", os.getuid(), os.getgid())


def test_merging_and_removing_gives_back_what_was_there(user: kubeconfig.UserFile, ours: dict[str, object]) -> None:
    user.path.parent.mkdir()
    user.path.write_text(yaml.safe_dump(OTHERS))
    assert user.merge(ours) == "work"
    merged = yaml.safe_load(user.path.read_text())
    assert merged["current-context"] == "lab"
    assert [row["name"] for row in merged["contexts"]] == ["work", "lab"]
    user.remove("lab", previous_context="work")
    assert yaml.safe_load(user.path.read_text()) == OTHERS


def test_merging_twice_keeps_one_entry_of_each(user: kubeconfig.UserFile, ours: dict[str, object]) -> None:
    user.merge(ours)
    assert user.merge(ours) == ""
    merged = yaml.safe_load(user.path.read_text())
    assert [len(merged[section]) for section in ("clusters", "users", "contexts")] == [1, 1, 1]


def test_a_file_that_was_not_there_is_gone_again(user: kubeconfig.UserFile, ours: dict[str, object]) -> None:
    user.merge(ours)
    assert user.path.stat().st_mode & 0o777 == 0o600
    user.remove("lab")
    assert not user.path.exists()


def test_removing_leaves_a_current_context_chosen_since(user: kubeconfig.UserFile, ours: dict[str, object]) -> None:
    user.path.parent.mkdir()
    user.path.write_text(yaml.safe_dump(OTHERS))
    user.merge(ours)
    chosen = yaml.safe_load(user.path.read_text()) | {"current-context": "work"}
    user.path.write_text(yaml.safe_dump(chosen))
    user.remove("lab", previous_context="gone")
    assert yaml.safe_load(user.path.read_text())["current-context"] == "work"


@pytest.mark.parametrize("content", ["{", "- a\n- b\n"])
def test_a_file_that_is_no_kubeconfig_is_left_alone(
    user: kubeconfig.UserFile, ours: dict[str, object], content: str
) -> None:
    user.path.parent.mkdir()
    user.path.write_text(content)
    with pytest.raises(KnetError):
        user.merge(ours)
    assert user.path.read_text() == content


def test_the_user_is_whoever_called_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    account = next(row for row in pwd.getpwall() if row.pw_uid not in (0, os.getuid()))
    monkeypatch.setenv("SUDO_UID", str(account.pw_uid))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    found = kubeconfig.UserFile.of_invoking_user()
    assert (found.path, found.uid) == (Path(account.pw_dir) / ".kube/config", account.pw_uid)


def test_a_rendered_kubeconfig_is_one_that_a_client_can_use(tmp_path: Path, ours: dict[str, object]) -> None:
    kubeconfig.write(tmp_path / "config", ours)
    assert from_kubeconfig(tmp_path / "config").server == "https://127.0.0.1:1"
