"""Programs started in namespaces, waited for, signalled and adopted."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from knet.kernel import privileges
from knet.kernel.libc import close_on_exec
from knet.kernel.namespaces import Namespaces, create
from knet.kernel.process import Process, Program, User, adopt, spawn, start_time

pytestmark = pytest.mark.root

PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def output_of(program: Program, namespaces: Namespaces | None = None) -> tuple[int | None, str]:
    """Exit code and output of a program that writes little."""
    read, write = os.pipe2(os.O_CLOEXEC)
    given = Program(**{**program.__dict__, "stdio": (None, write, write)})

    async def run() -> int | None:
        process = spawn(given, namespaces)
        os.close(write)
        return await process.wait()

    code = asyncio.run(run())
    with os.fdopen(read) as pipe:
        return code, pipe.read()


def sh(script: str, **more: object) -> Program:
    return Program(["sh", "-c", script], PATH, **more)  # type: ignore[arg-type]


def test_a_program_runs_in_the_given_namespaces_and_this_process_stays_where_it_is() -> None:
    before = os.readlink("/proc/self/ns/net")
    namespaces = create("net", "uts")
    code, text = output_of(sh("readlink /proc/self/ns/net; exit 3"), namespaces)
    inside = f"net:[{os.stat(namespaces.fds['net']).st_ino}]"
    namespaces.close()
    assert (code, text.strip()) == (3, inside)
    assert inside != before == os.readlink("/proc/self/ns/net")


def test_it_leads_a_session_with_only_its_own_descriptors_and_no_ignored_signals() -> None:
    script = "ls /proc/self/fd | xargs; cut -d' ' -f6 /proc/$$/stat; echo $$; grep SigIgn /proc/$$/status"
    close_on_exec()  # pytest's own parent may have left some open
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as a shell's "&" does
    descriptors, session, pid, ignored = output_of(sh(script))[1].splitlines()
    signal.signal(signal.SIGQUIT, before)
    assert descriptors == "0 1 2 3", "the last is the directory being listed"
    assert session == pid
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0, "32 and 33 are the C library's own"


def test_a_signal_ends_it_and_shows_in_the_code() -> None:
    async def scenario() -> int | None:
        process = spawn(Program(["sleep", "1000"], PATH))
        assert process.running
        assert process.kill(signal.SIGTERM)
        code = await process.wait()
        assert not process.running and not process.kill(signal.SIGTERM)
        return code

    assert asyncio.run(scenario()) == -signal.SIGTERM


def test_an_adopted_process_that_is_no_child_can_be_waited_for() -> None:
    async def ended(process: Process) -> int | None:
        process.kill()
        return await process.wait()

    with subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; read _"], stdin=-1, stdout=-1, text=True) as parent:
        assert parent.stdout is not None and parent.stdin is not None
        pid = int(parent.stdout.readline())
        assert adopt(pid, start_time(pid) + 1) is None, "another process of that pid"
        process = adopt(pid, start_time(pid))
        assert process is not None and process.running
        assert asyncio.run(ended(process)) is None, "its exit code is its parent's"
        parent.stdin.close()


def test_there_is_no_process_of_a_pid_that_is_gone() -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    assert adopt(done.pid, 1) is None
    with pytest.raises(ProcessLookupError):
        start_time(done.pid)


@pytest.mark.parametrize(
    ("argv", "error"),
    [(["nosuchprogram"], FileNotFoundError), (["/etc/passwd"], PermissionError), (["/no/such"], FileNotFoundError)],
)
def test_what_cannot_be_executed_is_an_error(argv: list[str], error: type[OSError]) -> None:
    with pytest.raises(error, match=r'^exec: "'):
        spawn(Program(argv, PATH))


def test_capabilities_and_user_are_the_programs_alone() -> None:
    kept = frozenset({"CHOWN", "NET_RAW"})
    bits = sum(1 << privileges.NUMBERS[name] for name in kept)
    _, text = output_of(sh("grep Cap /proc/self/status", capabilities=kept))
    found = dict(line.split(":\t") for line in text.splitlines())
    assert int(found["CapBnd"], 16) == int(found["CapEff"], 16) == bits
    _, text = output_of(sh("id -u; id -g; id -G; grep CapEff /proc/self/status", user=User(1000, 1001, (1002,))))
    assert text.split() == ["1000", "1001", "1001", "1002", "CapEff:", "0" * 16]
    assert os.getuid() == 0


def test_the_working_directory_is_the_programs_alone(tmp_path: Path) -> None:
    here = os.getcwd()
    assert output_of(sh("pwd", cwd=str(tmp_path)))[1].strip() == str(tmp_path)
    assert os.getcwd() == here


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), privileges.CONTAINER_DEFAULT),
        (("NET_ADMIN",), ("ALL",), {"NET_ADMIN"}),
        (("CAP_SYS_TIME",), ("chown",), privileges.CONTAINER_DEFAULT - {"CHOWN"} | {"SYS_TIME"}),
        (("ALL",), (), frozenset(privileges.NUMBERS)),
    ],
)
def test_capabilities_are_chosen_as_runtimes_do(
    add: tuple[str, ...], drop: tuple[str, ...], expected: frozenset[str]
) -> None:
    assert privileges.select(add, drop) == expected
