"""Deployment: replaces one generation of pods by the next without falling below what was promised.

It owns ReplicaSets, one per pod template, and only ever moves their sizes.

- `controller`: the loop; reads as the story of one pass.
- `effects`: the writes, and the Events that tell of them.
- `family`: a Deployment with its ReplicaSets, new and old.
- `template`: when two pod templates are the same, and the hash that names a ReplicaSet.
- `revision`: revision numbers, their history, annotations that travel to the ReplicaSet, clean-up of old ones.
- `bounds`: maxSurge and maxUnavailable as pods.
- `rolling`, `recreate`: the next step of the two strategies.
- `scaling`: a change of spec.replicas in mid-rollout, shared out in proportion.
- `status`, `progress`: counts and conditions.

Rollback needs no code here: `kubectl rollout undo` copies an old ReplicaSet's template back into the Deployment, and
`template` recognises it.
"""

from knet.controllers.deployment.controller import build

__all__ = ["build"]
