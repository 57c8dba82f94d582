"""As what this process reads each kind, so that informers are shared and each kind is watched once."""

from collections.abc import Callable
from functools import cache

import msgspec

from knet.api.autoscaling import HorizontalPodAutoscaler
from knet.api.batch import CronJob, Job
from knet.api.extensions import CustomResourceDefinition
from knet.api.objects import (
    ControllerRevision,
    Deployment,
    Endpoints,
    EndpointSlice,
    KubeObject,
    Lease,
    Namespace,
    Pod,
    ReplicaSet,
    Service,
    ServiceAccount,
)
from knet.api.objects import Node as ClusterNode
from knet.api.policy import PodDisruptionBudget, ResourceQuota
from knet.api.resources import Resource
from knet.api.storage import PersistentVolumeClaim
from knet.api.workloads import DaemonSet, ReplicationController, StatefulSet

#: what some controller reads more of than metadata
_READ_IN_FULL: tuple[type[KubeObject], ...] = (
    ClusterNode,
    ControllerRevision,
    CronJob,
    CustomResourceDefinition,
    DaemonSet,
    Deployment,
    Endpoints,
    EndpointSlice,
    HorizontalPodAutoscaler,
    Job,
    Lease,
    Namespace,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    ReplicaSet,
    ReplicationController,
    ResourceQuota,
    Service,
    ServiceAccount,
    StatefulSet,
)
_CLASSES = {cls.resource: cls for cls in _READ_IN_FULL}


def class_of(resource: Resource) -> type[KubeObject]:
    """The class that a kind is decoded to."""
    return _CLASSES.get(resource) or metadata_class(resource)


@cache
def metadata_class(resource: Resource) -> type[KubeObject]:
    """A class that decodes only the metadata of a kind, for kinds that nobody else here reads in full."""
    made: Callable[..., type[KubeObject]] = msgspec.defstruct  # type: ignore[assignment]
    return made(f"{resource.kind}Metadata", [], bases=(KubeObject,), namespace={"resource": resource}, frozen=True)
