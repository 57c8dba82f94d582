"""What one port of a Service adds to the table, as claims: elements of sets and maps, chains, and sets of its own.

A Service with session affinity gets chains of its own, as upstream's do, because each of its endpoints has a set of
the clients that it had last; all others share one chain per number of endpoints.

Pure.  Upstream: pkg/proxy/nftables/proxier.go, syncProxyRules.
"""

import base64
import hashlib
import re
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import collapse_addresses, ip_address, ip_network
from typing import Any, NamedTuple

from knet.kernel.nft_elements import comment, element, value, verdict
from knet.kernel.protocols import NUMBERS
from knet.kernel.rules import RulesError
from knet.proxy.nftables.frame import Family, container, declaration
from knet.proxy.snapshot import Endpoint, Endpoints, ServicePort, UsableEndpoints, usable_endpoints

CHAIN, SET = "chain", "set"
#: what a claim is about: the name of a container and a key in it, or CHAIN or SET and its name
Claimed = tuple[str, bytes | str]
#: what is claimed for it: an element's bytes; a chain's rules; what a set is declared as ("set { … }" or "map { … }")
Content = bytes | tuple[str, ...] | str
Claims = dict[Claimed, Content]

#: protocol and port, each padded to 4 bytes
_SERVICE = struct.Struct(">B3xH2x")
_PORT = struct.Struct(">H2x")
_MARK = "jump mark-for-masquerade"
_FROM_HERE = "fib saddr type local"
#: the longest name of a chain that leaves room for upstream's prefixes
_NAME_LENGTH = 240


class Scope(NamedTuple):
    """What all ports' rules depend on: the address family, and what else a snapshot holds (`knet.proxy.snapshot`)."""

    family: Family
    cluster_cidr: str
    node_ip: str


class _Frontend(NamedTuple):
    """One way to reach a port: an address, or any of the machine's by a node port."""

    key: bytes
    group: str
    """"service" or "nodeport": by which maps it is found"""
    external: bool


def claims(port: ServicePort, scope: Scope) -> Claims:
    """All that one service port needs in the table; RulesError for an address that is none."""
    usable = usable_endpoints(port)
    found: Claims = {}
    cluster_ip = packed(port.cluster_ip)
    found["cluster-ips", cluster_ip] = element(cluster_ip)
    remark = comment(str(port.name))
    spread = _own_chains if port.affinity_seconds else _shared_chains
    for frontend in _frontends(port, cluster_ip):
        missing = _refusal(port, usable, frontend.external)
        if usable.anywhere and not (missing and not frontend.external):
            chain = spread(port, usable, frontend, scope, found)
            found[_MAPS[frontend.group], frontend.key] = element(frontend.key, verdict(f"goto {chain}"), remark)
        if missing:
            found[_REFUSALS[frontend.group], frontend.key] = element(frontend.key, verdict(missing), remark)
    for endpoint in usable.reachable:
        if endpoint.local or not endpoint.placed:  # a pod elsewhere comes by its own machine
            pair = 2 * packed(endpoint.ip)
            found["hairpin", pair] = element(pair)
    if port.firewalled:
        _firewall(port, scope, found)
    return found


_MAPS = {"service": "service-ips", "nodeport": "service-nodeports"}
_REFUSALS = {"service": "no-endpoint-services", "nodeport": "no-endpoint-nodeports"}


