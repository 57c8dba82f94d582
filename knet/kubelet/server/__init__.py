"""The kubelet's HTTPS endpoint on port 10250: logs, exec, attach, port-forward, pods, figures, health.

The API server comes here for kubectl's sake, and whoever collects metrics; `access` says who may.
"""

from knet.kubelet.server.app import Server

__all__ = ["Server"]
