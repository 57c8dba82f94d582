"""NetworkPolicies as their enforcer needs them: see `knet.api.objects`."""

from msgspec import field

from knet.api import resources
from knet.api.objects import KubeObject, LabelSelector, Part


class IPBlock(Part, frozen=True, kw_only=True):
    cidr: str
    excluded: tuple[str, ...] = field(default=(), name="except")


class NetworkPolicyPeer(Part, frozen=True, kw_only=True):
    """An ``ipBlock``, or one of the selectors, or both of them; an empty selector selects all, None says nothing."""

    podSelector: LabelSelector | None = None
    namespaceSelector: LabelSelector | None = None
    ipBlock: IPBlock | None = None


class NetworkPolicyPort(Part, frozen=True, kw_only=True):
    """``port`` is a number, the name of a container's port, or None for all of the protocol's."""

    protocol: str = "TCP"
    port: int | str | None = None
    endPort: int | None = None


class IngressRule(Part, frozen=True, kw_only=True):
    peers: tuple[NetworkPolicyPeer, ...] = field(default=(), name="from")
    ports: tuple[NetworkPolicyPort, ...] = ()


class EgressRule(Part, frozen=True, kw_only=True):
    peers: tuple[NetworkPolicyPeer, ...] = field(default=(), name="to")
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicySpec(Part, frozen=True, kw_only=True):
    podSelector: LabelSelector = LabelSelector()
    policyTypes: tuple[str, ...] = ()
    ingress: tuple[IngressRule, ...] = ()
    egress: tuple[EgressRule, ...] = ()


class NetworkPolicy(KubeObject, frozen=True, kw_only=True):
    resource = resources.NETWORKPOLICIES
    spec: NetworkPolicySpec = NetworkPolicySpec()
