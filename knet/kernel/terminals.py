"""Pseudo terminals of a given devpts: those that the processes of a container know by name."""

import fcntl
import os
import struct

_TIOCGPTN, _TIOCSPTLCK = 0x80045430, 0x40045431  # asm-generic/ioctls.h


def open_terminal(devpts: str) -> tuple[int, str]:
    """A new terminal of the devpts mounted there: our end (blocking), and the path of the other one in there."""
    master = os.open(f"{devpts}/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    number = struct.unpack("i", fcntl.ioctl(master, _TIOCGPTN, b"\0\0\0\0"))[0]
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    return master, f"/dev/pts/{number}"
