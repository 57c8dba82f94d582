"""A machine: network, mount and UTS namespaces, held by descriptors and by one sleeping process."""

import os
from collections.abc import Mapping
from pathlib import Path

from knet.kernel import process
from knet.kernel.namespaces import Namespaces, create, run_in
from knet.underlay.filesystem import Home
from knet.underlay.node import Interface, LazyNode
from knet.underlay.plan import MachineSpec
from knet.underlay.upstream import Host

KINDS = ("net", "uts", "mnt")


class Machine(LazyNode, Host):
    """A Mininet ``Host`` with what the rest of knet needs to know.  `start` makes one."""

    def __init__(self, spec: MachineSpec, namespaces: Namespaces, holder: process.Process) -> None:
        super().__init__(spec.name, namespaces, holder.pid)
        self.spec = spec
        self._holder = holder
        for port, interface in enumerate(spec.interfaces):
            address = next(iter(interface.addresses), None)
            Interface(
                interface.name,
                self,
                port,
                ip=str(address.ip) if address else "",
                prefix_length=address.network.prefixlen if address else None,
            )

    @classmethod
    def start(cls, spec: MachineSpec, home: Home, below_sys: tuple[str, ...]) -> "Machine":
        """Create the namespaces; the network one holds only lo, down.

        The process that holds them besides this one, ``knet:NAME`` in ps(1), is there for tools that know a machine by
        a pid: ``nsenter -t``, ``mnexec -a``, /proc/PID/ns.
        """
        holders: list[process.Process] = []

        def set_up() -> None:
            home.move_in(below_sys)
            holders.append(_holder(spec.name))

        try:
            namespaces = create(*KINDS, setup=set_up)
        except BaseException:
            for holder in holders:
                _end(holder)
            raise
        return cls(spec, namespaces, holders[0])

    @property
    def role(self) -> str:
        return self.spec.role

    @property
    def address(self) -> str:
        """The address of the first interface, the primary one if it has two."""
        return self.spec.address

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses of the first interface, one of each family."""
        return self.spec.addresses

    @property
    def interface(self) -> str:
        """The name of the first interface."""
        return self.spec.interface

    @property
    def labels(self) -> Mapping[str, str]:
        return self.spec.labels

    @property
    def cpu(self) -> str:
        return self.spec.cpu

    @property
    def memory(self) -> str:
        return self.spec.memory

    @property
    def netns(self) -> int:
        """The descriptor of the network namespace."""
        return self.namespaces.fds["net"]

    def write_hosts(self, content: str) -> None:
        """Let its /etc/hosts say something else."""
        run_in(self.namespaces.only("mnt"), lambda: Path("/etc/hosts").write_text(content))

    def terminate(self) -> None:
        """End the shell and the holder and let go of the namespaces; they vanish with the last process in them."""
        super().terminate()
        _end(self._holder)
        self.namespaces.close()


def _holder(name: str) -> process.Process:
    """A process that sleeps in the calling thread's namespaces."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = os.posix_spawn(
            "/bin/sleep",
            [f"knet:{name}", "infinity"],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)],
            setsid=True,
        )
    finally:
        os.close(null)
    return process.Process(pid, os.pidfd_open(pid))


def _end(holder: process.Process) -> None:
    """Kill the sleeper and wait for it."""
    holder.kill()
    try:
        os.waitpid(holder.pid, 0)
    except ChildProcessError:
        pass  # somebody who waits for all children of this process was faster
    holder.close()
