"""One boot of the stock kernel for all tests of this directory.

The host's pytest collects them; when the first one's turn comes, the machine is booted and its pytest runs all that are
selected, writing what becomes of each to a directory that both see; the host's pytest then reports that as if it had
happened here.  (pytest-xdist's workers do the same over a socket.)
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: what scripts/install --dev unpacks
KERNELS = Path(sys.prefix, "stock-kernel", "boot")
#: "running": the tests run here, in this kernel.  In the machine it is set by whoever boots it
HERE = os.environ.get("KNET_STOCK") == "running"
#: seconds after which the machine ends its tests; a hang would otherwise last for ever
PATIENCE = 480
_RESULTS = pytest.StashKey["Results"]()
_SKIPPED = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_stock(item):
            item.add_marker(pytest.mark.stock_kernel)


def _is_stock(item: pytest.Item) -> bool:
    return item.path.is_relative_to(Path(__file__).parent)


# ---- in the machine: say what becomes of each test ------------------------------------------------------------------

if reports := os.environ.get("KNET_STOCK_REPORTS"):

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(report: pytest.TestReport) -> None:
        told = _config.hook.pytest_report_to_serializable(config=_config, report=report)
        with open(str(reports), "a") as file:
            file.write(json.dumps(told) + "\n")

    def pytest_configure(config: pytest.Config) -> None:
        global _config
        _config = config

    _config: pytest.Config


# ---- on the host: boot, and report as one's own ---------------------------------------------------------------------


class Results:
    """What became of the tests in the machine: serialised reports by node id."""

    def __init__(self, reports: Path, console: str) -> None:
        self.console = console
        self.by_test: dict[str, list[dict[str, object]]] = defaultdict(list)
        for line in reports.read_text().splitlines() if reports.exists() else ():
            told = json.loads(line)
            self.by_test[told["nodeid"]].append(told)

    def of(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        told = self.by_test.get(item.nodeid, [])
        for report in told:
            yield item.config.hook.pytest_report_from_serializable(config=item.config, data=report)
        if not any(report["when"] == "teardown" for report in told):
            reason = f"the machine ended before this test did; its console:\n{self.console[-6000:]}"
            yield pytest.TestReport(item.nodeid, item.location, {}, "failed", reason, "call")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Instead of running the test here, report what became of it there."""
    if HERE or not _is_stock(item):
        return None
    if reason := cannot_boot():
        item.config.stash[_SKIPPED] = reason
        item.add_marker(pytest.mark.skip(reason=reason))
        return None
    if _RESULTS not in item.config.stash:
        selected = [each.nodeid for each in item.session.items if _is_stock(each)]
        with tempfile.TemporaryDirectory(prefix="knet-stock-") as shared:
            item.config.stash[_RESULTS] = _boot(selected, Path(shared))
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in item.config.stash[_RESULTS].of(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if reason := config.stash.get(_SKIPPED, None):
        terminalreporter.write_line(f"NOT TESTED in a stock kernel (netem, IPVS): {reason}", red=True, bold=True)


def cannot_boot() -> str:
    """Why the stock kernel cannot be booted, "" if it can."""
    if not shutil.which("qemu-system-x86_64"):
        return "there is no qemu-system-x86_64; sudo scripts/install --dev installs it"
    if not _kernels():
        return f"there is no kernel below {KERNELS}; sudo scripts/install --dev unpacks one"
    return ""


def _kernels() -> list[Path]:
    return sorted(KERNELS.glob("vmlinuz-*"))


def _boot(tests: list[str], shared: Path) -> Results:
    """Boot, run ``tests`` in the machine and wait until it powers itself off.  ``shared`` is seen by both sides."""
    (shared / "tests").write_text("\n".join(tests))
    (shared / "enter").write_text(_ENTER.format(shared=shared))
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(ROOT), f"@{shared / 'tests'}"]
    settings = {
        "KNET_STOCK": "running",
        "KNET_STOCK_REPORTS": str(shared / "reports"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # importing schemathesis takes longer than the tests
    }
    (shared / "run").write_text(
        "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
        + f"cd {shlex.quote(str(ROOT))}\nexec timeout -k 5 {PATIENCE} {shlex.join(words)}\n"
    )
    vng = Path(sys.executable).with_name("vng")
    command = [vng, "-r", _kernels()[-1], "--disable-kvm", "--memory", "2G", "--cpus", "2", "--force-9p", "--verbose"]
    with open(shared / "console", "wb") as console:
        subprocess.run(
            [*command, "--rodir=/mnt=/", f"--rwdir={shared}", "--", f"sh {shared}/enter"],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            # vng looks for its parts on PATH
            env={**os.environ, "PATH": f"{vng.parent}:{os.environ['PATH']}"},
            timeout=PATIENCE + 60,
            check=False,
        )
    return Results(shared / "reports", (shared / "console").read_text(errors="replace"))


#: vng mounts the host's files without any cache, which makes each import ten times slower; so they are mounted once
#: more, below a writable layer, and that becomes the root of the tests (a chroot would not do: who enters another mount
#: namespace leaves it)
_ENTER = """\
set -e
host=$(awk '$2 == "/mnt" {{print $1}}' /proc/mounts)
umount /mnt
mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,cache=loose,msize=512000 "$host" /mnt
mkdir -p /run/root /run/layer
mount -t tmpfs layer /run/layer
mkdir /run/layer/upper /run/layer/work
mount -t overlay -o lowerdir=/mnt,upperdir=/run/layer/upper,workdir=/run/layer/work root /run/root
mkdir -p /run/root/lib/modules
for each in proc sys dev lib/modules; do mount --rbind "/$each" "/run/root/$each"; done
mount -t tmpfs run /run/root/run
mount --bind {shared} "/run/root"{shared}
ip link set lo up
mount --make-rprivate /
cd /run/root
pivot_root . mnt
umount -l /mnt
exec sh {shared}/run
"""
