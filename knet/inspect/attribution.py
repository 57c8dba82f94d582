"""Which objects are behind what a machine's kernel holds: a chain, a comment, an element, a route, an entry.  Pure.

Names that are hashes (KUBE-SVC-…, pods-…) are made again for every object of the world by the functions that the
components make them with, and looked up.  What serves all objects alike is its component's: ``Component kube-proxy``.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from knet.api.families import host_port
from knet.client.controller import Key
from knet.cni.bridge import BRIDGE
from knet.inspect import desired
from knet.inspect.predict.routes import routes
from knet.inspect.trace.hops import Cause, Passage, Rule
from knet.inspect.world import Owner, World
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.routes import Route
from knet.policy.compile import FAMILIES, chain_name, peers_set, port_set
from knet.policy.policies import Policy
from knet.proxy.iptables import endpoint_chain, port_chains
from knet.proxy.snapshot import ServicePort, ServicePortName

Causes = tuple[Cause, ...]
COMPONENT = "Component"

#: how the names of chains and sets begin that belong to no object in particular
_COMPONENTS = (
    ("KUBE-", "kube-proxy"),
    ("FLANNEL-", "flanneld"),
    ("CNI-HOSTPORT-", "kubelet"),
    *((name, "kube-network-policies") for name in ("forward-", "output-", "egress", "ingress", "drop-", "self-")),
    *((name, "kube-network-policies") for name in ("dropped-", "pods-", "port-")),
    *((name, "kube-proxy") for name in ("nat-", "service", "nodeport", "firewall-", "cluster-ips", "no-endpoint-")),
    *((name, "kube-proxy") for name in ("mark-for-", "masquerading", "reject-chain", "hairpin", "affinity-")),
)
#: of the mode nftables, with session affinity or source ranges: "endpoint-ABCDEFGH-default/web/tcp/http__10.244.2.5/80"
_OWN_CHAIN = re.compile(
    r"(?:service|local|external|firewall|endpoint|affinity)-[A-Z2-7]{8}-(?P<namespace>[^/]+)/(?P<service>[^/]+)"
    r"/(?P<protocol>\w+)/(?P<port>[^_]*)(?:__(?P<ip>[^/]+)/(?P<number>\d+))?"
)
#: in comments: "default/web:http cluster IP", "default/web:http -> 10.244.2.5:8080", "default/web-0"
_NAMED = re.compile(r"(?P<namespace>[a-z0-9][-a-z0-9.]*)/(?P<name>[a-z0-9][-a-z0-9.]*)(?::(?P<port>[-a-z0-9]+))?")
_POINTED = re.compile(r" -> \[?(?P<ip>[0-9a-f.:]+?)\]?:(?P<number>\d+)$")


class Attribution:
    """For one machine of a world; made by `attribution`.  What is unknown has no causes."""

    def __init__(self, world: World, machine: str) -> None:
        self._world = world
        self._machine = machine
        self._chains: dict[str, Causes] = {}
        self._fronts: dict[tuple[str, int, str], Causes] = {}
        self._behind: defaultdict[tuple[str, int, str], list[Cause]] = defaultdict(list)
        for family in world.settings.pod_ranges:
            for port in desired.snapshot(world, machine, family).ports.values():
                self._know_port(port)
        self._know_policies()

    def chain(self, name: str) -> Causes:
        """Of a chain, a set or a map, whichever table it is in."""
        if found := self._chains.get(name):
            return found
        if parts := _OWN_CHAIN.fullmatch(name):
            of = service_cause(parts["namespace"], parts["service"], parts["port"])
            if parts["ip"]:
                return of, *self._endpoint(of, parts["ip"].replace("..", "::"), int(parts["number"]))
            return (of,)
        owner = next((component for prefix, component in _COMPONENTS if name.startswith(prefix)), "")
        return (Cause(COMPONENT, f"{owner}@{self._machine}"),) if owner else ()

    def comment(self, text: str) -> Causes:
        """Of what a rule or an element is commented with."""
        for parts in _NAMED.finditer(text):
            key = Key(parts["namespace"], parts["name"])
            if key in self._world.services:
                of = service_cause(*key, parts["port"] or "")
                pointed = _POINTED.search(text)
                return of, *(self._endpoint(of, pointed["ip"], int(pointed["number"])) if pointed else ())
            if key in self._world.pods:
                return (Cause("Pod", key.name, key.namespace),)
        return ()

    def rule(self, chain: str, rule: Rule) -> Causes:
        """Of a rule: what its comment names, else whose chain it is in or leads to."""
        named = self.comment(rule.comment)
        if named:
            return named
        target = re.search(r"(?:-[jg]|jump|goto) (\S+)", rule.text)
        return self._objects(self.chain(target[1])) if target else self.chain(chain)

    def passage(self, passage: Passage) -> Causes:
        """Of a chain that a packet passed: of the rules that matched there, or where they say nothing, its own."""
        found = [cause for row in passage.rules for cause in self.rule(passage.chain, row)]
        return tuple(dict.fromkeys(found)) or self.chain(passage.chain)

    def service(self, address: str, port: int, protocol: str) -> Causes:
        """Of an address and port that a Service is reached at; of a node port the address is ""."""
        return self._fronts.get((address, port, protocol.lower()), ())

    def endpoint(self, address: str, port: int, protocol: str) -> Causes:
        """Of one that a Service leads to: Service and EndpointSlice, of every Service that does."""
        return tuple(self._behind.get((address, port, protocol.lower()), ()))

    def behind(self, name: ServicePortName, address: str, port: int) -> Causes:
        """Of an endpoint of one port of a Service: that, and the EndpointSlice."""
        of = port_cause(name)
        return of, *self._endpoint(of, address, port)

    def address(self, address: str) -> Causes:
        """Of whom an address is."""
        owner = self._world.owners.get(address)
        return (_owned(owner),) if owner else ()

    def route(self, route: Route) -> Causes:
        """Of one of the machine's own routes."""
        return self._world.once(("route causes", self._machine), self._route_causes).get(route.destination, ())

    def neighbour(self, entry: Neighbour) -> Causes:
        """Of an entry of the machine's: a pod, the far end of the tunnel, a machine."""
        return self._tunnelled(entry.mac) if "flannel" in entry.interface else self.address(entry.address)

    def fdb(self, entry: FdbEntry) -> Causes:
        """Of a forwarding entry, of the tunnel or of cni0."""
        return self._tunnelled(entry.mac) if entry.destination else self.interface(entry.interface)

    def interface(self, name: str) -> Causes:
        """Of an interface of the machine."""
        if pod := self._world.pod_behind.get((self._machine, name)):
            return (Cause("Pod", pod.name, pod.namespace),)
        if name == BRIDGE or name.startswith("flannel"):
            return (Cause("Node", self._machine, detail="podCIDR"),)
        if link := self._world.topology.link_at.get(name):
            return (Cause("Link", link.name),)
        return ()

    def _tunnelled(self, mac: str) -> Causes:
        for family in self._world.settings.pod_ranges:
            for lease in desired.leases(self._world, family).values():
                if lease.vtep and lease.vtep.VtepMAC == mac:
                    return (Cause("Node", lease.node, detail="flannel annotations"),)
        return ()

    def _route_causes(self) -> dict[str, Causes]:
        families = self._world.settings.pod_ranges
        rows = [row for family in families for row in routes(self._world, self._machine, family)]
        return {row.route.destination: (row.cause,) for row in rows}

    def _endpoint(self, of: Cause, ip: str, number: int) -> Iterator[Cause]:
        """The slice of a Service that has the endpoint."""
        for row in self._world.slices_of.get(Key(of.namespace, of.name), ()):
            if any(ip in entry.addresses for entry in row.endpoints):
                yield Cause("EndpointSlice", row.name, row.namespace, f"endpoint {host_port(ip, number)}")
                return

    @staticmethod
    def _objects(causes: Causes) -> Causes:
        return tuple(cause for cause in causes if cause.kind != COMPONENT) or causes

    def _know_port(self, port: ServicePort) -> None:
        of, protocol = port_cause(port.name), port.protocol.lower()
        for chain in port_chains(port):
            self._chains[chain.name] = (of,)
        for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
            self._fronts[address, port.port, protocol] = (of,)
        if port.node_port:
            self._fronts["", port.node_port, protocol] = (of._replace(detail=f"{of.detail} nodePort".strip()),)
        for row in port.endpoints:
            causes = of, *self._endpoint(of, row.ip, row.port)
            self._chains[endpoint_chain(port, row).name] = causes
            known = self._behind[row.ip, row.port, protocol]
            known += [cause for cause in causes if cause not in known]

    def _know_policies(self) -> None:
        found: defaultdict[str, list[Cause]] = defaultdict(list)
        for policy in desired.meanings(self._world).values():
            cause = Cause("NetworkPolicy", policy.name, policy.namespace)
            for name in _names(policy):
                found[name].append(cause)
        for chain, rules in desired.isolation(self._world, self._machine).chains.items():
            for rule in rules:
                found[chain] += found.get(rule.removeprefix("jump "), ()) if "-of-" in chain else ()
        self._chains |= {name: tuple(dict.fromkeys(causes)) for name, causes in found.items() if causes}


def _names(policy: Policy) -> Iterator[str]:
    """The chains and sets that are there because of a policy."""
    for direction, rules in policy.rules.items():
        yield chain_name(direction, policy)
        for rule in rules:
            for family in FAMILIES:
                yield from (peers_set(selection, family) for selection in rule.selections or ())
                yield from (port_set(port, family) for port in (rule.ports.named if rule.ports else ()))


def port_cause(name: ServicePortName) -> Cause:
    return service_cause(name.namespace, name.service, name.port)


def service_cause(namespace: str, name: str, port: str = "") -> Cause:
    """``Service default/web port http``"""
    return Cause("Service", name, namespace, f"port {port}" if port else "")


def _owned(owner: Owner) -> Cause:
    kinds = {"pod": "Pod", "service": "Service", "node": "Node", "machine": "Topology"}
    return Cause(kinds[owner.kind], owner.name, owner.namespace)


def attribution(world: World, machine: str) -> Attribution:
    """For what the kernel of a machine holds."""
    return world.once(("attribution", machine), lambda: Attribution(world, machine))
