"""A snapshot as iptables rules, in upstream's structure, so that a lab can follow a packet by eye.

::

    nat PREROUTING, OUTPUT ── KUBE-SERVICES ─┬─ "-d VIP --dport P" ── KUBE-SVC-… ─┬─ 1/n ── KUBE-SEP-… ── DNAT
                                             │     not from a pod: KUBE-MARK-MASQ │
                                             │                                    └─ rest ─ KUBE-SEP-… ── DNAT
                                             └─ to this machine ── KUBE-NODEPORTS ── KUBE-EXT-… ── KUBE-SVC-…
    nat POSTROUTING ── KUBE-POSTROUTING: what is marked 0x4000 leaves under this machine's address
    filter FORWARD, OUTPUT ── KUBE-SERVICES: REJECT what goes to a Service without endpoints
    filter FORWARD ── KUBE-FORWARD: let pass what was marked, and the answers to it

- KUBE-SVC-… spreads over all endpoints (policy Cluster), KUBE-SVL-… over this machine's (policy Local), KUBE-EXT-…
  stands before them for traffic to node ports and external addresses, KUBE-FW-… before that where only some sources
  may come by a load balancer.  What KUBE-FW-… lets through is translated there; what still bears the balancer's
  address in the filter table was not, and is dropped in KUBE-PROXY-FIREWALL.
- A pod that reaches itself through its Service would answer itself directly; each KUBE-SEP-… therefore marks what
  comes from its own address for masquerading (hairpin).
- REJECT stands in the filter table because the nat table knows no verdicts; it sees the address untranslated
  precisely because no rule of the nat table matched it.

The rules of IPv6 (ip6tables) are the same but for the addresses.

Pure: `Renderer` gives the rules by chain, `render` all of them as one text.  Upstream: pkg/proxy/iptables/proxier.go.
"""

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from knet.proxy.chains import (
    CONSTANT,
    FILTER,
    FILTER_EXTERNAL,
    FILTER_NODEPORTS,
    FILTER_PROXY_FIREWALL,
    FILTER_SERVICES,
    FIXED,
    JUMPS,
    LAST,
    MARK_MASQ,
    NAT,
    NODEPORTS,
    SERVICES,
    Chain,
    Jump,
    Rules,
    chain_name,
)
from knet.proxy.snapshot import (
    Endpoint,
    Endpoints,
    ServicePort,
    ServicePortName,
    Snapshot,
    UsableEndpoints,
    usable_endpoints,
)


class PortChains(NamedTuple):
    """The chains of one service port."""

    cluster: Chain
    local: Chain
    external: Chain
    firewall: Chain


def port_chains(port: ServicePort) -> PortChains:
    """Those that a port may have; which of them are there depends on the Service."""
    parts = (str(port.name), port.protocol.lower())
    prefixes = "KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-"
    return PortChains(*(Chain(NAT, chain_name(prefix, *parts)) for prefix in prefixes))


def endpoint_chain(port: ServicePort, endpoint: Endpoint) -> Chain:
    """The one that sends connections to an endpoint of a port."""
    return Chain(NAT, chain_name("KUBE-SEP-", str(port.name), port.protocol.lower(), str(endpoint)))


#: the chains that are there whatever the Services are
_SHARED = frozenset(FIXED)
#: the rules of one service port, each with the chain it is appended to
PortRules = tuple[tuple[Chain, str], ...]


class Renderer:
    """Makes rules by chain, anew only for the ports that are not what they were in the snapshot before."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._ports: dict[ServicePortName, PortRules] = {}
        self._chains: dict[Chain, tuple[str, ...]] = {}

    def chains(self, snapshot: Snapshot) -> Rules:
        """Every chain of kube-proxy with its rules."""
        if self._snapshot is None or _scope(snapshot) != _scope(self._snapshot):
            self._ports, self._chains, touched = {}, dict.fromkeys(FIXED, ()), set(FIXED)
            names: Iterable[ServicePortName] = snapshot.ports
        else:
            self._chains, touched = dict(self._chains), set()
            names = snapshot.different(self._snapshot)
        self._snapshot = snapshot
        for name in names:
            touched |= self._replace(name, snapshot)
        self._chains |= self._shared(touched)
        return self._chains

    def _replace(self, name: ServicePortName, snapshot: Snapshot) -> set[Chain]:
        """Take one port's rules as they are now; the shared chains in which others are to stand."""
        port = snapshot.ports.get(name)
        gone = self._ports.pop(name, ())
        new = port_rules(port, snapshot.cluster_cidr, snapshot.node_ip) if port is not None else ()
        if port is not None:
            self._ports[name] = new
        for chain in {chain for chain, _ in gone} - _SHARED:
            del self._chains[chain]
        for chain, rule in new:
            if chain not in _SHARED:
                self._chains[chain] = (*self._chains.get(chain, ()), rule)
        before, after = ([row for row in rules if row[0] in _SHARED] for rules in (gone, new))
        return {chain for chain, _ in (*before, *after)} if before != after else set()

    def _shared(self, chains: set[Chain]) -> Rules:
        """Chains in which all ports may have rules."""
        if not chains or self._snapshot is None:
            return {}
        constant = CONSTANT[self._snapshot.family]
        rules = {chain: list(constant.get(chain, ())) for chain in FIXED if chain in chains}
        for name in self._snapshot.ports:
            for chain, rule in self._ports[name]:
                if chain in chains:
                    rules[chain].append(rule)
        if SERVICES in rules:
            rules[SERVICES].append(LAST)
        return {chain: tuple(lines) for chain, lines in rules.items()}


