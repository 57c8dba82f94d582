"""What machines and switches have in common as Mininet nodes: a shell, when somebody asks for it.

A Mininet ``Node`` is a bash on a pseudo-terminal, started with the node: 20 ms each.  Here it starts with the first
``cmd()``, and goes on from one ``cmd()`` to the next as in Mininet (``cd``, variables and background jobs persist).
"""

import os
import subprocess
from typing import Any

from knet.kernel.namespaces import Namespaces, run_in
from knet.underlay.upstream import Intf, Node


class Interface(Intf):
    """A Mininet interface whose address and state have been set by netlink already."""

    def __init__(self, name: str, node: Any, port: int, ip: str = "", prefix_length: int | None = None) -> None:
        super().__init__(name, node=node, port=port, moveIntfFn=_is_there)
        self.ip: str | None = ip or None
        self.prefixLen = prefix_length

    def config(self, **_parameters: object) -> dict[str, object]:
        """Nothing is left to configure."""
        return {}

    def ifconfig(self, *arguments: str) -> str:
        """Mininet speaks to interfaces through ifconfig(8), which few systems still have: ip(8) does what it asks."""
        if not arguments:
            return str(self.cmd("ip addr show dev", self.name))
        if arguments[0] in ("up", "down"):
            return str(self.cmd("ip link set dev", self.name, arguments[0]))
        if arguments[:2] == ("hw", "ether"):
            return str(self.cmd("ip link set dev", self.name, "address", arguments[2]))
        return str(self.cmd("ip addr replace", arguments[0], "dev", self.name))

    def updateIP(self) -> str | None:
        """The address that the interface has now."""
        words = self.node.pexec("ip", "-4", "-o", "addr", "show", "dev", self.name)[0].split()
        self.ip = words[words.index("inet") + 1].partition("/")[0] if "inet" in words else None
        return self.ip

    def isUp(self, setUp: bool = False) -> bool:
        """Whether the interface is administratively up."""
        if setUp:
            self.ifconfig("up")
        return ",UP" in self.ifconfig()


def _is_there(_interface: str, _node: object) -> None:
    """Mininet would now move the interface into the node's namespace; it was created there."""


class LazyNode(Node):
    """A node of a network that netlink has built."""

    #: Mininet looks for mnexec and ifconfig on the PATH otherwise; neither is used
    isSetup = True

    def __init__(self, name: str, namespaces: Namespaces, pid: int, **parameters: Any) -> None:
        self.namespaces = namespaces
        self.process_id = pid
        self._constructed = False
        super().__init__(name, **parameters)
        self._constructed = True
        self.pid = pid

    def startShell(self, mnopts: str | None = None) -> None:
        """Start the shell, but not as early as Mininet's constructor asks for it."""
        if self._constructed:
            super().startShell(mnopts)
            self.pid = self.process_id  # of the machine, not of its shell

    def cmd(self, *arguments: Any, **options: Any) -> Any:
        """Run a command in the node's shell, wait, and return what it printed."""
        self._need_shell()
        return super().cmd(*arguments, **options)

    def sendCmd(self, *arguments: Any, **options: Any) -> None:
        """Begin a command in the node's shell; see Mininet's ``monitor`` and ``waitOutput``."""
        self._need_shell()
        super().sendCmd(*arguments, **options)

    def popen(self, *arguments: Any, shell: bool = False, **options: Any) -> Any:
        """A ``subprocess.Popen`` inside the node; with ``shell``, of the user's shell, or of sh where none is said."""
        if shell:
            words = arguments[0] if isinstance(arguments[0], list) else arguments
            arguments = (os.environ.get("SHELL", "/bin/sh"), "-c", " ".join(words))
        return super().popen(*arguments, **{"mncmd": [], **options})

    def _need_shell(self) -> None:
        if self.shell is None:
            self.startShell()

    def _popen(self, cmd: list[str], **parameters: Any) -> Any:
        """Start a process inside the node's namespaces, in a session of its own.

        Mininet has its helper ``mnexec`` do both.  A shell needs the pseudo-terminal as its controlling terminal, or
        ``sendInt`` has nobody to interrupt; and one that starts with a signal ignored cannot undo that.  What it prints
        is for programs to read, though: Debian 13's ip(8) colours what it writes to a terminal, unless NO_COLOR is set.
        """
        if cmd[0] == "mnexec":
            cmd = ["setsid", "--ctty", "env", "--default-signal", "NO_COLOR=1", *cmd[2:]]
        else:
            parameters.setdefault("start_new_session", True)
        return run_in(self.namespaces, lambda: subprocess.Popen(cmd, **parameters))
