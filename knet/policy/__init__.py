"""kube-network-policies: what keeps packets from pods that a NetworkPolicy isolates, on this machine.

Data flows one way: NetworkPolicies → `policies` (what they say), Pods and Namespaces → `population` (who is there) →
`compile` (sets and chains of one nftables table) → `transaction` (what has to be told to the kernel, given what it
holds) → `applier` (one transaction).  `enforcer` decides when, `gate` lets a new pod's containers start only when its
rules are in force, `drops` tells afterwards what was dropped, and why.

    https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""
