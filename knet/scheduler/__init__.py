"""kube-scheduler: finds a node for every pod that has none.

- `plugin`: the points of the scheduling framework, and what a plugin answers there. `plugins`: the rules themselves,
  one file each, and the table that orders them.
- `framework`, `cycle`: the scheduling cycle, filter, score, choose; never waits, so a decision sees all earlier ones.
- `binding`: the binding cycle, in the background. `scheduler`: the loop that drives both.
- `queue`: what waits, what backs off, and what sleeps until an event that can help it; `hints` names the events.
- `cluster`, `node`, `pod`, `storage`: the nodes with what runs on them, pods just placed included; claims and volumes.
  `memory`: what was found out about nodes that have not changed since.
- `diagnosis`: why a pod fits nowhere, in upstream's words. `news`: Events and conditions that say so.
- `configuration`: profiles from a KubeSchedulerConfiguration. `loading`: plugins from a user's file.

https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
"""
