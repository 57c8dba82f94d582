"""The proxy modes (--proxy-mode): the ways in which a snapshot can be realised in a machine's kernel.

One row per mode, and no branch on a mode anywhere else: which one is a cluster's choice (`knet up --proxy`,
`knet proxy`), each kube-proxy is started with it, and removes what the others left (upstream's ``--cleanup``) once its
own rules are in force.  A mode's name and what it needs of the kernel is a row of `knet.cluster.config.PROXY_MODES`.
"""

from typing import NamedTuple, Protocol

from knet.proxy.applier import IptablesApplier
from knet.proxy.ipvs.applier import IpvsApplier
from knet.proxy.nftables.applier import NftablesApplier
from knet.proxy.sync import Applier


class Choices(NamedTuple):
    """What there is to choose within a mode; ``family`` is 4 or 6."""

    family: int = 4
    ipvs_scheduler: str = "rr"


class Mode(Protocol):
    """Makes an applier."""

    def __call__(self, choices: Choices = Choices()) -> Applier: ...


MODES: dict[str, Mode] = {
    "iptables": lambda choices=Choices(): IptablesApplier(choices.family),
    "ipvs": lambda choices=Choices(): IpvsApplier(choices.family, choices.ipvs_scheduler),
    "nftables": lambda choices=Choices(): NftablesApplier(choices.family),
}
#: the modes whose rules a mode writes over, so that nothing of theirs is left: these two share chains
_TAKES_OVER = {"ipvs": ("iptables",)}


def others(mode: str, choices: Choices) -> list[Applier]:
    """Those that have to remove what they left where ``mode`` is in force; in this order, as rules refer to sets."""
    return [make(choices) for name, make in MODES.items() if name not in (mode, *_TAKES_OVER.get(mode, ()))]
