"""What a thread, and the programs it is about to execute, may do: capabilities(7) and its user.

Works on the calling thread alone: a helper thread can shed privileges, spawn a program, and end.  Lean, like
`knet.kernel.libc`, for the container shim's sake.
"""

from __future__ import annotations

import ctypes
import os
import struct

from knet.kernel.libc import call, perform, prepare

TYPE_CHECKING = False  # typing itself would cost each container shim 1.2 MB
if TYPE_CHECKING:
    from collections.abc import Iterator

    from knet.kernel.libc import Call

_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_DEFAULT = """
CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
AUDIT_WRITE
"""

#: number of each capability, in the order of include/uapi/linux/capability.h
NUMBERS = {name: number for number, name in enumerate(_NAMES.split())}

#: what containerd and docker leave to an ordinary container
CONTAINER_DEFAULT = frozenset(_DEFAULT.split())

#: the raw calls change the calling thread only, where libc's wrappers would change every thread of the process
_SETGROUPS, _SETRESGID, _SETRESUID = {
    "x86_64": (116, 119, 117),
    "armv7l": (206, 210, 208),
    "s390x": (206, 210, 208),
    "ppc64le": (81, 169, 164),
}.get(os.uname().machine, (159, 149, 147))

_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_PR_SET_NO_NEW_PRIVS = 38
_VERSION_3 = 0x20080522


def _known() -> Iterator[int]:
    """The numbers of the capabilities that this kernel knows."""
    for number in range(64):
        try:
            call("prctl", _PR_CAPBSET_READ, number, 0, 0, 0)
        except OSError:
            return
        yield number


_KNOWN = tuple(_known())


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
    for step in limiting_to(numbers):
        perform(step)


def limiting_to(numbers: frozenset[int]) -> list[Call]:
    """`limit_to`, prepared by a thread with the capabilities of the one that will do it."""
    steps = [prepare("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0) for number in _KNOWN if number not in numbers]
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    data = ctypes.create_string_buffer(24)
    call("capget", header, data)
    _, low, _, _, high, _ = struct.unpack_from("=6I", data)  # effective, permitted, inheritable; twice
    mask = sum(1 << number for number in numbers) & (high << 32 | low)  # nobody gains any
    low, high = mask & 0xFFFFFFFF, mask >> 32
    struct.pack_into("=6I", data, 0, low, low, 0, high, high, 0)
    ambient = prepare("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    return [*steps, ambient, prepare("capset", header, data)]


def become(uid: int, gid: int, groups: tuple[int, ...] = ()) -> None:
    """Change the calling thread's user; the kernel takes its effective capabilities unless it stays root."""
    for step in becoming(uid, gid, groups):
        perform(step)


def becoming(uid: int, gid: int, groups: tuple[int, ...] = ()) -> list[Call]:
    """`become`, prepared. As with containerd, the primary group is also one of the further ones."""
    if (uid, gid, groups) == (0, 0, ()):
        return []
    groups = tuple(dict.fromkeys((gid, *groups)))
    packed = b"".join(group.to_bytes(4, "little") for group in groups)
    return [
        prepare("syscall", _SETGROUPS, len(groups), packed),
        prepare("syscall", _SETRESGID, gid, gid, gid),
        prepare("syscall", _SETRESUID, uid, uid, uid),
    ]


def forbidding_new_privileges() -> Call:
    """Nothing executed from then on gains by set-user-ID bits or file capabilities (no_new_privs); prepared."""
    return prepare("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
