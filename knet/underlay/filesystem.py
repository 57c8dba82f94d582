"""What a machine sees of the file system: the host's, except where two machines must not meet.

Of its own it has ``/run`` (so iptables' lock is one per machine), ``/sys`` (of its network namespace), ``/etc/hosts``,
``/etc/resolv.conf``, and, as bind mounts of the cluster's state directory, the directories in which a Node keeps its
state; pods' addresses are kept in memory.  The places to mount these over exist only in the machine: its ``/var/lib``
and ``/var/log`` are overlays over the host's.  So nothing is created on the host, and nobody who removes an empty
directory there unmounts a machine's.
"""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from knet.kernel import mounts, sysctl
from knet.underlay.plan import CONTROL_PLANE, ROUTER, WORKER, MachineSpec, Plan

#: a Node's own directories and where they lie below STATE/machines/NAME
NODE_DIRECTORIES = {
    "/var/lib/kubelet": "kubelet",
    "/var/log/pods": "pods",
    "/var/lib/local-volumes": "volumes",
}

#: a tmpfs: whose address is whose, which no sandbox outlives, in a file for each
VOLATILE = "/var/lib/cni"

_MS_MOVE = 0x2000


@dataclass(frozen=True)
class Home:
    """Where a machine keeps what outlives it, and what it is told about the others."""

    machine: MachineSpec
    directory: Path
    """STATE/machines/NAME"""
    hosts: str
    """its /etc/hosts"""
    resolver: str
    """its /etc/resolv.conf"""

    def prepare(self) -> None:
        """On the host: create what is to be mounted."""
        for _target, name in self._directories():
            os.makedirs(self.directory / name, exist_ok=True)

    def move_in(self, below_sys: Iterable[str]) -> None:
        """Turn the calling thread's new mount, network and UTS namespaces into this machine's.

        ``below_sys`` is what `mounts_below_sys` found; the new /sys shows those mounts again (cgroups among them).
        """
        mounts.make_private()
        mounts.tmpfs("/run")
        self._mount_directories()
        _own_file("/etc/hosts", self.hosts)
        _own_file("/etc/resolv.conf", self.resolver)
        _own_sys(below_sys)
        socket.sethostname(self.machine.name)
        for name, value in _sysctls(self.machine):
            sysctl.write(name, value)

    def _mount_directories(self) -> None:
        """The Node's directories, on overlays that take what the machine writes beside them to its /run."""
        state = self.directory.parents[1]
        os.makedirs("/run/state")
        mounts.bind(str(state), "/run/state")
        for parent in sorted({os.path.dirname(target) for target, _ in self._directories()}):
            upper, work = (f"/run/overlay{parent}/{name}" for name in ("upper", "work"))
            os.makedirs(upper)
            os.makedirs(work)
            mounts.overlay(parent, [parent], upper, work)
            if state.is_relative_to(parent):  # the components' own files are the host's
                mounts.bind("/run/state", str(state))
        for target, name in self._directories():
            os.makedirs(target, exist_ok=True)
            mounts.bind(f"/run/state/machines/{self.machine.name}/{name}", target)
        if self._directories():
            os.makedirs(VOLATILE, exist_ok=True)
            mounts.tmpfs(VOLATILE)
        mounts.unmount("/run/state")
        os.rmdir("/run/state")

    def _directories(self) -> list[tuple[str, str]]:
        is_node = self.machine.role in (CONTROL_PLANE, WORKER)
        return list(NODE_DIRECTORIES.items()) if is_node else []


def hosts_file(plan: Plan) -> str:
    """``/etc/hosts`` of every machine: all machines by name."""
    rows = [("127.0.0.1", "localhost")]
    rows += [(address, machine.name) for machine in plan.machines for address in machine.addresses]
    return "".join(f"{address}\t{name}\n" for address, name in rows)


def resolver_file(nameservers: Iterable[str]) -> str:
    """``/etc/resolv.conf`` of every machine; names of the cluster are resolved in pods, which the kubelet tells whom
    to ask."""
    servers = "".join(f"nameserver {address}\n" for address in nameservers)
    return servers or "# a machine of an emulated network: there is no nameserver (knet up --dns-upstream)\n"


def mounts_below_sys() -> tuple[str, ...]:
    """The topmost mount points below /sys, as the calling thread sees them: cgroups, tracing, bpf …"""
    with open("/proc/thread-self/mountinfo") as table:
        points = sorted({line.split(" ", 5)[4] for line in table})
    found: list[str] = []
    for point in points:
        if point.startswith("/sys/") and not any(point.startswith(f"{above}/") for above in found):
            found.append(point)
    return tuple(found)


def _own_file(path: str, content: str) -> None:
    """Give this machine a file of its own at ``path``; it lies on its /run.

    Where ``path`` is a symbolic link to below /run (systemd-resolved's resolv.conf), the machine's new and empty /run
    has hidden its end, and the file is created there.
    """
    end = os.path.realpath(path)
    own = end if end.startswith("/run/") else f"/run/{os.path.basename(path)}"
    os.makedirs(os.path.dirname(own), exist_ok=True)
    with open(own, "w") as file:
        file.write(content)
    if own != end:
        mounts.bind(own, end)


def _own_sys(below_sys: Iterable[str]) -> None:
    """Mount a sysfs that shows this network namespace's interfaces, with the old one's mounts moved along."""
    staging = "/run/sys"
    os.mkdir(staging)
    mounts.sysfs(staging, read_only=False)
    for point in below_sys:
        mounts.bind(point, f"/run{point}")
    mounts.mount(staging, "/sys", flags=_MS_MOVE)
    os.rmdir(staging)


def _sysctls(machine: MachineSpec) -> list[tuple[str, int]]:
    """Settings of the machine's network namespace.

    Without IPv6 no interface sends neighbour and router solicitations or MLD reports into other people's captures.
    With it, addresses are used at once: that nobody else has them (DAD, RFC 4862) is known from the topology, and
    would take a second.  A Node forwards, as ``kubeadm`` demands of the machines it is given.
    """
    forwards = machine.role in (ROUTER, WORKER, CONTROL_PLANE)
    settings: list[tuple[str, int]] = []
    if any(interface.address6 for interface in machine.interfaces):
        for scope in ("all", "default"):
            for name, value in (("disable_ipv6", 0), ("accept_dad", 0), ("accept_ra", 0)):
                settings.append((f"net.ipv6.conf.{scope}.{name}", value))
        settings += [("net.ipv6.conf.all.forwarding", 1)] if forwards else []
    elif os.path.isdir("/proc/sys/net/ipv6"):
        settings.append(("net.ipv6.conf.default.disable_ipv6", 1))
    if forwards:
        # an ICMP redirect would tell a neighbour of a way around the rules that a Node's kube-proxy has for it
        settings += [("net.ipv4.ip_forward", 1), ("net.ipv4.conf.all.send_redirects", 0)]
        settings.append(("net.ipv4.conf.default.send_redirects", 0))
    return settings
