"""Kernel settings below /proc/sys, named as sysctl(8) names them: ``net.ipv4.ip_forward``.

What lies below ``net`` belongs to the network namespace of the calling thread.
"""

import logging
from pathlib import Path

log = logging.getLogger(__name__)


def path(name: str) -> Path:
    """The file that holds a setting.  As sysctl(8): a name with a slash in it uses slashes as separators, so that
    interface names with dots can be written: ``net/ipv4/conf/flannel.1/rp_filter``."""
    return Path("/proc/sys", name if "/" in name else name.replace(".", "/"))


def read(name: str) -> str:
    """The value, without the newline; FileNotFoundError where this kernel has no such setting."""
    return path(name).read_text().strip()


def write(name: str, value: str | int) -> None:
    """Set a value; OSError where the kernel refuses it or does not have the setting."""
    path(name).write_text(str(value))


def ensure(name: str, value: str | int) -> bool:
    """Set a value unless it is set already, and say so; True where something changed."""
    before = read(name)
    if before == str(value):
        return False
    write(name, value)
    log.info("sysctl %s = %s (was %s)", name, value, before)
    return True


def see_bridged_packets(*versions: int) -> None:
    """Have packets that cross a bridge pass the hooks of iptables and nftables, in IPv4 (4) or IPv6 (6).

    Two pods on one bridge would else answer each other past the translation of their Service's address, and past
    network policies.  FileNotFoundError says which kernel module is missing.
    """
    for version in versions:
        try:
            ensure(f"net.bridge.bridge-nf-call-{'ip6' if version == 6 else 'ip'}tables", 1)
        except FileNotFoundError:
            raise FileNotFoundError("no /proc/sys/net/bridge: load the kernel module br_netfilter") from None
