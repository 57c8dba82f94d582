"""kube-proxy: what makes a Service's virtual address lead to its pods on this machine.

Data flows one way: Services and EndpointSlices → `tracker` → `snapshot` (frozen values, nothing of Kubernetes' JSON
left) → the applier of the mode in use (`modes`) → `conntrack_cleanup` (flows of UDP endpoints that are gone).  `sync`
decides when, `health` answers those who ask.  An applier decides purely what to tell the kernel, and tells it:

- iptables: `iptables` (rules by chain, in the frame of `chains`) → `transaction` (given what the kernel holds) →
  `tables` (one iptables-restore).  Chains, names and comments are upstream's: every textbook walk through them holds.
- `nftables`: elements of maps, one batch.
- `ipvs`: virtual servers and sets.
"""