def _scope(snapshot: Snapshot) -> tuple[str, str, int]:
    """What all ports' rules depend on."""
    return snapshot.cluster_cidr, snapshot.node_ip, snapshot.family


def chains(snapshot: Snapshot) -> Rules:
    """`Renderer.chains`, for once."""
    return Renderer().chains(snapshot)


def port_rules(port: ServicePort, cluster_cidr: str, node_ip: str) -> PortRules:
    """What one service port contributes."""
    usable = usable_endpoints(port)
    return (*_portals(port, usable), *_distribution(port, usable, cluster_cidr, node_ip))


def _portals(port: ServicePort, usable: UsableEndpoints) -> Iterable[tuple[Chain, str]]:
    """The rules of the shared chains: where a port's addresses are recognised, or refused."""
    names = port_chains(port)
    internal, external = names.cluster, names.external
    has_internal = has_external = usable.anywhere
    if port.internal_local:
        internal, has_internal = names.local, bool(usable.local)
    if port.external_local:
        has_external = bool(usable.local)
    refused = f'-m comment --comment "{port.name} has no endpoints"', "REJECT"
    if usable.anywhere:
        refused = f'-m comment --comment "{port.name} has no local endpoints"', "DROP"

    to_cluster_ip = _to(port, port.cluster_ip, port.port)
    if has_internal:
        yield SERVICES, f"{_comment(f'{port.name} cluster IP')} {to_cluster_ip} -j {internal.name}"
    else:
        yield FILTER_SERVICES, f"{refused[0]} {to_cluster_ip} -j {refused[1]}"
    for address in port.external_ips:
        to_address = _to(port, address, port.port)
        if usable.anywhere:
            yield SERVICES, f"{_comment(f'{port.name} external IP')} {to_address} -j {external.name}"
        if not has_external:
            yield FILTER_EXTERNAL, f"{refused[0]} {to_address} -j {refused[1]}"
    for address in port.load_balancer_ips:
        to_address = _to(port, address, port.port)
        if usable.anywhere:
            entrance = names.firewall if port.firewalled else external
            yield SERVICES, f"{_comment(f'{port.name} loadbalancer IP')} {to_address} -j {entrance.name}"
            if port.firewalled:
                comment = _comment(f"{port.name} traffic not accepted by {names.firewall.name}")
                yield FILTER_PROXY_FIREWALL, f"{comment} {to_address} -j DROP"
        if not has_external:
            yield FILTER_EXTERNAL, f"{refused[0]} {to_address} -j {refused[1]}"
    if port.health_check_port:
        comment = _comment(f"{port.name} health check node port")
        yield FILTER_NODEPORTS, f"{comment} -m tcp -p tcp --dport {port.health_check_port} -j ACCEPT"
    if port.node_port:
        to_node_port = _to(port, "", port.node_port)
        if usable.anywhere:
            yield NODEPORTS, f"{_comment(str(port.name))} {to_node_port} -j {external.name}"
        if not has_external:
            yield FILTER_EXTERNAL, f"{refused[0]} -m addrtype --dst-type LOCAL {to_node_port} -j {refused[1]}"


def _distribution(
    port: ServicePort, usable: UsableEndpoints, cluster_cidr: str, node_ip: str
) -> Iterable[tuple[Chain, str]]:
    """The rules of a port's own chains: what to masquerade, and which endpoint to take."""
    if not usable.anywhere:
        return
    names = port_chains(port)
    internal = names.local if port.internal_local else names.cluster
    if cluster_cidr and (usable.local if port.internal_local else usable.cluster):
        # what comes from outside of the cluster may be sent to another machine, whose pod would answer directly
        to_cluster_ip = _to(port, port.cluster_ip, port.port)
        comment = _comment(f"{port.name} cluster IP")
        yield internal, f"{comment} {to_cluster_ip} ! -s {cluster_cidr} -j {MARK_MASQ.name}"
    if port.externally_accessible:
        for rule in _external(port, usable, cluster_cidr):
            yield names.external, rule
    if port.firewalled:
        for rule in _firewall(port, node_ip):
            yield names.firewall, rule
    if usable.cluster:
        yield from _spread(port, names.cluster, usable.cluster)
    if usable.local:
        yield from _spread(port, names.local, usable.local)
    for endpoint in usable.reachable:
        chain = endpoint_chain(port, endpoint)
        comment = _comment(str(port.name))
        yield chain, f"{comment} -s {endpoint.ip} -j {MARK_MASQ.name}"
        remember = f" -m recent --name {chain.name} --set" if port.affinity_seconds else ""
        protocol = port.protocol.lower()
        yield chain, f"{comment}{remember} -m {protocol} -p {protocol} -j DNAT --to-destination {endpoint}"


