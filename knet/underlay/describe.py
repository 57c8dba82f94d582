"""From a Mininet ``Topo`` to a `Plan`: what each option means, and what has no meaning.

Hosts take Mininet's ``ip`` and ``defaultRoute`` ("via 172.18.1.1"), and knet's ``role``, ``labels``, ``cpu``,
``memory`` and ``routes``; Mininet ignores those.  Switches take ``prio``; links what `knet.underlay.impairment` knows,
``mtu``, ``up`` (False: cut from the start), ``intfName1``/``intfName2``, and ``params1``/``params2`` for one end alone:
``ip`` for a machine's further interfaces (as in Mininet's linuxrouter example), or an impairment of what it sends.

Pure, and content with every ``Topo``; one that came from `knet.underlay.topology.load` knows its line numbers.
Whether the result makes sense as a whole is for `knet.underlay.validate` to say.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import islice
from typing import Any

from knet.kernel.qdiscs import Impairment
from knet.underlay import impairment
from knet.underlay.plan import (
    DEFAULT_MTU,
    EXTERNAL,
    ROLES,
    Interface,
    LinkSpec,
    MachineSpec,
    Plan,
    Port,
    SwitchSpec,
    TopologyError,
)

_HOST_OPTIONS = ("role", "ip", "defaultRoute", "routes", "labels", "cpu", "memory")
_SWITCH_OPTIONS = ("prio",)
_END_OPTIONS = ("ip", *impairment.OPTIONS)
_LINK_OPTIONS = (*impairment.OPTIONS, "mtu", "up", "intfName1", "intfName2", "params1", "params2")
#: what addLink itself notes in a link's options
_LINK_BOOKKEEPING = ("node1", "node2", "port1", "port2")

#: machines that are given no address get one from here, as Mininet gives them one from 10.0.0.0/8
_DEFAULT_NETWORK = IPv4Network("172.18.0.0/16")


def describe(topo: Any, name: str = "") -> Plan:
    """The plan of ``topo``; `TopologyError` for an option that does not exist or a value that cannot be read."""
    declarations = getattr(topo, "declarations", None)
    name = name or (declarations.name if declarations else type(topo).__name__)
    fallback = declarations.file if declarations else name
    node_lines: Mapping[str, str] = declarations.nodes if declarations else {}
    link_lines: Mapping[tuple[str, str, int], str] = declarations.links if declarations else {}

    ends: dict[str, dict[int, tuple[str, str]]] = {}  # node → port → (interface, address given with the link)
    declared = {key: place for place, key in enumerate(link_lines)}
    links: dict[int, LinkSpec] = {}
    for node1, node2, key, info in topo.iterLinks(withKeys=True, withInfo=True):
        where = link_lines.get((node1, node2, key), fallback)
        place = declared.get((node1, node2, key), len(links))
        links[place] = _link(info, ends, f"{where}: link {node1}–{node2}", where)

    machines, switches = [], []
    addresses = _spare_addresses(topo)
    for node, info in topo.g.nodes(data=True):
        where = node_lines.get(node, fallback)
        ports = ends.get(node, {})
        if topo.isSwitch(node):
            switches.append(_switch(node, info, where))
        else:
            machines.append(_machine(node, info, [ports[port] for port in sorted(ports)], where, addresses))
    return Plan(name, tuple(machines), tuple(switches), tuple(link for _place, link in sorted(links.items())), fallback)


def _machine(
    name: str, info: Mapping[str, Any], ends: list[tuple[str, str]], where: str, spare: Iterator[str]
) -> MachineSpec:
    subject = f"{where}: host {name}"
    _known(info, _HOST_OPTIONS, subject)
    role = info.get("role", EXTERNAL)
    if role not in ROLES:
        raise TopologyError(f"{subject}: role {role!r}: choose one of {', '.join(ROLES)}")
    own = info.get("ip") or next(spare)
    interfaces = tuple(
        Interface(interface, _address(given or (own if place == 0 else ""), interface, subject))
        for place, (interface, given) in enumerate(ends)
    )
    return MachineSpec(
        name=name,
        role=role,
        interfaces=interfaces,
        gateway=_gateway(info.get("defaultRoute"), subject),
        routes=tuple(_route(to, via, subject) for to, via in dict(info.get("routes", {})).items()),
        labels={str(key): str(value) for key, value in dict(info.get("labels", {})).items()},
        cpu=str(info.get("cpu", MachineSpec.cpu)),
        memory=str(info.get("memory", MachineSpec.memory)),
        where=where,
    )


def _switch(name: str, info: Mapping[str, Any], where: str) -> SwitchSpec:
    subject = f"{where}: switch {name}"
    _known({key: value for key, value in info.items() if key != "isSwitch"}, _SWITCH_OPTIONS, subject)
    priority = info.get("prio", SwitchSpec.priority)
    if not isinstance(priority, int):
        raise TopologyError(f"{subject}: prio={priority!r} is no number")
    return SwitchSpec(name, priority, where)


def _link(info: Mapping[str, Any], ends: dict[str, dict[int, tuple[str, str]]], subject: str, where: str) -> LinkSpec:
    """The link, whose two interfaces are noted in ``ends`` on the way."""
    options = {key: value for key, value in info.items() if key not in _LINK_BOOKKEEPING}
    _known(options, _LINK_OPTIONS, subject)
    ports, impairments = [], []
    for number in ("1", "2"):
        node, port = info["node" + number], info["port" + number]
        own = dict(options.get("params" + number) or {})
        _known(own, _END_OPTIONS, f"{subject}: params{number}")
        interface = options.get("intfName" + number) or f"{node}-eth{port}"
        ends.setdefault(node, {})[port] = (interface, str(own.get("ip", "")))
        ports.append(Port(node, interface))
        impairments.append(_impairment({**options, **own}, subject))
    mtu = options.get("mtu", DEFAULT_MTU)
    if not isinstance(mtu, int) or not 576 <= mtu <= 65535:
        raise TopologyError(f"{subject}: mtu={mtu!r} is no number of bytes from 576 to 65535")
    up = options.get("up", True)
    if not isinstance(up, bool):
        raise TopologyError(f"{subject}: up={up!r} is neither True nor False")
    return LinkSpec((ports[0], ports[1]), (impairments[0], impairments[1]), mtu, up, where)


def _impairment(options: Mapping[str, Any], subject: str) -> Impairment:
    try:
        return impairment.changed(impairment.NONE, {key: options.get(key) for key in impairment.OPTIONS})
    except ValueError as error:
        raise TopologyError(f"{subject}: {error}") from None


def _known(options: Mapping[str, Any], known: tuple[str, ...], subject: str) -> None:
    """A misspelt option must not go unnoticed, as it does in Mininet."""
    for option in options:
        if option not in known:
            raise TopologyError(f"{subject}: unknown option {option}; there are {', '.join(known)}")


def _address(text: str, interface: str, subject: str) -> IPv4Interface:
    if not text:
        raise TopologyError(f"{subject}: {interface} needs an address: give the link params1 or params2 = {{'ip': …}}")
    try:
        address = IPv4Interface(text)
    except ValueError:
        raise TopologyError(f"{subject}: ip={text!r} is no IPv4 address with a prefix length") from None
    network = address.network
    if network.prefixlen < 31 and address.ip in (network.network_address, network.broadcast_address):
        raise TopologyError(f"{subject}: {text} is no host's address: it names the network, or everybody in it")
    return address


def _gateway(default_route: object, subject: str) -> str:
    """Mininet's ``defaultRoute``: what follows ``ip route add default``."""
    if default_route is None:
        return ""
    match str(default_route).split():
        case ["via", hop]:
            return _hop(hop, subject)
    raise TopologyError(f"{subject}: defaultRoute={default_route!r}: write defaultRoute='via 172.18.1.1'")


def _route(network: object, hop: object, subject: str) -> tuple[IPv4Network, str]:
    try:
        return IPv4Network(str(network)), _hop(str(hop), subject)
    except ValueError:
        raise TopologyError(f"{subject}: routes: {network!r} is no network such as 172.18.2.0/24") from None


def _hop(text: str, subject: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise TopologyError(f"{subject}: next hop {text!r} is no IPv4 address") from None


def _spare_addresses(topo: Any) -> Iterator[str]:
    """Addresses for machines that declare none: those of the default network that nobody declares."""
    taken = {str(info.get("ip", "")).partition("/")[0] for _node, info in topo.g.nodes(data=True)}
    for address in islice(_DEFAULT_NETWORK.hosts(), 1, None):
        if str(address) not in taken:
            yield f"{address}/{_DEFAULT_NETWORK.prefixlen}"
