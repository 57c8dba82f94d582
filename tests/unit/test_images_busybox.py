"""What Debian's busybox lacks and the image's has."""

import http.server
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

WGET = Path(__file__).parents[2] / "knet/images/files/busybox/bin/wget"

pytestmark = pytest.mark.skipif(shutil.which("busybox") is None, reason="no busybox on this machine")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("www")
    (directory / "page").write_text("hello\n")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(directory))  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/page"
        server.shutdown()


def wget(*words: str, shell: tuple[str, ...] = ("/bin/sh",)) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*shell, str(WGET), *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [(), ("-T", "5"), ("-T5",), ("--timeout=5",), ("--timeout", "5")])
def test_wget_knows_how_long_to_wait(url: str, words: tuple[str, ...]) -> None:
    assert wget("-qO-", *words, url).stdout == "hello\n"
    assert wget(*words, "--spider", url).stderr.splitlines()[-1] == "remote file exists"
    missing = wget(*words, "-qO-", f"{url}-not")
    assert (missing.returncode, missing.stdout) == (1, "")


@pytest.mark.parametrize("shell", [("/bin/sh",), ("busybox", "sh")])
def test_wget_gives_up(shell: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gone = wget("-qO-", "--timeout=0.1", f"http://127.0.0.1:{silent.getsockname()[1]}/", shell=shell)
    assert (gone.returncode, gone.stdout, gone.stderr) == (1, "", "wget: download timed out\n")
