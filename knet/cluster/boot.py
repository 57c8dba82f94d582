"""The first lines of a supervisor's life: new namespaces, then PID 1 of them.

``python -m knet.cluster.boot CHANNEL LOCK LISTEN CONTROL`` (descriptors), the ClusterConfig as the first message
on CHANNEL.  Imports almost nothing, so that the namespaces exist before the first heavy import, and the process
that stays on the host for a moment is small.
"""

import os
import socket
import sys

from knet.kernel.libc import CLONE_NEWNS, CLONE_NEWPID, unshare
from knet.kernel.namespaces import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS


def main() -> None:
    channel, lock, listen, control = map(int, sys.argv[1:5])
    unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)
    pid = os.fork()
    if pid:
        with socket.socket(fileno=channel) as to:
            to.send(b'{"pid":%d}' % pid)
        # no clean-up of an interpreter whose every descriptor now belongs to the child
        os._exit(0)
    from knet.cluster.supervisor import main as supervise

    supervise(channel, lock, listen, control)


if __name__ == "__main__":
    main()
