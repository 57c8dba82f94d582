"""etcd as a component: Debian's program in the place of the process that was forked for it.

It listens on the loopback of the control-plane machine, where nobody but the API server and `knet exec` comes, and so
needs no certificates: ``knet exec cp1 -- etcdctl get /registry --prefix --keys-only`` just works.
"""

import os

import msgspec

PROGRAM = "etcd"
CLIENT_PORT, PEER_PORT = 2379, 2380
#: where the API server finds it, on its own machine
URL = f"http://127.0.0.1:{CLIENT_PORT}"
#: a list of 3 MiB is the largest body that the API server takes; etcd's default is half of that
_MAX_REQUEST = 8 << 20


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``data_dir`` is etcd's own; the ports are on 127.0.0.1."""

    name: str
    data_dir: str
    client_port: int = CLIENT_PORT
    peer_port: int = PEER_PORT


def command(options: Options) -> list[str]:
    """The arguments of an etcd that is its whole cluster; flags that every etcd since 3.3 knows."""
    client, peer = (f"http://127.0.0.1:{port}" for port in (options.client_port, options.peer_port))
    flags = {
        "name": options.name,
        "data-dir": options.data_dir,
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{options.name}={peer}",
        # alone, it wins every election, but only after this timeout: a restart takes 0.3 s instead of 1.1
        "heartbeat-interval": "50",
        "election-timeout": "250",
        "max-request-bytes": str(_MAX_REQUEST),
    }
    return [PROGRAM, *(f"--{flag}={value}" for flag, value in flags.items())]


def main(options: Options) -> None:
    """Become etcd."""
    os.makedirs(options.data_dir, mode=0o700, exist_ok=True)
    os.execvp(PROGRAM, command(options))
