"""Kubeconfig files: one per component, and the user's own, into which a context is merged and taken out again.

The user is whoever called sudo.  Their file is read, changed in our three entries only, and replaced in one step,
with its owner and mode kept.
"""

import base64
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from knet.api.objects import JSON
from knet.cluster.errors import KnetError
from knet.cluster.state import write_private

if TYPE_CHECKING:
    from knet.cluster.pki import Pair


def render(name: str, server: str, ca: bytes, pair: "Pair") -> JSON:
    """A kubeconfig with one context called ``name``, everything embedded."""

    def encoded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    user = {"client-certificate-data": encoded(pair.certificate), "client-key-data": encoded(pair.key)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": encoded(ca)}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def write(path: Path, config: JSON) -> None:
    write_private(path, yaml.safe_dump(config, sort_keys=False).encode())


def read(path: Path) -> JSON:
    """A kubeconfig that `write` wrote."""
    config: JSON = yaml.safe_load(path.read_text())
    return config


@dataclass(frozen=True)
class UserFile:
    """The kubeconfig that the invoking user's kubectl reads."""

    path: Path
    uid: int
    gid: int

    @classmethod
    def of_invoking_user(cls) -> "UserFile":
        """$KUBECONFIG's first file, else ~/.kube/config of the user behind sudo (else of ourselves)."""
        uid = int(os.environ.get("SUDO_UID") or os.getuid())
        try:
            account = pwd.getpwuid(uid)
            home, gid = Path(account.pw_dir), account.pw_gid
        except KeyError:
            home, gid = Path(os.environ.get("HOME", "/root")), os.getgid()
        named = next((part for part in os.environ.get("KUBECONFIG", "").split(":") if part), "")
        return cls(Path(named) if named else home / ".kube" / "config", uid, gid)

    def merge(self, config: JSON) -> str:
        """Add or replace a config's entries and make its context current; the context that was current before."""
        mine = self._read()
        before = str(mine.get("current-context") or "")
        name = config["current-context"]
        for section in ("clusters", "users", "contexts"):
            kept = [row for row in mine.get(section) or [] if row.get("name") != name]
            mine[section] = kept + config[section]
        mine["current-context"] = name
        self._write(mine)
        return before if before != name else ""

    def remove(self, name: str, previous_context: str = "") -> None:
        """Take a context and its entries out; if it was current, the previous one is again (where it still exists)."""
        if not self.path.exists():
            return
        mine = self._read()
        if not any(row.get("name") == name for row in mine.get("contexts") or []):
            return
        for section in ("clusters", "users", "contexts"):
            mine[section] = [row for row in mine.get(section) or [] if row.get("name") != name]
        if mine.get("current-context") == name:
            there = {row.get("name") for row in mine["contexts"]}
            mine["current-context"] = previous_context if previous_context in there else ""
        if mine["contexts"] or mine["clusters"] or mine["users"]:
            self._write(mine)
        else:
            self.path.unlink()

    def _read(self) -> dict[str, Any]:
        try:
            found = yaml.safe_load(self.path.read_text()) or {}
        except FileNotFoundError:
            found = {}
        except yaml.YAMLError as error:
            raise KnetError(f"{self.path} is not YAML ({str(error).splitlines()[0]}); mend or move it.") from None
        if not isinstance(found, dict):
            raise KnetError(f"{self.path} is not a kubeconfig; mend or move it.")
        return {"apiVersion": "v1", "kind": "Config", **found}

    def _write(self, config: dict[str, Any]) -> None:
        directory = self.path.parent
        if not directory.exists():
            directory.mkdir(parents=True, mode=0o750)
            os.chown(directory, self.uid, self.gid)
        partial = self.path.with_name(self.path.name + ".knet")
        write(partial, config)
        os.chown(partial, self.uid, self.gid)
        partial.replace(self.path.resolve())
