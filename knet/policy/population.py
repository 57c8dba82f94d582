"""Who is there: the pods that policies select, and those that their rules name.  Pure.

Pods of one template have the same labels; selectors are asked once for all of them.  Pods in their machine's network
have no address of their own and are none of NetworkPolicy's business, and what has ended has none any more.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from knet.api import resources
from knet.api.objects import ContainerPort, KubeObject, Part, PodIP
from knet.policy.policies import NamedPort, Selection

Labels = tuple[tuple[str, str], ...]


class PortsOf(Part, frozen=True, kw_only=True):
    """A container, as far as it matters here."""

    ports: tuple[ContainerPort, ...] = ()
    restartPolicy: str = ""


class NarrowSpec(Part, frozen=True, kw_only=True):
    containers: tuple[PortsOf, ...] = ()
    initContainers: tuple[PortsOf, ...] = ()
    nodeName: str = ""
    hostNetwork: bool = False


class NarrowStatus(Part, frozen=True, kw_only=True):
    phase: str = ""
    podIPs: tuple[PodIP, ...] = ()


class NarrowPod(KubeObject, frozen=True, kw_only=True):
    """A pod, no wider than policies look: every machine keeps all of the cluster's."""

    resource = resources.PODS
    spec: NarrowSpec = NarrowSpec()
    status: NarrowStatus = NarrowStatus()

    @property
    def over(self) -> bool:
        """Nothing of it runs any more; its address may be another's."""
        return self.status.phase in ("Succeeded", "Failed")


class Endpoint(NamedTuple):
    """A pod with its addresses, and what its containers call their ports.

    ``local``: it runs on this machine.  ``leaving``: the API has it no more, its processes may live for a moment;
    policies still apply to it, and nobody else's name it.
    """

    namespace: str
    name: str
    labels: Labels
    addresses: tuple[str, ...]
    ports: tuple[tuple[NamedPort, int], ...]
    local: bool
    leaving: bool = False


def endpoint(pod: NarrowPod, node_name: str) -> Endpoint | None:
    """The pod's part in the network; None while it has none, and when it has none any more."""
    spec, status = pod.spec, pod.status
    addresses = tuple(address for row in status.podIPs if (address := _canonical(row.ip)))
    if spec.hostNetwork or not addresses or pod.over:
        return None
    running = (*spec.containers, *(row for row in spec.initContainers if row.restartPolicy == "Always"))
    named = {
        (NamedPort(port.protocol.lower(), port.name), port.containerPort)
        for row in running
        for port in row.ports
        if port.name
    }
    return Endpoint(
        namespace=pod.namespace,
        name=pod.name,
        labels=tuple(sorted(pod.metadata.labels.items())),
        addresses=addresses,
        ports=tuple(sorted(named)),
        local=spec.nodeName == node_name,
    )


def _canonical(address: str) -> str:
    """As the kernel lists it; "" for what is none: a status may say anything."""
    try:
        return str(ip_address(address))
    except ValueError:
        return ""


class Group(NamedTuple):
    """Pods that no selector can tell apart."""

    namespace: str
    labels: Mapping[str, str]
    members: list[Endpoint]


class Population:
    """All pods by namespace and labels, and the labels of the namespaces."""

    def __init__(self, endpoints: Iterable[Endpoint], namespaces: Mapping[str, Mapping[str, str]]) -> None:
        by_labels: dict[tuple[str, Labels], list[Endpoint]] = defaultdict(list)
        for row in endpoints:
            by_labels[row.namespace, row.labels].append(row)
        self._groups: dict[str, list[Group]] = defaultdict(list)
        for (namespace, labels), members in by_labels.items():
            self._groups[namespace].append(Group(namespace, dict(labels), members))
        self._namespaces = namespaces

    def groups(self) -> Iterator[Group]:
        for rows in self._groups.values():
            yield from rows

    @property
    def taken(self) -> frozenset[str]:
        """The addresses of leaving pods that others have by now."""
        rows = [row for group in self.groups() for row in group.members]
        left = {address for row in rows if row.leaving for address in row.addresses}
        return frozenset(address for row in rows if left and not row.leaving for address in row.addresses) & left

    def select(self, selection: Selection) -> Iterator[Endpoint]:
        """The peers.  A namespace that is not known yet matches no selector: what is in doubt is not let pass."""
        for namespace, groups in self._groups.items():
            labels = self._namespaces.get(namespace)
            if selection.namespace:
                if namespace != selection.namespace:
                    continue
            elif labels is None or not selection.namespaces.matches(labels):
                continue
            for group in groups:
                if selection.pods.matches(group.labels):
                    yield from (row for row in group.members if not row.leaving)

    def offering(self, port: NamedPort) -> Iterator[tuple[Endpoint, int]]:
        """The pods that call a port so, and its number there."""
        for group in self.groups():
            for row in group.members:
                yield from ((row, number) for name, number in row.ports if name == port)
