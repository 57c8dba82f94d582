"""The fixed iptables rules around the virtual servers.  Pure.

They are the same however many Services there are; a set that is empty has no rule.  Only the filter KUBE-NODE-PORT and
KUBE-IPVS-FILTER name theirs always.
"""

from collections import defaultdict

from knet.proxy.chains import (
    FILTER_FORWARD,
    FILTER_PROXY_FIREWALL,
    FORWARDING,
    IPVS_CHAINS,
    IPVS_FILTER,
    LOAD_BALANCER_CHAIN,
    MARK_MASQ,
    MASQUERADING,
    NODE_PORT_CHAIN,
    NODE_PORT_FILTER,
    POSTROUTING,
    SERVICES,
    SOURCE_RANGES,
    Chain,
    Rules,
)
from knet.proxy.ipvs import sets
from knet.proxy.ipvs.sets import SETS, Contents, kernel_name

#: set, chain, what becomes of a packet in the set, the protocol where the set does not say; in this order
_BY_SET: tuple[tuple[str, Chain, str, str], ...] = (
    (sets.LOOP_BACK, POSTROUTING, "MASQUERADE", ""),
    (sets.LOAD_BALANCER, SERVICES, LOAD_BALANCER_CHAIN.name, ""),
    (sets.LOAD_BALANCER_LOCAL, LOAD_BALANCER_CHAIN, "RETURN", ""),
    *(
        row
        for protocol in ("TCP", "UDP", "SCTP")
        for row in (
            (sets.NODE_PORT_LOCAL[protocol], NODE_PORT_CHAIN, "RETURN", protocol.lower()),
            (sets.NODE_PORT[protocol], NODE_PORT_CHAIN, MARK_MASQ.name, protocol.lower()),
        )
    ),
    (sets.LOAD_BALANCER_FW, FILTER_PROXY_FIREWALL, SOURCE_RANGES.name, ""),
    (sets.SOURCE_CIDR, SOURCE_RANGES, "RETURN", ""),
    (sets.SOURCE_IP, SOURCE_RANGES, "RETURN", ""),
)


def rules(contents: Contents, cluster_cidr: str, family: int) -> Rules:
    """Every chain of this mode with its rules."""
    found: dict[Chain, list[str]] = defaultdict(list)

    def match(name: str, parts: str = "") -> str:
        return f"-m set --match-set {kernel_name(name, family)} {parts or SETS[name].match}"

    def commented(name: str, parts: str = "") -> str:
        return f'-m comment --comment "{SETS[name].comment}" {match(name, parts)}'

    found[SERVICES].append(f"-s {'127.0.0.0/8' if family == 4 else '::1/128'} -j RETURN")
    for name, chain, target, protocol in _BY_SET:
        if contents[name]:
            found[chain].append((f"-p {protocol} " if protocol else "") + f"{commented(name)} -j {target}")
    if contents[sets.CLUSTER_IP]:
        # without a cluster range: at least what starts here, which takes the Service's address as its own
        foreign = f"{commented(sets.CLUSTER_IP)} ! -s {cluster_cidr}"
        who = foreign if cluster_cidr else commented(sets.CLUSTER_IP, "src,dst")
        found[SERVICES].append(f"{who} -j {MARK_MASQ.name}")
    for name, marked in ((sets.EXTERNAL_IP, True), (sets.EXTERNAL_IP_LOCAL, False)):
        if contents[name]:
            if marked:
                found[SERVICES].append(f"{commented(name)} -j {MARK_MASQ.name}")
            outside = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"
            found[SERVICES].append(f"{commented(name)} {outside} -j ACCEPT")
            found[SERVICES].append(f"{commented(name)} -m addrtype --dst-type LOCAL -j ACCEPT")
    found[SERVICES].append(f"-m addrtype --dst-type LOCAL -j {NODE_PORT_CHAIN.name}")
    found[LOAD_BALANCER_CHAIN].append(f"-j {MARK_MASQ.name}")
    found[SOURCE_RANGES].append("-j DROP")
    for name in (sets.CLUSTER_IP, sets.LOAD_BALANCER):
        if contents[name]:
            found[SERVICES].append(f"{match(name)} -j ACCEPT")
    found[NODE_PORT_FILTER].append(f"{commented(sets.HEALTH_CHECK)} -j ACCEPT")
    # a VIP is this machine's own address by now: what listens on all addresses here must not be found there
    for name in (sets.LOAD_BALANCER, sets.CLUSTER_IP, sets.EXTERNAL_IP, sets.EXTERNAL_IP_LOCAL, sets.HEALTH_CHECK):
        found[IPVS_FILTER].append(f"{match(name)} -j RETURN")
    found[IPVS_FILTER].append(f"-m conntrack --ctstate NEW {match(sets.IPVS_IPS)} -j REJECT")
    found[FILTER_FORWARD] += FORWARDING
    for chain, lines in MASQUERADING.items():
        found[chain] += lines
    return {chain: tuple(found[chain]) for chain in IPVS_CHAINS}
