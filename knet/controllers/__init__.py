"""kube-controller-manager: the loops that bring the cluster to what its objects ask for.

Each controller is one package or module that exposes ``build(context) -> Controller`` (or several of them) and is
one row of the table in `knet.controllers.main`.  Inside, pure functions decide (what to create, scale, taint) from
typed snapshots and return values; the reconciler writes them to the API server and to nothing else.  They share
informers, so each kind is watched once by the process, and they never call one another: what one writes, the
next one sees.
"""
