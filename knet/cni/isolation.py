"""The last question before a pod's containers start: are the NetworkPolicies that isolate it in force here?

Upstream demands that "all newly created pods affected by a given NetworkPolicy will be isolated before they are
started", which is why there CNI plugins that enforce policies are agents at the same time.  Here the kubelet asks
kube-network-policies itself, over a socket of the machine's network namespace, which no pod can reach: it sends the pod
with its addresses as one line of JSON and reads `IN_FORCE` when the rules are there.

The supervisor has the socket listen before anybody runs, so a question waits while the other side starts.  Where no
policies are enforced nobody listens, and there is nothing to wait for.
"""

import asyncio
import contextlib
import socket

import orjson

from knet.api.objects import JSON, Container, Pod

#: in the abstract namespace, which belongs to the network namespace
ADDRESS = "\0kube-network-policies"
#: seconds that a pod waits before its start is tried anew, and longest that an enforcer without an API server is silent
PATIENCE = 5.0
#: answers: the rules are there; no pod of the cluster is isolated
IN_FORCE, NO_POLICY = b"in force\n", b"no policy\n"


class IsolationError(RuntimeError):
    """The pod's policies are not in force; one line."""


async def isolate(pod: Pod, addresses: list[str]) -> bool:
    """Return when what policies say of the pod is in force on this machine, and whether there are any; IsolationError.

    Where there are some, other machines may have to know the pod, too: to let it in.
    """
    question = orjson.dumps(announcement(pod, addresses)) + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as asking:
        try:
            asking.connect(ADDRESS)
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            raise IsolationError("too many pods wait for their network policies") from None
        answer = b""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(sock=asking)
                try:
                    writer.write(question)
                    answer = await reader.readline()
                finally:
                    writer.close()
    if answer not in (IN_FORCE, NO_POLICY):
        raise IsolationError(f"network policies are not in force after {PATIENCE:.0f} s")
    return answer == IN_FORCE


def announcement(pod: Pod, addresses: list[str]) -> JSON:
    """What of a pod matters to policies."""
    return {
        "metadata": {"namespace": pod.namespace, "name": pod.name, "labels": pod.metadata.labels},
        "spec": {
            "nodeName": pod.spec.nodeName,
            "containers": [_ports(row) for row in pod.spec.containers],
            "initContainers": [_ports(row) for row in pod.spec.initContainers],
        },
        "status": {"podIPs": [{"ip": address} for address in addresses]},
    }


def _ports(container: Container) -> JSON:
    ports = [
        {"name": row.name, "containerPort": row.containerPort, "protocol": row.protocol} for row in container.ports
    ]
    return {"ports": ports, "restartPolicy": container.restartPolicy}
