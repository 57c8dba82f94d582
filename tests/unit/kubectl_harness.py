"""kubectl, as a subprocess, against the server of a test."""

import shutil
import subprocess

import pytest
from apiserver_harness import Server

KUBECTL = shutil.which("kubectl") or ""
needs_kubectl = pytest.mark.skipif(not KUBECTL, reason="no kubectl is installed (scripts/install brings one)")


class Kubectl:
    """Runs kubectl against a server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def run(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Exit code, output and errors."""
        environment = {
            "KUBECONFIG": str(self.server.kubeconfig),
            "HOME": str(self.server.directory),
            "PATH": "/usr/bin:/bin",
        }
        return subprocess.run(
            [KUBECTL, *words], env=environment, input=stdin, capture_output=True, text=True, timeout=30, check=False
        )

    def __call__(self, *words: str, stdin: str = "") -> str:
        """The output of a command that has to succeed."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *words: str, stdin: str = "") -> str:
        """What a command that has to fail says."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 1
        return done.stderr

    def file(self, name: str, text: str) -> str:
        """The path of a file with a text."""
        path = self.server.directory / name
        path.write_text(text)
        return str(path)
