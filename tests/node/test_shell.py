"""``knet shell``: what Mininet's users type, and what they then read."""

import os
import pty
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from underlay_sandbox import isolated

from knet.kernel.namespaces import CLONE_NEWPID, Namespaces, in_thread, unshare
from knet.underlay.shell import Shell
from knet.underlay.topology import describe, load
from knet.underlay.underlay import Underlay
from knet.underlay.view import LocalView

pytestmark = pytest.mark.root


def _session(tmp_path: Path, work: Callable[[Callable[..., str]], None], spec: str = "single") -> None:
    """Call ``work`` with a function that types lines into a shell and returns what came out."""
    with Underlay(describe(load(spec, 2)), tmp_path) as underlay, open(tmp_path / "output", "w+") as output:
        shell = Shell(LocalView(underlay), stdout=output)

        def typed(*lines: str) -> str:
            start = os.fstat(output.fileno()).st_size
            for line in lines:
                shell.onecmd(line)
            output.flush()
            return Path(output.name).read_text()[start:]

        work(typed)


@isolated
def test_the_network_is_listed_as_mininet_lists_it(tmp_path: Path) -> None:
    def work(typed: Callable[..., str]) -> None:
        assert typed("nodes") == "available nodes are: \nclient cp1 n1 n2 s1\n"
        assert typed("net").splitlines()[1::3] == [
            "n1 n1-eth0:s1-eth2",
            "s1 s1-eth1:cp1-eth0 s1-eth2:n1-eth0 s1-eth3:n2-eth0 s1-eth4:client-eth0",
        ]
        assert typed("links").splitlines()[1] == "n1-eth0<->s1-eth2 (OK OK)"
        assert typed("intfs").splitlines()[-1] == "s1: s1-eth1,s1-eth2,s1-eth3,s1-eth4"
        assert re.match(r"<Machine cp1: cp1-eth0:172.18.0.2 pid=\d+>\n", typed("dump"))

    _session(tmp_path, work)


@isolated
def test_commands_run_in_nodes_with_names_replaced_by_addresses(tmp_path: Path) -> None:
    def work(typed: Callable[..., str]) -> None:
        assert typed("n1 hostname") == "n1\n"
        assert typed("n1 echo n2 n2.example xn2 s1 'n2'  n2") == "172.18.0.4 n2.example xn2 s1 n2 172.18.0.4\n"
        assert typed("n1 ip -br addr | grep -c n1-eth0; exit 3") == "1\n"
        assert "master s1" in typed("s1 bridge link show dev s1-eth1")
        assert typed("sh echo outside") == "outside\n"

    _session(tmp_path, work)


@isolated
def test_pingall_finds_the_cut_cable(tmp_path: Path) -> None:
    def work(typed: Callable[..., str]) -> None:
        assert typed("pingall") == (
            "*** Ping: testing ping reachability\n"
            "cp1 -> n1 n2 client\n"
            "n1 -> cp1 n2 client\n"
            "n2 -> cp1 n1 client\n"
            "client -> cp1 n1 n2\n"
            "*** Results: 0% dropped (12/12 received)\n"
        )
        assert typed("link n1 s1 down", "links").splitlines()[1] == "n1-eth0<->s1-eth2 (down)"
        assert typed("pingall 0.2").splitlines()[1:] == [
            "cp1 -> X n2 client",
            "n1 -> X X X",
            "n2 -> cp1 X client",
            "client -> cp1 X n2",
            "*** Results: 50% dropped (6/12 received)",
        ]
        assert typed("link n1 s1 up", "pingpair").splitlines()[-1] == "*** Results: 0% dropped (2/2 received)"
        assert len(re.findall(r"^ \w+->\w+: \d+\.\d{3} ms$", typed("pingallfull"), re.MULTILINE)) == 12

    _session(tmp_path, work)


@isolated
def test_links_are_impaired_and_reset_by_the_options_of_addlink(tmp_path: Path) -> None:
    def work(typed: Callable[..., str]) -> None:
        assert typed("link n1 s1 bw=10 max_queue_size=50") == ""
        assert typed("links").splitlines()[1] == "n1-eth0<->s1-eth2 (OK OK) 10 Mbit/s, queue 50 packets"
        assert typed("link n1 s1 reset", "links").splitlines()[1] == "n1-eth0<->s1-eth2 (OK OK)"
        assert typed("link n1 s2 down") == "*** there is no node s2; there are client, cp1, n1, n2, s1\n"
        assert typed("link n1 s1") == "invalid number of args: link end1 end2 [up down reset]\n"
        assert typed("link n1 s1 sideways") == "invalid type: link end1 end2 [up down reset]\n"
        assert typed("link n1 s1 speed=3").startswith("unknown option speed: there are bw, delay,")
        assert typed("link n1 s1 bw=x").startswith("*** link n1–s1: bw='x' is no bandwidth")

    _session(tmp_path, work)


