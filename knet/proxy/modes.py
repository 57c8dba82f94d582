"""The proxy modes (--proxy-mode): the ways in which a snapshot can be realised in a machine's kernel.

One row per mode, and no branch on a mode anywhere else: which one is a cluster's choice (`knet up --proxy`,
`knet proxy`), each kube-proxy is started with it, and removes what the others left (upstream's ``--cleanup``) once its
own rules are in force.  A mode's name and what it needs of the kernel is a row of `knet.cluster.config.PROXY_MODES`.
"""

from knet.proxy.applier import IptablesApplier
from knet.proxy.nftables.applier import NftablesApplier
from knet.proxy.sync import Applier

MODES: dict[str, type[Applier]] = {"iptables": IptablesApplier, "nftables": NftablesApplier}
