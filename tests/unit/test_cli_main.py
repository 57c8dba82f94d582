"""What commands do not catch: one line and exit code 2 where it was to be expected, a traceback where it was not."""

import subprocess
import sys
from collections.abc import Callable

import pytest

import knet.cli
from knet.client.client import NotFound, Unavailable
from knet.errors import KnetError


def raising(error: Exception) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KnetError("cluster a is not up"), "knet: cluster a is not up\n"),
        (NotFound(404, "NotFound", 'pods "web" not found'), 'knet: the API server: pods "web" not found\n'),
        (Unavailable("GET https://10.0.0.1/api: refused"), "knet: the API server: GET https://10.0.0.1/api: refused\n"),
    ],
)
def test_an_expected_failure_is_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(knet.cli, "app", raising(error))
    with pytest.raises(SystemExit) as ended:
        knet.cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == line


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knet.cli, "app", raising(ConnectionResetError("of a probe")))
    with pytest.raises(ConnectionResetError):
        knet.cli.main()


def test_the_command_does_not_import_the_client_of_the_api() -> None:
    code = "import sys, knet.cli; print('knet.client.client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
