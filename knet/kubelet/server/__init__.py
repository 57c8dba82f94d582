"""The kubelet's HTTPS endpoint on port 10250: logs, exec, attach, port-forward, pods, health.

Only the API server comes here, for kubectl's sake: a client certificate of the cluster's CA is asked for, and it must
belong to an administrator's group, as the API server's own does.
"""

from knet.kubelet.server.app import Server

__all__ = ["Server"]
