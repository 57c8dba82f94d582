"""kube-proxy: what makes a Service's virtual address lead to its pods on this machine.

Data flows one way: Services and EndpointSlices → `snapshot` (frozen values, nothing of Kubernetes' JSON left) →
`iptables` (the rules by chain, in the frame of `chains`) → `transaction` (what has to be told to the kernel, given
what it holds) → `applier` (one iptables-restore) → `conntrack_cleanup` (flows of UDP endpoints that are gone).
`sync` decides when.
The chains, their names and their comments are upstream's, so that every textbook walk through them holds here.
"""
