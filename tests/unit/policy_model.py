"""What NetworkPolicy means, read off its documentation and written without regard for how knet enforces it.

Objects are JSON as in manifests.  One function, `allowed`, answers for one connection; everything is decided anew
each time by looking at all policies, which is slow and easy to see through.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    policies: list[JSON]
    pods: list[JSON]
    namespaces: dict[str, dict[str, str]]

    def pod_at(self, address: str) -> JSON | None:
        for pod in self.pods:
            has = address in [row["ip"] for row in pod["status"].get("podIPs", [])]
            over = pod["status"].get("phase") in ("Succeeded", "Failed")
            if has and not over and not pod["spec"].get("hostNetwork"):
                return pod
        return None


def allowed(cluster: Cluster, source: str, destination: str, port: int, protocol: str) -> bool:
    """Both ends have to allow it; nobody can keep a pod from itself."""
    sender, receiver = cluster.pod_at(source), cluster.pod_at(destination)
    if sender is not None and sender is receiver and source == destination:
        return True
    return _may(cluster, sender, "Egress", destination, receiver, receiver, port, protocol) and _may(
        cluster, receiver, "Ingress", source, sender, receiver, port, protocol
    )


def isolating(cluster: Cluster, pod: JSON, direction: str) -> list[JSON]:
    """The policies that select the pod and are about that direction."""
    meta = pod["metadata"]
    return [
        policy
        for policy in cluster.policies
        if policy["metadata"]["namespace"] == meta["namespace"]
        and selects(policy["spec"]["podSelector"], meta.get("labels", {}))
        and direction in policy["spec"]["policyTypes"]
    ]


def _may(
    cluster: Cluster,
    pod: JSON | None,
    direction: str,
    peer_address: str,
    peer: JSON | None,
    receiver: JSON | None,
    port: int,
    protocol: str,
) -> bool:
    if pod is None:
        return True
    policies = isolating(cluster, pod, direction)
    if not policies:
        return True
    side = "to" if direction == "Egress" else "from"
    for policy in policies:
        for rule in policy["spec"].get(direction.lower()) or []:
            peers, ports = rule.get(side) or [], rule.get("ports") or []
            peer_fits = not peers or any(
                _peer_fits(cluster, row, policy["metadata"]["namespace"], peer_address, peer) for row in peers
            )
            port_fits = not ports or any(_port_fits(row, receiver, port, protocol) for row in ports)
            if peer_fits and port_fits:
                return True
    return False


def _peer_fits(cluster: Cluster, row: JSON, namespace: str, address: str, pod: JSON | None) -> bool:
    if "ipBlock" in row:
        block, where = row["ipBlock"], ip_address(address)
        return where in ip_network(block["cidr"]) and not any(where in ip_network(x) for x in block.get("except", []))
    if pod is None:
        return False
    meta = pod["metadata"]
    if "namespaceSelector" in row:
        if not selects(row["namespaceSelector"], cluster.namespaces[meta["namespace"]]):
            return False
    elif meta["namespace"] != namespace:
        return False
    return selects(row.get("podSelector", {}), meta.get("labels", {}))


def _port_fits(row: JSON, receiver: JSON | None, port: int, protocol: str) -> bool:
    if row.get("protocol", "TCP") != protocol.upper():
        return False
    wanted = row.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, int):
        return wanted <= port <= row.get("endPort", wanted)
    if receiver is None:
        return False
    return any(
        offered.get("name") == wanted
        and offered["containerPort"] == port
        and offered.get("protocol", "TCP") == protocol.upper()
        for container in receiver["spec"]["containers"]
        for offered in container.get("ports", [])
    )


def selects(selector: JSON, labels: dict[str, str]) -> bool:
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for row in selector.get("matchExpressions", []):
        has, value = row["key"] in labels, labels.get(row["key"])
        fits = {
            "In": has and value in row.get("values", []),
            "NotIn": not has or value not in row.get("values", []),
            "Exists": has,
            "DoesNotExist": not has,
        }[row["operator"]]
        if not fits:
            return False
    return True
