"""Subresources that are a kind's own: each file is one of them, and the table here says which methods it answers.

status, scale and a kind's other parts (`knet.apiserver.kind.Part`) work alike for all (`knet.apiserver.server`).
"""

from collections.abc import Mapping

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.authentication import Tokens
from knet.apiserver.call import Handler
from knet.apiserver.reach import Reach
from knet.apiserver.subresources import binding, componentstatus, eviction, finalize, streams
from knet.apiserver.subresources.metrics import Metrics
from knet.apiserver.subresources.proxy import Proxies
from knet.apiserver.subresources.token import TokenRequests

__all__ = ["handlers"]


def handlers(reach: Reach, tokens: Tokens) -> Mapping[tuple[Resource, str], Mapping[str, Handler]]:
    """(resource, subresource) → method → handler; "" is a resource that is nothing but this."""
    streaming = streams.Streams(reach)
    metrics = Metrics(reach)
    return {
        (resources.BINDINGS, ""): {"POST": binding.create_legacy},
        (resources.COMPONENTSTATUSES, ""): {"GET": componentstatus.read},
        (resources.NODEMETRICS, ""): {"GET": metrics.nodes},
        (resources.PODMETRICS, ""): {"GET": metrics.pods},
        (resources.PODS, "binding"): {"POST": binding.create},
        (resources.PODS, "eviction"): {"POST": eviction.create},
        (resources.PODS, "log"): {"GET": streaming.log},
        (resources.PODS, "exec"): {"GET": streaming.exec, "POST": streaming.exec},
        (resources.PODS, "attach"): {"GET": streaming.attach, "POST": streaming.attach},
        (resources.PODS, "portforward"): {"GET": streaming.port_forward, "POST": streaming.port_forward},
        (resources.SERVICEACCOUNTS, "token"): {"POST": TokenRequests(tokens).create},
        (resources.NAMESPACES, "finalize"): {"PUT": finalize.update},
        **Proxies(reach).handlers(),
    }
