"""kube-scheduler: finds a node for every pod that has none.

- `scheduler`: the loop. One pod at a time is decided upon, without an await in between, so every decision sees all
  earlier ones; binds run in the background.
- `queue`: what waits, what backs off, and what sleeps until an event that can help it.
- `cluster`: the nodes with what runs on them, pods just placed included.
- `framework`: filter, score, choose. `plugins`: the rules themselves, one file each, and the table that orders them.
- `messages`: why a pod fits nowhere, in upstream's words.
- `hints`: which change of the cluster is worth another attempt.

https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
"""