def _external(port: ServicePort, usable: UsableEndpoints, cluster_cidr: str) -> Iterable[str]:
    """The rules of KUBE-EXT-…"""
    names = port_chains(port)
    destinations = f"{port.name} external destinations"
    if not port.external_local:
        yield f"{_comment(f'masquerade traffic for {destinations}')} -j {MARK_MASQ.name}"
        yield f"-j {names.cluster.name}"
        return
    # The client's address is kept, as only this machine's pods get the connection.  What starts on this machine or in
    # a pod goes where policy Cluster sends it, as if it had gone out to a load balancer and come back.
    if cluster_cidr:
        yield f"{_comment(f'pod traffic for {destinations}')} -s {cluster_cidr} -j {names.cluster.name}"
    from_here = "-m addrtype --src-type LOCAL"
    yield f"{_comment(f'masquerade LOCAL traffic for {destinations}')} {from_here} -j {MARK_MASQ.name}"
    yield f"{_comment(f'route LOCAL traffic for {destinations}')} {from_here} -j {names.cluster.name}"
    if usable.local:
        yield f"-j {names.local.name}"


def _firewall(port: ServicePort, node_ip: str) -> Iterable[str]:
    """The rules of KUBE-FW-…"""
    names = port_chains(port)
    comment = _comment(f"{port.name} loadbalancer IP")
    for source in port.source_ranges:
        yield f"{comment} -s {source} -j {names.external.name}"
    if any(ip_address(node_ip) in ip_network(source, strict=False) for source in port.source_ranges if node_ip):
        # where the machine holds the balancer's address itself, its own packets have that as source
        for address in port.load_balancer_ips:
            yield f"{comment} -s {address} -j {names.external.name}"
    yield _comment(f"other traffic to {port.name} will be dropped by KUBE-PROXY-FIREWALL")


def _spread(port: ServicePort, chain: Chain, endpoints: Endpoints) -> Iterable[tuple[Chain, str]]:
    """Each endpoint with the same chance: 1/n for the first, 1/(n-1) of the rest for the second, … all for the last.

    With session affinity, the endpoint that this client had within the last ``affinity_seconds`` comes first.
    """
    count = len(endpoints)
    steps = [(_comment(f"{port.name} -> {endpoint}"), endpoint_chain(port, endpoint).name) for endpoint in endpoints]
    if port.affinity_seconds:
        for comment, target in steps:
            again = f"-m recent --name {target} --rcheck --seconds {port.affinity_seconds} --reap"
            yield chain, f"{comment} {again} -j {target}"
    for place, (comment, target) in enumerate(steps):
        if place < count - 1:
            comment += f" -m statistic --mode random --probability {1 / (count - place):.10f}"
        yield chain, f"{comment} -j {target}"


def _comment(text: str) -> str:
    quoted = f'"{text}"' if " " in text else text
    return f"-m comment --comment {quoted}"


def _to(port: ServicePort, address: str, number: int) -> str:
    protocol = port.protocol.lower()
    destination = f"-d {address} " if address else ""
    return f"-m {protocol} -p {protocol} {destination}--dport {number}"


def text(rules: Rules, deleted: Iterable[Chain] = (), jumps: Iterable[Jump] = (), stale: Iterable[Jump] = ()) -> str:
    """What ``iptables-restore --noflush`` takes: one transaction per table; "" where there is nothing to do.

    Each chain of ``rules`` is emptied and filled; ``jumps`` are put on top of their chains; ``stale`` jumps and
    ``deleted`` chains go.
    """
    head: dict[str, list[str]] = defaultdict(list)
    body: dict[str, list[str]] = defaultdict(list)
    for chain, lines in rules.items():
        head[chain.table].append(f":{chain.name} - [0:0]")
        body[chain.table] += [f"-A {chain.name} {line}" for line in lines]
    for jump in jumps:
        body[jump.table].append(f"-I {jump.source} {jump.rule}")
    for jump in stale:
        body[jump.table].append(f"-D {jump.source} {jump.rule}")
    for chain in deleted:
        head[chain.table].append(f":{chain.name} - [0:0]")
        body[chain.table].append(f"-X {chain.name}")
    tables = [
        "\n".join([f"*{table}", *head[table], *body[table], "COMMIT"]) + "\n"
        for table in (FILTER, NAT)
        if head[table] or body[table]
    ]
    return "".join(tables)


def render(snapshot: Snapshot) -> str:
    """All of a snapshot's rules as one text, as for a machine where none of them are yet."""
    return text(chains(snapshot), jumps=JUMPS)
