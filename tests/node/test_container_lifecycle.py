"""Containers from start to end: output, exit codes, signals, limits, commands inside, adoption."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from kubelet_harness import isolated, made_private, runtime

from knet.images import Catalogue, ImageStore
from knet.kernel import cgroup
from knet.kubelet.runtime.containers import Containers
from knet.kubelet.runtime.execution import run_command
from knet.kubelet.runtime.logs import LogOptions, read
from knet.kubelet.runtime.shim_client import ShimLost

pytestmark = pytest.mark.root


@isolated
async def test_exit_codes_signals_and_last_words() -> None:
    there = await runtime()
    assert (await there.run("busybox", "sh", "-c", "exit 7"))[0] == 7
    running = await there.start("busybox", "sleep", "1000", number=1)
    running.process.kill(signal.SIGKILL)
    ended = await running.exit
    assert (ended.code, ended.signal, ended.reason) == (137, 9, "Error")
    running = await there.start("busybox", "sh", "-c", "echo because > /dev/termination-log; exit 1", number=2)
    assert (await running.exit).message == "because\n"


@isolated
async def test_the_first_process_of_a_container_gets_only_signals_it_asked_for() -> None:
    there = await runtime()
    deaf = await there.start("busybox", "sh", "-c", "echo up; sleep 1000", name="deaf")
    polite = await there.start(
        "busybox", "sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done", name="polite"
    )
    for running in (deaf, polite):
        await there.until_said("up", running)
        running.process.kill(signal.SIGTERM)
    assert (await polite.exit).code == 3
    assert not deaf.exit.done() and deaf.process.running
    deaf.process.kill()
    assert (await deaf.exit).code == 137


@isolated
async def test_output_is_logged_by_stream_in_order_and_to_the_last_byte() -> None:
    there = await runtime()
    await there.run("busybox", "sh", "-c", "for i in $(seq 20000); do echo line $i; done; echo err >&2; printf end")
    lines = (await there.output()).splitlines()
    assert [line for line in lines if line.startswith("line")] == [f"line {i}" for i in range(1, 20001)]
    assert lines[-1].endswith("end") or "end" in lines
    log = there.paths.log("c", 0)
    errors = b"".join([text async for text in read(log, LogOptions(stream="stderr"))])
    assert errors == b"err\n"


@isolated
async def test_shells_may_write_to_dev_stdout_without_cutting_the_log() -> None:
    there = await runtime()
    assert await there.shell("echo one; echo two > /dev/stdout; echo three >> /dev/stdout") == "one\ntwo\nthree\n"


@isolated
async def test_commands_run_inside_with_the_containers_environment() -> None:
    there = await runtime()
    running = await there.start("busybox", "sleep", "1000", env={"COLOUR": "blue"}, cwd="/tmp")
    script = "echo $COLOUR; pwd; echo $$; grep CapBnd /proc/self/status; readlink /proc/self/ns/net; exit 5"
    code, text = await run_command(there.containers, running, ("sh", "-c", script))
    colour, cwd, pid, bounds, net = text.splitlines()
    assert (code, colour, cwd) == (5, "blue", "/tmp") and int(pid) > 1
    assert bounds in Path(f"/proc/{running.record.pid}/status").read_text().splitlines()
    assert net == os.readlink(f"/proc/{running.record.pid}/ns/net")
    with pytest.raises(FileNotFoundError):
        await run_command(there.containers, running, ("nosuch",))


@isolated
async def test_a_command_that_is_no_longer_waited_for_is_killed() -> None:
    there = await runtime()
    running = await there.start("busybox", "sleep", "1000")
    try:
        async with asyncio.timeout(0.2):
            await run_command(there.containers, running, ("sleep", "999"))
    except TimeoutError:
        pass
    _, text = await run_command(there.containers, running, ("ps",))
    assert "sleep 1000" in text and "sleep 999" not in text


@isolated
async def test_standard_input_reaches_the_container_and_ends() -> None:
    there = await runtime()
    running = await there.start("busybox", "sh", "-c", "read x; echo got $x; cat; echo over", stdin=True)
    writer = await there.containers.input(running.id)
    os.write(writer, b"first\nsecond\n")
    os.close(writer)
    there.containers.close_input(running.id)
    assert (await running.exit).code == 0
    assert await there.output() == "got first\nsecond\nover\n"
    silent = await there.start("busybox", "cat", number=1)
    assert (await silent.exit).code == 0, "without stdin there is nothing to read"


@isolated
async def test_a_terminal_controls_the_containers_session() -> None:
    there = await runtime()
    script = "tty; echo $(ls /proc/self/fd); read x; echo got $x"
    running = await there.start("busybox", "sh", "-c", script, stdin=True, tty=True)
    terminal = await there.containers.input(running.id)
    os.write(terminal, b"line\n")
    assert (await running.exit).code == 0
    os.close(terminal)
    lines = (await there.output()).split("\r\n")
    # the terminal echoes its input whenever that comes
    assert [line for line in lines if line != "line"] == ["/dev/pts/0", "0 1 2 3", "got line", ""]


@isolated
async def test_limits_are_enforced_and_their_cgroup_goes_with_the_container() -> None:
    hierarchies = cgroup.find()
    assert hierarchies is not None
    there = await runtime(hierarchies)
    limits = cgroup.Limits(memory_limit=20 << 20, cpu_limit=500, cpu_request=100)
    running = await there.start("busybox", "tail", "/dev/zero", limits=limits)
    group = running.record.cgroup
    assert (await running.exit).reason == "OOMKilled"
    assert not any((root / group).exists() for root in hierarchies.distinct)
    top = group.partition("/")[0]
    hierarchies.remove_tree(top)
    assert not any((root / top).exists() for root in hierarchies.distinct)


@isolated
async def test_containers_outlive_the_kubelet_and_are_adopted_with_their_exit_codes() -> None:
    there = await runtime()
    stays = await there.start("busybox", "sleep", "1000", name="stays")
    ends = await there.start(
        "busybox", "sh", "-c", "echo up; while [ ! -e /tmp/go ]; do sleep 0.01; done; exit 9", name="ends"
    )
    await there.until_said("up", ends)
    code, _ = await run_command(there.containers, ends, ("touch", "/tmp/go"))
    there.containers.close()  # as far as shim and containers can tell, the kubelet is dead now
    assert code == 0
    record = there.paths.container("ends") / "0.exit"
    while not record.exists():
        await asyncio.sleep(0.01)

    successor = Containers(there.root, None, "")
    await successor.connect()
    attempts, running = successor.attempts(there.paths, "stays")
    assert running is not None and attempts[0].running and attempts[0].id == stays.id
    attempts, gone = successor.attempts(there.paths, "ends")
    assert gone is None and attempts[0].exit is not None and attempts[0].exit.code == 9
    running.process.kill(signal.SIGKILL)
    assert (await running.exit).code == 137, "the shim is still its parent and tells the new kubelet"


@isolated
async def test_when_the_shim_is_killed_containers_live_on_and_new_ones_can_start() -> None:
    there = await runtime()
    running = await there.start("busybox", "sleep", "1000")
    shim = int(Path(f"/proc/{running.record.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(shim, signal.SIGKILL)
    later = None
    while later is None:
        try:
            later = await there.start("busybox", "sh", "-c", "exit 4", name="later")
        except ShimLost:
            await asyncio.sleep(0.01)
    assert (await later.exit).code == 4
    assert running.process.running
    running.process.kill()
    ended = await running.exit
    assert (ended.code, ended.reason) == (137, "ContainerStatusUnknown")


@isolated
async def test_a_second_kubelet_finds_the_images_unpacked() -> None:
    made_private()
    root = Path("/run/images-of-a-test")
    first = ImageStore(root, Catalogue())
    first.prepare()
    layers = first.pull("nginx:1.27").layers
    marks = [os.stat(layer).st_ino for layer in layers]
    second = ImageStore(root, Catalogue())
    second.prepare()
    assert [os.stat(layer).st_ino for layer in second.pull("nginx:1.27").layers] == marks


@isolated
async def test_a_hundred_containers_start_and_end() -> None:
    there = await runtime()
    running = [await there.start("busybox", "sh", "-c", f"exit {n % 50}", name=f"c{n}") for n in range(100)]
    codes = [(await row.exit).code for row in running]
    assert codes == [n % 50 for n in range(100)]
