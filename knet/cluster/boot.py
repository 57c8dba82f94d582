"""The first lines of a supervisor's life: new namespaces, then PID 1 of them.

``python -m knet.cluster.boot NAME CHANNEL LOCK LISTEN CONTROL`` (the last four are descriptors), the ClusterConfig as
the first message on CHANNEL.  Imports almost nothing, so that the namespaces exist before the first heavy import, and
the process that stays on the host for a moment is small.  The zygote's imports, the longest, begin before our own.
"""

import os
import socket
import sys

from knet.kernel.libc import CLONE_NEWNS, CLONE_NEWPID, unshare
from knet.kernel.namespaces import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS


def main() -> None:
    name, (channel, lock, listen, control) = sys.argv[1], map(int, sys.argv[2:6])
    unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)
    pid = os.fork()
    if pid:
        with socket.socket(fileno=channel) as to:
            to.send(b'{"pid":%d}' % pid)
        # no clean-up of an interpreter whose every descriptor now belongs to the child
        os._exit(0)
    from knet.cluster.zygote import Zygote

    for fd in (channel, lock, listen, control):
        os.set_inheritable(fd, False)
    zygote = Zygote(f"knet {name}: zygote")
    from knet.cluster.supervisor import main as supervise

    supervise(zygote, channel, listen, control)


if __name__ == "__main__":
    main()
