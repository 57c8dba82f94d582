"""The frame that upstream's rules stand in: tables, chains and their names, the jumps, the rules that never change.

Pure.  Upstream: pkg/proxy/iptables/proxier.go.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

FILTER, NAT = "filter", "nat"
#: --iptables-masquerade-bit 14
MARK = "0x4000"


class Chain(NamedTuple):
    """A chain of a table."""

    table: str
    name: str


#: rules by chain: what follows ``-A NAME`` on each line; tables and chains in the order in which they are written
Rules = Mapping[Chain, tuple[str, ...]]

SERVICES = Chain(NAT, "KUBE-SERVICES")
NODEPORTS = Chain(NAT, "KUBE-NODEPORTS")
POSTROUTING = Chain(NAT, "KUBE-POSTROUTING")
MARK_MASQ = Chain(NAT, "KUBE-MARK-MASQ")
FILTER_SERVICES = Chain(FILTER, "KUBE-SERVICES")
FILTER_EXTERNAL = Chain(FILTER, "KUBE-EXTERNAL-SERVICES")
FILTER_FORWARD = Chain(FILTER, "KUBE-FORWARD")
FILTER_NODEPORTS = Chain(FILTER, "KUBE-NODEPORTS")
FILTER_PROXY_FIREWALL = Chain(FILTER, "KUBE-PROXY-FIREWALL")
FILTER_FIREWALL = Chain(FILTER, "KUBE-FIREWALL")

FIXED = (
    FILTER_SERVICES,
    FILTER_EXTERNAL,
    FILTER_FORWARD,
    FILTER_NODEPORTS,
    FILTER_PROXY_FIREWALL,
    FILTER_FIREWALL,
    SERVICES,
    NODEPORTS,
    POSTROUTING,
    MARK_MASQ,
)

NODE_PORT_CHAIN = Chain(NAT, "KUBE-NODE-PORT")
LOAD_BALANCER_CHAIN = Chain(NAT, "KUBE-LOAD-BALANCER")
NODE_PORT_FILTER = Chain(FILTER, "KUBE-NODE-PORT")
SOURCE_RANGES = Chain(FILTER, "KUBE-SOURCE-RANGES-FIREWALL")
IPVS_FILTER = Chain(FILTER, "KUBE-IPVS-FILTER")

#: those of the mode ipvs, some of which bear the names of the mode iptables
IPVS_CHAINS = (
    FILTER_FORWARD,
    NODE_PORT_FILTER,
    FILTER_PROXY_FIREWALL,
    SOURCE_RANGES,
    IPVS_FILTER,
    SERVICES,
    POSTROUTING,
    NODE_PORT_CHAIN,
    LOAD_BALANCER_CHAIN,
    MARK_MASQ,
)
_PREFIXES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-FW-", "KUBE-EXT-")


def is_ours(chain: Chain) -> bool:
    """Whether kube-proxy made this chain, by its name: nothing else is ever touched."""
    return chain in _KNOWN or (chain.table == NAT and chain.name.startswith(_PREFIXES))


_KNOWN = frozenset((*FIXED, *IPVS_CHAINS))


class Jump(NamedTuple):
    """A rule at the top of a built-in chain that leads into one of ours."""

    table: str
    source: str
    match: str
    target: str

    @property
    def rule(self) -> str:
        return f"{self.match} -j {self.target}".strip()

    @property
    def comment(self) -> str:
        return self.match.partition('--comment "')[2].rstrip('"')


_NEW = "-m conntrack --ctstate NEW "
_PORTALS = '-m comment --comment "kubernetes service portals"'
_EXTERNAL = f'{_NEW}-m comment --comment "kubernetes externally-visible service portals"'
_LOAD_BALANCER = f'{_NEW}-m comment --comment "kubernetes load balancer firewall"'

#: in the order in which they are put on top, each above the one before it
JUMPS = (
    Jump(FILTER, "INPUT", _EXTERNAL, "KUBE-EXTERNAL-SERVICES"),
    Jump(FILTER, "FORWARD", _EXTERNAL, "KUBE-EXTERNAL-SERVICES"),
    Jump(FILTER, "INPUT", '-m comment --comment "kubernetes health check service ports"', "KUBE-NODEPORTS"),
    Jump(FILTER, "FORWARD", _NEW + _PORTALS, "KUBE-SERVICES"),
    Jump(FILTER, "OUTPUT", _NEW + _PORTALS, "KUBE-SERVICES"),
    Jump(FILTER, "FORWARD", '-m comment --comment "kubernetes forwarding rules"', "KUBE-FORWARD"),
    Jump(FILTER, "INPUT", _LOAD_BALANCER, "KUBE-PROXY-FIREWALL"),
    Jump(FILTER, "OUTPUT", _LOAD_BALANCER, "KUBE-PROXY-FIREWALL"),
    Jump(FILTER, "FORWARD", _LOAD_BALANCER, "KUBE-PROXY-FIREWALL"),
    Jump(NAT, "OUTPUT", _PORTALS, "KUBE-SERVICES"),
    Jump(NAT, "PREROUTING", _PORTALS, "KUBE-SERVICES"),
    Jump(NAT, "POSTROUTING", '-m comment --comment "kubernetes postrouting rules"', "KUBE-POSTROUTING"),
    Jump(FILTER, "INPUT", "", "KUBE-FIREWALL"),
    Jump(FILTER, "OUTPUT", "", "KUBE-FIREWALL"),
)
_FIREWALL = '-m comment --comment "kube-proxy firewall rules"'
#: … of the mode ipvs
IPVS_JUMPS = (
    Jump(NAT, "OUTPUT", _PORTALS, "KUBE-SERVICES"),
    Jump(NAT, "PREROUTING", _PORTALS, "KUBE-SERVICES"),
    Jump(NAT, "POSTROUTING", '-m comment --comment "kubernetes postrouting rules"', "KUBE-POSTROUTING"),
    Jump(FILTER, "FORWARD", '-m comment --comment "kubernetes forwarding rules"', "KUBE-FORWARD"),
    Jump(FILTER, "INPUT", '-m comment --comment "kubernetes health check rules"', "KUBE-NODE-PORT"),
    Jump(FILTER, "INPUT", _FIREWALL, "KUBE-PROXY-FIREWALL"),
    Jump(FILTER, "FORWARD", _FIREWALL, "KUBE-PROXY-FIREWALL"),
    Jump(FILTER, "INPUT", '-m comment --comment "kubernetes ipvs access filter"', "KUBE-IPVS-FILTER"),
)

#: what was marked, and the answers to it, pass even where FORWARD drops
FORWARDING = (
    f'-m comment --comment "kubernetes forwarding rules" -m mark --mark {MARK}/{MARK} -j ACCEPT',
    '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
)
MASQUERADING: Rules = {
    POSTROUTING: (
        f"-m mark ! --mark {MARK}/{MARK} -j RETURN",
        # cleared, so that the packet is not masqueraded again should it pass here inside a tunnel
        f"-j MARK --xor-mark {MARK}",
        '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ),
    MARK_MASQ: (f"-j MARK --or-mark {MARK}",),
}
#: a packet out of its connection's window would reach the client untranslated, which then resets (#74839)
_IN_WINDOW = "-m conntrack --ctstate INVALID -j DROP"
#: route_localnet, which node ports on 127.0.0.1 need, would let neighbours reach loopback services (#90259)
_NO_MARTIANS = (
    '-m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 '
    "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
)
#: the rules that are there whatever the Services are, by address family; IPv6 knows no route_localnet
CONSTANT: Mapping[int, Rules] = {
    4: {FILTER_FORWARD: (_IN_WINDOW, *FORWARDING), **MASQUERADING, FILTER_FIREWALL: (_NO_MARTIANS,)},
    6: {FILTER_FORWARD: (_IN_WINDOW, *FORWARDING), **MASQUERADING},
}

#: the end of nat KUBE-SERVICES
LAST = (
    '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" '
    "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
)


def chain_name(prefix: str, *parts: str) -> str:
    """``KUBE-SVC-`` and 16 characters that stand for ``parts``: the same as upstream's for the same Service."""
    digest = hashlib.sha256("".join(parts).encode()).digest()
    return prefix + base64.b32encode(digest)[:16].decode()
