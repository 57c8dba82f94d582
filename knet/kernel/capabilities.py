"""Capabilities of a thread and of the programs it is about to start (capabilities(7)).

Works on the calling thread alone: a helper thread can shed capabilities, spawn a program, and end.
"""

import ctypes
import struct

from knet.kernel.libc import call, prctl

#: number of each capability, include/uapi/linux/capability.h
NUMBERS = {
    name: number
    for number, name in enumerate(
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
        "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
        "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
        "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
        "PERFMON BPF CHECKPOINT_RESTORE".split()
    )
}

#: what containerd and docker leave to an ordinary container
CONTAINER_DEFAULT = frozenset(
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
    "AUDIT_WRITE".split()
)

_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_VERSION_3 = 0x20080522


def select(add: tuple[str, ...], drop: tuple[str, ...]) -> frozenset[str]:
    """A container's set from its securityContext.capabilities: the default, minus ``drop``, plus ``add``.

    "ALL" stands for every capability; a CAP_ prefix is accepted as runtimes do.  Unknown names raise ValueError.
    """
    chosen = set(CONTAINER_DEFAULT)
    for names, keep in ((drop, False), (add, True)):
        for name in names:
            short = name.upper().removeprefix("CAP_")
            if short != "ALL" and short not in NUMBERS:
                raise ValueError(f"unknown capability {name!r}")
            group = set(NUMBERS) if short == "ALL" else {short}
            chosen = chosen | group if keep else chosen - group
    return frozenset(chosen)


def limit_to(numbers: frozenset[int]) -> None:
    """Shed all other capabilities, for good, from this thread and whatever it executes.

    To be called while still root; a later change of user clears the effective set as the kernel does.
    """
    for number in range(64):
        if number not in numbers:
            try:
                prctl(_PR_CAPBSET_READ, number)
            except OSError:
                break  # the first number that this kernel does not know
            prctl(_PR_CAPBSET_DROP, number)
    call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    mask = sum(1 << number for number in numbers)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    data = ctypes.create_string_buffer(struct.pack("=6I", low, low, 0, high, high, 0))
    call("capset", ctypes.addressof(header), ctypes.addressof(data))
