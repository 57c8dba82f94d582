"""Transcripts: what a user types at a prompt and what is printed, kept as text and played again.

$ kubectl get pod web          a command, given to bash as it stands
> …                            its next line (of a here-document, say)
NAME   READY   STATUS          what it prints, both streams; blanks and empty lines do not count
web    1/1     Running   …     … stands for the rest of a word or line
…                              or, alone, for any number of lines
[1]                            its exit code where that is not 0
# anything else                a remark; one of the form "# kubectl 1.27" gives the first version that can do it
"""

import difflib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: seconds that one command may take
PATIENCE = 60


@dataclass(frozen=True)
class Kubectl:
    """A kubectl of this machine."""

    path: Path
    version: tuple[int, int]

    def __str__(self) -> str:
        return "{}.{}".format(*self.version)


def kubectls() -> list[Kubectl]:
    """All versions found: kubectl on PATH, its siblings (Google's SDK has a row of them), and $KNET_TEST_KUBECTLS."""
    places = [Path(word) for word in os.environ.get("KNET_TEST_KUBECTLS", "").split(":") if word]
    if (on_path := shutil.which("kubectl")) is not None:
        places += [Path(on_path), *sorted(Path(on_path).resolve().parent.glob("kubectl.[0-9]*"))]
    found: dict[tuple[int, int], Kubectl] = {}
    for place in places:
        told = subprocess.run([place, "version", "--client", "-o", "json"], capture_output=True, check=True).stdout
        version = json.loads(told)["clientVersion"]
        numbers = int(version["major"]), int(re.sub(r"\D.*", "", version["minor"]))
        found.setdefault(numbers, Kubectl(place, numbers))
    return sorted(found.values(), key=lambda row: row.version)


@dataclass
class Step:
    """A command, and what is expected of it."""

    command: str
    line: int
    expected: list[str] = field(default_factory=list)
    code: int = 0

    def explain(self, code: int, output: str) -> str:
        """What is wrong with an outcome; "" if nothing is."""
        if code == self.code and self._pattern().fullmatch(_squeezed(output.splitlines())):
            return ""
        printed = [*_squeezed(output.splitlines()).splitlines(), f"[{code}]"]
        wanted = [_likeness(line, printed) for line in (*_squeezed(self.expected).splitlines(), f"[{self.code}]")]
        difference = "\n".join(difflib.unified_diff(wanted, printed, "expected", "printed", n=1, lineterm=""))
        return f"line {self.line}: $ {self.command}\n{difference}"

    def _pattern(self) -> re.Pattern[str]:
        lines = _squeezed(self.expected).splitlines()
        return re.compile("".join(r"(?:[^\n]*\n)*?" if line == "…" else _line_pattern(line) + r"\n" for line in lines))


def _line_pattern(line: str) -> str:
    return re.escape(line).replace("…", r"[^\n]*")


def _likeness(line: str, printed: list[str]) -> str:
    """The first printed line that an expected one would accept, so that a comparison shows where they part."""
    if line == "…":
        return line
    return next((row for row in printed if re.fullmatch(_line_pattern(line), row)), line)


def _squeezed(lines: list[str]) -> str:
    return "".join(" ".join(line.split()) + "\n" for line in lines if line.strip())


def steps(text: str, version: tuple[int, int]) -> Iterator[Step]:
    """The steps of a transcript for a kubectl of that version."""
    step: Step | None = None
    able = True
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("# kubectl "):
            able = version >= tuple(int(part) for part in line.split()[2].split("."))
        elif line.startswith("$ "):
            if step is not None:
                yield step
            step = Step(line[2:], number) if able else None
            able = True
        elif step is None or line.startswith("#"):
            continue
        elif line.startswith("> ") or line == ">":
            step.command += "\n" + line[2:]
        elif ended := re.fullmatch(r"\[(\d+)\]", line):
            step.code = int(ended[1])
        elif line.strip():
            step.expected.append(line)
    if step is not None:
        yield step


def play(script: Path, kubectl: Kubectl, directory: Path, environment: Mapping[str, str]) -> None:
    """Play a transcript in ``directory``; AssertionError with the first difference."""
    play_steps(script.name, steps(script.read_text(), kubectl.version), kubectl, directory, environment)


def play_steps(
    name: str, script: Iterable[Step], kubectl: Kubectl, directory: Path, environment: Mapping[str, str]
) -> None:
    """The same for the steps of the transcript of that name."""
    programs = directory / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(kubectl.path)
    own = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(directory), "TERM": "dumb", **environment}
    for step in script:
        done = subprocess.run(
            # a program that hangs goes with all that it started
            ["timeout", "--kill-after=1", str(PATIENCE), "bash", "-c", step.command],
            cwd=directory,
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output = "".join(f"{line}\n" for line in done.stdout.decode(errors="replace").splitlines())
        complaint = step.explain(done.returncode, output)
        assert not complaint, f"{name}, kubectl {kubectl}, {complaint}"
