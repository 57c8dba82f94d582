"""``knet shell``: Mininet's command line, for a network that runs in another process.

The vocabulary, its output and the replacement of node names by addresses are Mininet's (mininet/cli.py).  The class is
not: Mininet's CLI feeds each node's pseudo-terminal shell and prints through a logger, while this one starts commands
in the nodes' namespaces on the user's own terminal, so that full-screen programs, Ctrl-C and pipes just work.  Gone are
``xterm``, ``gterm`` and ``x`` (use a second ``knet shell``, or ``knet exec``) and what is about OpenFlow.
"""

import atexit
import cmd
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from knet.underlay import iperf, ping, terminal
from knet.underlay.impairment import OPTIONS
from knet.underlay.remote import Net, Node
from knet.underlay.state import LinkError
from knet.underlay.view import NetworkView

HISTORY = Path("~/.knet_history")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


class Shell(cmd.Cmd):
    """``Shell(view).run()``; `onecmd` runs a single line, as ``knet shell -c`` wants it."""

    prompt = "knet> "
    doc_header = "Commands (help COMMAND explains one):"

    def __init__(self, view: NetworkView, stdin: TextIO | None = None, stdout: TextIO | None = None) -> None:
        super().__init__(stdin=stdin, stdout=stdout)
        self.use_rawinput = stdin is None and sys.stdin.isatty()
        if not self.use_rawinput:
            self.prompt = ""
        self.view = view
        self.net = Net(view)
        self.names: dict[str, object] = {"net": self.net, **{n.replace("-", "_"): node for n, node in self.net.items()}}
        self.status = 0
        """exit code of the last command that ran in a node"""

    def run(self) -> None:
        """Read and carry out commands until the end of input, or ``exit``."""
        if self.use_rawinput:
            _use_history()
        while True:
            try:
                self.cmdloop()
                return
            except KeyboardInterrupt:
                self._print("\nInterrupt")

    def onecmd(self, line: str) -> bool:
        """Carry out one line; True ends the shell.  A network that has gone away meanwhile is told, not raised."""
        try:
            return bool(super().onecmd(line))
        except (LinkError, OSError) as error:
            self._print(f"*** {error}")
            return False

    def emptyline(self) -> bool:
        """An empty line does nothing (cmd.Cmd would repeat the last command)."""
        return False

    def default(self, line: str) -> None:
        """NODE COMMAND: run a command inside a node."""
        name, _, command = line.partition(" ")
        if name not in self.net:
            self._print(f"*** Unknown command: {line}")
        elif not command.strip():
            self._print(f"*** Please enter a command for node: {name} <cmd>")
        else:
            self.stdout.flush()
            output = self.stdout.fileno()
            self.status = terminal.on_terminal(self.net[name].namespaces, self._addressed(command), output)

    def parseline(self, line: str) -> tuple[str | None, str | None, str]:
        """As cmd.Cmd's, but a node's name may hold characters that a command's may not, and may be one's name."""
        first = line.strip().partition(" ")[0]
        if first in self.net and not hasattr(self, f"do_{first}"):
            return None, None, line.strip()
        return super().parseline(line)

    def do_help(self, arg: str) -> bool | None:
        """Describe the commands: help [COMMAND]"""
        super().do_help(arg)
        if not arg:
            self._print(
                "You may also send a command to a node using:\n"
                "  <node> command {args}\n"
                "For example:\n"
                "  knet> n1 ip route\n\n"
                "Names of nodes in it are replaced by their addresses, so commands like\n"
                "  knet> n1 ping -c1 n2\n"
                "work.  Interactive programs have the terminal to themselves:\n"
                "  knet> n1 bash\n"
            )
        return None

    def do_nodes(self, _line: str) -> None:
        """List all nodes."""
        self._print("available nodes are: \n" + " ".join(sorted(self.net)))

    def do_net(self, _line: str) -> None:
        """List network connections."""
        for node in self.net.values():
            pairs = (f"{interface.name}:{interface.peer}" for interface in node.state.interfaces)
            self._print(f"{node.name} {' '.join(pairs)}")

    def do_links(self, _line: str) -> None:
        """Report on links: their state, and what they do to packets."""
        for link in self.view.links():
            a, b = (end.interface for end in link.ends)
            state = "OK OK" if link.up else link.state
            self._print(f"{a}<->{b} ({state}) {link.impairment}".rstrip())

    def do_intfs(self, _line: str) -> None:
        """List interfaces."""
        for node in self.net.values():
            self._print(f"{node.name}: {','.join(node.intfNames())}")

    def do_dump(self, _line: str) -> None:
        """Dump node info."""
        for node in self.net.values():
            self._print(repr(node))

    def do_pingall(self, line: str) -> None:
        """Ping between all hosts: pingall [SECONDS TO WAIT]"""
        try:
            timeout = float(line or 1)
        except ValueError:
            self._print("invalid arg: pingall [seconds]")
        else:
            self._ping(self.net.hosts, timeout)

    def do_pingpair(self, _line: str) -> None:
        """Ping between the first two hosts."""
        self._ping(self.net.hosts[:2], 1.0)

    def do_pingallfull(self, _line: str) -> None:
        """Ping between all hosts and tell the round-trip times."""
        for (source, destination), seconds in self._measure(self.net.hosts, 1.0).items():
            result = "no answer" if seconds is None else f"{seconds * 1000:.3f} ms"
            self._print(f" {source}->{destination}: {result}")

    def do_iperf(self, line: str) -> None:
        """TCP bandwidth between two hosts (the first and the last if none are given): iperf [NODE1 NODE2]"""
        names = line.split() or [self.net.hosts[0].name, self.net.hosts[-1].name]
        if len(names) != 2:
            self._print("invalid number of args: iperf src dst")
        elif all(self._is_machine(name) for name in names):
            client, server = (self.net[name] for name in names)
            self._print(f"*** Iperf: testing TCP bandwidth between {client} and {server}")
            try:
                sent, received = iperf.measure(client.namespaces, server.namespaces, server.state.address)
                self._print(f"*** Results: {[iperf.text(received), iperf.text(sent)]}")
            except iperf.IperfError as error:
                self._print(f"*** {error}")

    def do_link(self, line: str) -> None:
        """Cut a link, mend it, impair it, or put it back as declared:
        link NODE1 NODE2 up|down|reset
        link NODE1 NODE2 [bw=MBIT] [delay=20ms] [jitter=2ms] [loss=PERCENT] [max_queue_size=PACKETS] …
        direction=NODE1: only what NODE1 sends"""
        words = line.split()
        changes = dict(word.partition("=")[::2] for word in words[2:] if "=" in word)
        verbs = [word for word in words[2:] if "=" not in word]
        if len(words) < 3 or len(verbs) > 1:
            self._print("invalid number of args: link end1 end2 [up down reset]")
        elif verbs and verbs[0] not in ("up", "down", "reset"):
            self._print("invalid type: link end1 end2 [up down reset]")
        elif unknown := [option for option in changes if option not in (*OPTIONS, "direction")]:
            self._print(f"unknown option {unknown[0]}: there are {', '.join(OPTIONS)}, direction")
        elif verbs == ["reset"]:
            self.view.reset_link(words[0], words[1])
        else:
            up = {"up": True, "down": False}.get("".join(verbs))
            self.view.change_link(words[0], words[1], up=up, **changes)

    def do_sh(self, line: str) -> None:
        """Run a command on the host, outside of the emulated network: sh COMMAND"""
        self.stdout.flush()
        self.status = subprocess.run(line, shell=True, check=False, stdout=self.stdout.fileno()).returncode

    def do_py(self, line: str) -> None:
        """Evaluate a Python expression, in which nodes are names: py n1.cmd('ip route')"""
        result = self._users_code(lambda: eval(line, self.names))
        if result is not None:
            self._print(result if isinstance(result, str) else repr(result))

    def do_px(self, line: str) -> None:
        """Execute a Python statement, in which nodes are names: px route = n1.cmd('ip route')"""
        self._users_code(lambda: exec(line, self.names))

    def _users_code(self, work: Callable[[], object]) -> object:
        """What ``work`` returns; None if it raises, which is told in one line."""
        try:
            return work()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a mistake in an expression does not end the shell
            self._print(f"{type(error).__name__}: {error}")
            return None

    def do_source(self, line: str) -> bool | None:
        """Carry out the commands in a file: source FILE"""
        try:
            commands = Path(line.strip()).read_text().splitlines()
        except OSError as error:
            self._print(f"*** {line.strip()}: {error.strerror}")
            return None
        return any(self.onecmd(command) for command in commands if not command.lstrip().startswith("#"))

    def do_time(self, line: str) -> bool | None:
        """Measure how long a command takes: time COMMAND"""
        start = time.monotonic()
        result = self.onecmd(line)
        self._print(f"*** Elapsed time: {time.monotonic() - start:0.6f} secs")
        return result

    def do_exit(self, _line: str) -> bool:
        """Leave the shell; the network goes on running."""
        return True

    do_quit = do_exit

    def do_EOF(self, _line: str) -> bool:
        """The end of the input: leave the shell."""
        if self.use_rawinput:
            self._print("")
        return True

    def get_names(self) -> list[str]:
        """The methods that ``help`` lists and that are completed."""
        return [name for name in super().get_names() if name != "do_EOF"]

    def completenames(self, text: str, *_ignored: object) -> list[str]:
        return [*super().completenames(text), *(name for name in self.net if name.startswith(text))]

    def completedefault(self, text: str, line: str, *_ignored: object) -> list[str]:
        words = list(self.net)
        if line.startswith("link ") and len(line.split()) + line.endswith(" ") > 3:
            words = ["up", "down", "reset", *(f"{option}=" for option in OPTIONS)]
        return [word for word in words if word.startswith(text)]

    def _addressed(self, command: str) -> str:
        """The command with the names of machines, where they are whole words, replaced by their addresses."""

        def address(match: re.Match[str]) -> str:
            node = self.net.get(match[0])
            return (node.IP() if node else None) or match[0]

        return " ".join(_WORD.sub(address, word) if _WORD.fullmatch(word) else word for word in command.split(" "))

    def _is_machine(self, name: str) -> bool:
        found = name in self.net and not self.net[name].state.is_switch
        if not found:
            self._print(f"node '{name}' not in network")
        return found

    def _measure(self, hosts: list[Node], timeout: float) -> dict[tuple[str, str], float | None]:
        return ping.reach(
            {host.name: host.namespaces for host in hosts}, {host.name: host.state.address for host in hosts}, timeout
        )

    def _ping(self, hosts: list[Node], timeout: float) -> None:
        self._print("*** Ping: testing ping reachability")
        measured = self._measure(hosts, timeout)
        for source in hosts:
            row = (
                destination.name if measured[source.name, destination.name] is not None else "X"
                for destination in hosts
                if destination is not source
            )
            self._print(f"{source} -> {' '.join(row)}")
        received = sum(seconds is not None for seconds in measured.values())
        lost = 100 * (len(measured) - received) // max(1, len(measured))
        self._print(f"*** Results: {lost}% dropped ({received}/{len(measured)} received)")

    def _print(self, text: str) -> None:
        print(text, file=self.stdout, flush=True)


def _use_history() -> None:
    """Lines of earlier sessions with the arrow keys, and these lines for later ones."""
    import readline

    path = HISTORY.expanduser()
    readline.set_completer_delims(" ")
    readline.set_history_length(1000)
    try:
        path.touch(mode=0o600)
        readline.read_history_file(path)
    except OSError:
        return  # a home that cannot be written to
    atexit.register(readline.write_history_file, path)
