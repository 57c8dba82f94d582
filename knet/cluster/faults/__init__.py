"""Faults by plan: ``knet faults run plan.yaml``, ``with cluster.faults("plan.yaml"): …``.

`plan` reads what a file wishes and says by line what is wrong with it; `schedule` decides with a seed what begins and
ends when, at whom; `effect` says what the network is to be while some faults last, whatever order they came in; `run`
lets time pass, asks the supervisor, and ends all of it in the end, however that comes.  Only `run` does anything.
"""
