"""The network as API objects: ``kubectl get links,machines``, ``kubectl patch link n1-s1 …`` (group lab.knet.io/v1).

`definitions` are the kinds, `translate` turns what the supervisor knows of the network into objects and an object's
spec into what is asked of the supervisor, `reconcile` keeps both alike, and `main` is the component that does so.

It runs on the control-plane machine, for there is the API server, whatever becomes of the network; the supervisor
answers it there by a socket that only that machine has, and wakes it when something has changed.  Wishes come from two
sides, kubectl (an object's spec) and ``knet link`` (the network itself): the later one holds, the other side follows.
"""