@isolated
def test_python_sees_the_nodes_as_names(tmp_path: Path) -> None:
    def work(typed: Callable[..., str]) -> None:
        assert typed("py n1.IP()") == "172.18.0.3\n"
        assert typed("py n1.cmd('hostname')") == "n1\n\n"
        assert typed("py [str(host) for host in net.hosts]") == "['cp1', 'n1', 'n2', 'client']\n"
        assert typed("px count = len(net.switches)", "py count") == "1\n"
        assert typed("py 1 / 0") == "ZeroDivisionError: division by zero\n"

    _session(tmp_path, work)


@isolated
def test_a_slip_of_the_hand_is_answered_not_obeyed(tmp_path: Path) -> None:
    def work(typed: Callable[..., str]) -> None:
        assert typed("xterm n1") == "*** Unknown command: xterm n1\n"
        assert typed("n1") == "*** Please enter a command for node: n1 <cmd>\n"
        assert typed("") == ""
        assert typed("iperf n1 nobody") == "node 'nobody' not in network\n"
        assert typed("source /nowhere") == "*** /nowhere: No such file or directory\n"
        assert "Names of nodes" in typed("help")

    _session(tmp_path, work)


@isolated
def test_a_file_of_commands_is_carried_out_to_its_exit(tmp_path: Path) -> None:
    script = tmp_path / "commands"
    script.write_text("# a comment\nn1 hostname\nexit\nn2 hostname\n")

    def work(typed: Callable[..., str]) -> None:
        assert typed(f"source {script}") == "n1\n"
        assert re.fullmatch(r"n1\n\*\*\* Elapsed time: 0\.\d{6} secs\n", typed("time n1 hostname"))

    _session(tmp_path, work)


@isolated
def test_names_and_link_verbs_are_completed(tmp_path: Path) -> None:
    with Underlay(describe(load("single", 2)), tmp_path) as underlay:
        shell = Shell(LocalView(underlay))
        assert shell.completenames("n") == ["net", "nodes", "n1", "n2"]
        assert shell.completedefault("c", "link c") == ["cp1", "client"]
        assert shell.completedefault("d", "link n1 s1 d") == ["down", "delay=", "duplicate="]


class _FromOutside(LocalView):
    """The view of a caller that is in another PID namespace than the cluster."""

    def __init__(self, underlay: Underlay, pid_namespace: int) -> None:
        super().__init__(underlay)
        self._pid_namespace = pid_namespace

    def namespaces(self, node: str) -> Namespaces:
        return Namespaces({**super().namespaces(node).fds, "pid": self._pid_namespace})


@isolated
def test_commands_can_join_the_clusters_processes(tmp_path: Path) -> None:
    def first_process() -> int:
        unshare(CLONE_NEWPID)
        return os.posix_spawn("/bin/sleep", ["sleep", "infinity"], {})

    pid_namespace = os.open(f"/proc/{in_thread(first_process)}/ns/pid", os.O_RDONLY)
    with Underlay(describe(load("single", 2)), tmp_path) as underlay, open(tmp_path / "output", "w") as output:
        shell = Shell(_FromOutside(underlay, pid_namespace), stdout=output)
        shell.onecmd("n1 echo parent $PPID")  # the parent is outside, and outside is nowhere
        shell.onecmd("py n1.cmd('echo parent $PPID')")
    assert (tmp_path / "output").read_text().split() == ["parent", "0"] * 2


@isolated
def test_a_command_has_the_terminal_to_itself(tmp_path: Path) -> None:
    """Ctrl-C ends the command, not the shell."""
    child, terminal = pty.fork()
    if child == 0:
        # the terminal, in place of the files by which pytest captures
        with (
            open(0) as sys.stdin,
            open(1, "w") as sys.stdout,
            Underlay(describe(load("single", 2)), tmp_path) as underlay,
        ):
            Shell(LocalView(underlay)).run()
        os._exit(0)
    screen = b""

    def until(text: bytes) -> None:
        nonlocal screen
        while text not in screen:
            screen += os.read(terminal, 4096)
        screen = screen.partition(text)[2]

    until(b"knet> ")
    os.write(terminal, b"n1 tty -s && echo on a terminal; cat\n")
    until(b"\non a terminal")
    os.write(terminal, b"\x03")
    until(b"knet> ")
    os.write(terminal, b"n1 hostname\n")
    until(b"\nn1\r\n")
    os.write(terminal, b"exit\n")
    assert os.waitpid(child, 0)[1] == 0
