"""flanneld's packet filter rules: pods leave the cluster under their node's address, and may be forwarded.

Inside the cluster a pod is seen by its own address, that is the model.  Outside nobody has a route to it, so on the way
out the node puts its own address there (and a node that calls a remote pod is seen as the tunnel's end, to which the
pod's node has a route).  Chains, order and comments are upstream's (pkg/trafficmngr/iptables/iptables.go).
"""

import logging
from dataclasses import dataclass

from knet.api.families import IPV4, IPV6, family_of
from knet.kernel import rules

log = logging.getLogger(__name__)

#: packets that kube-proxy is going to masquerade itself; twice would confuse some kernels
KUBE_PROXY_MARK = "0x4000/0x4000"
MULTICAST = {IPV4: "224.0.0.0/4", IPV6: "ff00::/8"}
#: for people, and for `knet.kernel.rules`
PROGRAMS = {IPV4: ("iptables", 4), IPV6: ("ip6tables", 6)}


@dataclass(frozen=True)
class Chain:
    """A chain of ours, and where the kernel's own chain jumps to it."""

    table: str
    hook: str
    name: str
    jump: str
    rules: tuple[str, ...]
    family: str = IPV4

    def text(self, jump_missing: bool) -> str:
        """For iptables-restore --noflush: the chain anew, and the jump if it is not there."""
        lines = [f"*{self.table}", f":{self.name} - [0:0]", *([self.jump] if jump_missing else []), *self.rules]
        return "\n".join([*lines, "COMMIT", ""])


def chains(network: str, subnet: str, masquerade: bool = True) -> tuple[Chain, ...]:
    """The chains for a node that holds ``subnet`` of the cluster's ``network``."""
    family = family_of(network)
    forward = '-m comment --comment "flanneld forward"'
    filter_chain = Chain(
        table="filter",
        hook="FORWARD",
        name="FLANNEL-FWD",
        jump=f"-A FORWARD {forward} -j FLANNEL-FWD",
        rules=(
            f"-A FLANNEL-FWD -s {network} {forward} -j ACCEPT",
            f"-A FLANNEL-FWD -d {network} {forward} -j ACCEPT",
        ),
        family=family,
    )
    if not masquerade:
        return (filter_chain,)
    chain, masq = "-A FLANNEL-POSTRTG", '-m comment --comment "flanneld masq"'
    nat_chain = Chain(
        table="nat",
        hook="POSTROUTING",
        name="FLANNEL-POSTRTG",
        jump=f"-A POSTROUTING {masq} -j FLANNEL-POSTRTG",
        rules=(
            f"{chain} -m mark --mark {KUBE_PROXY_MARK} {masq} -j RETURN",
            # from pod to pod: as they are
            f"{chain} -s {subnet} -d {network} {masq} -j RETURN",
            f"{chain} -s {network} -d {subnet} {masq} -j RETURN",
            # from outside to a pod of this node (a NodePort with its client's address): as it is
            f"{chain} ! -s {network} -d {subnet} {masq} -j RETURN",
            # from pod to the world, unless it is multicast
            f"{chain} -s {network} ! -d {MULTICAST[family]} {masq} -j MASQUERADE --random-fully",
            # from this node to a remote pod
            f"{chain} ! -s {network} -d {network} {masq} -j MASQUERADE --random-fully",
        ),
        family=family,
    )
    return nat_chain, filter_chain


async def ensure(wanted: tuple[Chain, ...]) -> bool:
    """Put the chains in force where they are not, and say what was amiss; True where anything was."""
    changed = False
    for chain in wanted:
        program, version = PROGRAMS[chain.family]
        saved = await rules.save_async(chain.table, family=version)
        present = rules.rule_lines(saved, chain.name)
        jump_missing = chain.jump not in (rules.rule_lines(saved, chain.hook) or [])
        if present == list(chain.rules) and not jump_missing:
            continue
        await rules.restore_async(chain.text(jump_missing), family=version)
        if present is None:
            log.info("%s %s: chain %s created", program, chain.table, chain.name)
        elif jump_missing:
            log.warning("%s %s: the jump from %s to %s was missing", program, chain.table, chain.hook, chain.name)
        else:
            log.warning("%s %s: chain %s differed and was set anew", program, chain.table, chain.name)
        changed = True
    return changed