def packed(address: str) -> bytes:
    """An address as the kernel has it; RulesError for one that is none."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except OSError:
        raise RulesError(f"{address} is no IP address") from None


def _frontends(port: ServicePort, cluster_ip: bytes) -> Iterator[_Frontend]:
    protocol = NUMBERS[port.protocol.lower()]
    number = _SERVICE.pack(protocol, port.port)
    yield _Frontend(cluster_ip + number, "service", False)
    for address in (*port.external_ips, *port.load_balancer_ips):
        yield _Frontend(packed(address) + number, "service", True)
    if port.node_port:
        yield _Frontend(_SERVICE.pack(protocol, port.node_port), "nodeport", True)


def _refusal(port: ServicePort, usable: UsableEndpoints, external: bool) -> str:
    """The verdict on who gets no endpoint; "" where everybody gets one."""
    if not usable.anywhere:
        return "goto reject-chain"
    local = port.external_local if external else port.internal_local
    return "drop" if local and not usable.local else ""


# ---- Services without session affinity: one chain for all with so many endpoints ---------------------------------


def _shared_chains(port: ServicePort, usable: UsableEndpoints, frontend: _Frontend, scope: Scope, found: Claims) -> str:
    """Put the endpoints of a frontend into the maps; the chain that takes one of them at random."""
    group, key = frontend.group, frontend.key
    everywhere, here = usable.cluster, usable.local
    if not frontend.external:
        everywhere = here if port.internal_local else everywhere
        name, build = f"{group}-{len(everywhere)}", _internal_rules
    elif port.external_local:
        name, build = f"{group}-local-{len(here)}-of-{len(everywhere)}", _local_rules
        _number(f"{group}-local-endpoints", key, here, found)
    else:
        name, build = f"{group}-external-{len(everywhere)}", _external_rules
    _number(f"{group}-endpoints", key, everywhere, found)
    found[CHAIN, name] = build(group, len(everywhere), len(here), scope)
    return name


def _number(container: str, key: bytes, endpoints: Endpoints, found: Claims) -> None:
    for place, endpoint in enumerate(endpoints):
        target = packed(endpoint.ip) + _PORT.pack(endpoint.port)
        found[f"{container}-{place}", key] = element(key, value(target))


def _internal_rules(group: str, everywhere: int, here: int, scope: Scope) -> tuple[str, ...]:
    return (*_masquerade_outsiders(scope), _any_of(f"{group}-endpoint", everywhere))


def _external_rules(group: str, everywhere: int, here: int, scope: Scope) -> tuple[str, ...]:
    return (_MARK, _any_of(f"{group}-endpoint", everywhere))


def _local_rules(group: str, everywhere: int, here: int, scope: Scope) -> tuple[str, ...]:
    last = (_any_of(f"{group}-local-endpoint", here),) if here else ()
    return (*_short_circuits(_any_of(f"{group}-endpoint", everywhere), scope), *last)


def _any_of(prefix: str, count: int) -> str:
    return _at_random([f"{prefix}-{place}" for place in range(count)])


def taking_chains(chains: Iterable[tuple[str, ...]], scope: Scope) -> Claims:
    """What the chains that are shared lead to: for each place in the list of endpoints a chain and a map."""
    found: Claims = {}
    names = {found for rules in chains for rule in rules for found in _TAKING.findall(rule)}
    for prefix, place in sorted(names, key=lambda found: (found[0], int(found[1]))):
        name = f"{prefix}-{place}"
        maps = f"{prefix}s-{place}"
        ip, address = scope.family.keyword, "" if prefix.startswith("nodeport") else f"{scope.family.keyword} daddr . "
        found[CHAIN, name] = (f"dnat {ip} to {address}meta l4proto . th dport map @{maps}",)
        found[SET, maps] = f"map {declaration(container(maps), scope.family)}"
    return found


_TAKING = re.compile(r"goto ((?:service|nodeport)-(?:local-)?endpoint)-(\d+)")


# ---- what both kinds of chains have in common ------------------------------------------------------------------------


def _at_random(chains: Sequence[str]) -> str:
    if len(chains) == 1:
        return f"goto {chains[0]}"
    targets = ", ".join(f"{place} : goto {chain}" for place, chain in enumerate(chains))
    return f"numgen random mod {len(chains)} vmap {{ {targets} }}"


def _masquerade_outsiders(scope: Scope) -> tuple[str, ...]:
    """What comes from outside of the cluster may be sent to another machine, whose pod would answer directly."""
    if not scope.cluster_cidr:
        return ()
    return (f"{scope.family.keyword} saddr != {scope.cluster_cidr} {_MARK}",)


def _short_circuits(to_all: str, scope: Scope) -> tuple[str, ...]:
    """With externalTrafficPolicy Local the client's address is kept, as only this machine's pods get the connection.
    What starts on this machine or in a pod goes where policy Cluster sends it, as if it had gone out to a load balancer
    and come back."""
    from_pods: tuple[str, ...] = ()
    if scope.cluster_cidr:
        from_pods = (f'{scope.family.keyword} saddr {scope.cluster_cidr} {to_all} comment "short-circuit pod traffic"',)
    return (
        *from_pods,
        f'{_FROM_HERE} {_MARK} comment "masquerade local traffic"',
        f'{_FROM_HERE} {to_all} comment "short-circuit local traffic"',
    )


def _firewall(port: ServicePort, scope: Scope, found: Claims) -> None:
    chain = f"firewall-{_base_name(port)}"
    ranges: list[Any] = [ip_network(text, strict=False) for text in port.source_ranges]
    if scope.node_ip and any(ip_address(scope.node_ip) in row for row in ranges):
        # a machine that may come by the balancer has the balancer's address as its own, and so as its source
        ranges += map(ip_network, port.load_balancer_ips)
    listed = ", ".join(map(str, collapse_addresses(ranges)))
    found[CHAIN, chain] = (f"{scope.family.keyword} saddr != {{ {listed} }} drop",)
    number = _SERVICE.pack(NUMBERS[port.protocol.lower()], port.port)
    for address in port.load_balancer_ips:
        key = packed(address) + number
        found["firewall-ips", key] = element(key, verdict(f"goto {chain}"), comment(str(port.name)))


# ---- Services with session affinity: upstream's chains ---------------------------------------------------------------


def _own_chains(port: ServicePort, usable: UsableEndpoints, frontend: _Frontend, scope: Scope, found: Claims) -> str:
    """The chains of one Service; the one that a frontend leads to."""
    base = _base_name(port)
    cluster, local, external = (f"{prefix}-{base}" for prefix in ("service", "local", "external"))
    policy: Callable[[bool], str] = lambda is_local: local if is_local else cluster  # noqa: E731
    for name, endpoints in ((cluster, usable.cluster), (local, usable.local)):
        if endpoints:
            is_internal = name == policy(port.internal_local)
            outsiders = _outsiders_to_cluster_ip(port, scope) if is_internal else ()
            found[CHAIN, name] = (*outsiders, *_sticky_spread(port, endpoints, scope))
    for endpoint in usable.reachable:
        _endpoint_chain(port, endpoint, scope, found)
    if not frontend.external:
        return policy(port.internal_local)
    if port.external_local:
        last = (f"goto {local}",) if usable.local else ()
        found[CHAIN, external] = (*_short_circuits(f"goto {cluster}", scope), *last)
    else:
        found[CHAIN, external] = (_MARK, f"goto {cluster}")
    return external


def _outsiders_to_cluster_ip(port: ServicePort, scope: Scope) -> tuple[str, ...]:
    """`_masquerade_outsiders`, in a chain that other frontends lead to as well."""
    at = f"{scope.family.keyword} daddr {port.cluster_ip} {port.protocol.lower()} dport {port.port}"
    return tuple(f"{at} {rule}" for rule in _masquerade_outsiders(scope))


def _sticky_spread(port: ServicePort, endpoints: Endpoints, scope: Scope) -> Iterator[str]:
    """The endpoint that this client had last, or one at random."""
    names = [_endpoint_name(port, endpoint) for endpoint in endpoints]
    for name in names:
        yield f"{scope.family.keyword} saddr @affinity-{name} goto endpoint-{name}"
    yield _at_random([f"endpoint-{name}" for name in names])


def _endpoint_chain(port: ServicePort, endpoint: Endpoint, scope: Scope, found: Claims) -> None:
    name, ip = _endpoint_name(port, endpoint), scope.family.keyword
    found[SET, f"affinity-{name}"] = f"set {{ type {scope.family.address}; flags dynamic,timeout; }}"
    found[CHAIN, f"endpoint-{name}"] = (
        f"{ip} saddr {endpoint.ip} {_MARK}",
        f"update @affinity-{name} {{ {ip} saddr timeout {port.affinity_seconds}s }}",
        f"meta l4proto {port.protocol.lower()} dnat to {endpoint}",
    )


def _base_name(port: ServicePort) -> str:
    name = port.name
    return _hashed(f"{name.namespace}/{name.service}/{port.protocol.lower()}/{name.port}")


def _endpoint_name(port: ServicePort, endpoint: Endpoint) -> str:
    name, address = port.name, endpoint.ip.replace(":", ".")
    service = f"{name.namespace}/{name.service}/{port.protocol.lower()}/{name.port}"
    return _hashed(f"{service}__{address}/{endpoint.port}")


def _hashed(name: str) -> str:
    """As upstream's: the hash tells names apart that differ in one digit, or beyond where they are cut off."""
    digest = base64.b32encode(hashlib.sha256(name.encode()).digest())[:8].decode()
    whole = f"{digest}-{name}"
    return whole if len(whole) <= _NAME_LENGTH else whole[: _NAME_LENGTH - 3] + "..."
