"""Who can talk to whom: predicted from a `World`, tried with real packets, and where the two differ.

``ends``       the pods, machines and Services between which it is tried
``measure``    predict, try, compare; where the two differ, look again
``probes``     one packet that tells its sender apart, and what comes of it
``stations``   sockets in a network namespace, which send probes and hear of them
``rounds``     all probes at once, again where nothing was heard, longer where that is not what was expected
``matrix``     each pair: what was predicted, what was observed, whether that is the same
``why``        the predicted way, in the words of its routes and objects
``basic``      the three requirements on a cluster's network
``text``       what people read: disagreements first, then the matrix, ends that are alike together

Nothing of what is looked at notices: no process is started in a pod, and no connection gets to an application (its
kernel answers a SYN, ours says at once that there is nobody).  Sockets are all there is, and they end with us.
"""
