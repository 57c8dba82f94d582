"""The rules of placement, one file each, and the table that orders them.

The order of filters decides which reason a node is rejected for when several apply; order and weights are upstream's
default profile.
"""

from knet.scheduler.plugin import Plugin
from knet.scheduler.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from knet.scheduler.plugins.default_binder import DefaultBinder
from knet.scheduler.plugins.default_preemption import DefaultPreemption
from knet.scheduler.plugins.image_locality import ImageLocality
from knet.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from knet.scheduler.plugins.node_affinity import NodeAffinity
from knet.scheduler.plugins.node_name import NodeName
from knet.scheduler.plugins.node_ports import NodePorts
from knet.scheduler.plugins.node_unschedulable import NodeUnschedulable
from knet.scheduler.plugins.priority_sort import PrioritySort
from knet.scheduler.plugins.resources_fit import NodeResourcesFit
from knet.scheduler.plugins.scheduling_gates import SchedulingGates
from knet.scheduler.plugins.taint_toleration import TaintToleration
from knet.scheduler.plugins.topology_spread import PodTopologySpread
from knet.scheduler.plugins.volume_binding import VolumeBinding
from knet.scheduler.plugins.volume_limits import NodeVolumeLimits
from knet.scheduler.plugins.volume_restrictions import VolumeRestrictions
from knet.scheduler.plugins.volume_zone import VolumeZone

DEFAULT_PLUGINS: tuple[type[Plugin], ...] = (
    SchedulingGates,
    PrioritySort,
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    DefaultPreemption,
    NodeResourcesBalancedAllocation,
    ImageLocality,
    DefaultBinder,
)
