"""The rules of placement, one file each, and the table that orders them.

The order of filters decides which reason a node is rejected for when several apply; order and weights are upstream's
default profile.
"""

from knet.scheduler.framework import Profile
from knet.scheduler.plugins.balanced_allocation import BalancedAllocation
from knet.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from knet.scheduler.plugins.node_affinity import NodeAffinity
from knet.scheduler.plugins.node_name import NodeName
from knet.scheduler.plugins.node_ports import NodePorts
from knet.scheduler.plugins.node_unschedulable import NodeUnschedulable
from knet.scheduler.plugins.resources_fit import ResourcesFit
from knet.scheduler.plugins.taint_toleration import TaintToleration
from knet.scheduler.plugins.topology_spread import TopologySpread

DEFAULT_PROFILE = Profile(
    filters=(
        NodeUnschedulable(),
        NodeName(),
        TaintToleration(),
        NodeAffinity(),
        NodePorts(),
        ResourcesFit(),
        TopologySpread(),
        InterPodAffinity(),
    ),
    scores=(
        (TaintToleration(), 3),
        (NodeAffinity(), 2),
        (ResourcesFit(), 1),
        (TopologySpread(), 2),
        (InterPodAffinity(), 2),
        (BalancedAllocation(), 1),
    ),
)
