"""Subresources other than status: each file is one of them, and the table here says which methods it answers."""

from collections.abc import Mapping

from knet.apiserver.authentication import Tokens
from knet.apiserver.call import Handler
from knet.apiserver.subresources import binding, eviction, finalize, scale, streams
from knet.apiserver.subresources.kubelets import Kubelets
from knet.apiserver.subresources.token import TokenRequests

__all__ = ["Kubelets", "handlers"]


def handlers(kubelets: Kubelets, tokens: Tokens) -> Mapping[tuple[str, str], Mapping[str, Handler]]:
    """(plural, subresource) → method → handler."""
    scaling: Mapping[str, Handler] = {"GET": scale.get, "PUT": scale.update, "PATCH": scale.patch}
    streaming = streams.Streams(kubelets)
    return {
        ("deployments", "scale"): scaling,
        ("replicasets", "scale"): scaling,
        ("pods", "binding"): {"POST": binding.create},
        ("pods", "eviction"): {"POST": eviction.create},
        ("pods", "log"): {"GET": streaming.log},
        ("pods", "exec"): {"GET": streaming.exec, "POST": streaming.exec},
        ("pods", "attach"): {"GET": streaming.attach, "POST": streaming.attach},
        ("pods", "portforward"): {"GET": streaming.port_forward, "POST": streaming.port_forward},
        ("serviceaccounts", "token"): {"POST": TokenRequests(tokens).create},
        ("namespaces", "finalize"): {"PUT": finalize.update},
    }
