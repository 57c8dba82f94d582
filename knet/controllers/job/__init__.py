"""Job: pods that run to their end, so many at a time until so many have succeeded.

`controller` is the loop, and one pass reads: `tally` counts what has ended, `verdict` says whether the Job has,
`demand` what is to be created or deleted, `tracking` how a pod's end is put into the status exactly once.  `indexes`,
`failure_policy`, `success_policy` and `backoff` are the rules those use, `pods` makes the body of a pod.
"""

from knet.controllers.job.controller import build

__all__ = ["build"]
