"""The class of volumes that a cluster has from the start: a directory on the machine where the claim's first pod runs.

Named and made as Rancher's local-path-provisioner, which kind and k3s come with, has it: class ``standard`` waits for
the first consumer, volumes are bound to their node by node affinity, and the directory goes with the claim.
"""

PROVISIONER = "knet.io/local"
CLASS = "standard"
#: where the directories are on each machine; they outlive the machine (and ``knet down``) with the cluster's state
DIRECTORY = "/var/lib/local-volumes"

#: on a volume: who made it
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
