"""ReplicaSet, and ReplicationController: so many pods of one template, no more and no fewer.

`controller` is the loop, `ranking` says which pods go first when there are too many, `status` counts.
"""

from knet.controllers.replicaset.controller import build, build_replication

__all__ = ["build", "build_replication"]
