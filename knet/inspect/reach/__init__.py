"""Who can talk to whom: tried with real packets, all at once.

``probes``     one packet that tells its sender apart, and what comes of it
``stations``   sockets in a network namespace, which send probes and hear of them
``rounds``     all probes at once, again where nothing was heard, longer where that is not what was expected

Nothing of what is looked at notices: no process is started in a pod, and no connection gets to an application (its
kernel answers a SYN, ours says at once that there is nobody).  Sockets are all there is, and they end with us.
"""
