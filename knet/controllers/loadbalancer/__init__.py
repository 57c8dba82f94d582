"""service-lb-controller: an address of the pool for each Service of type LoadBalancer.

What a cloud's controller manager does, the cloud being the underlay: the address is announced there by the machines'
speakers (`knet.speaker`).  Upstream: k8s.io/cloud-provider/controllers/service; the Events are MetalLB's.
"""

from knet.controllers.loadbalancer.controller import build

__all__ = ["build"]
