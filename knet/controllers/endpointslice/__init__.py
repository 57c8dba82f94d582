"""Services with a selector → the pods behind them, as EndpointSlices and as the older Endpoints object.

- `members`: which pods are behind a Service, at which ports, in what condition.
- `slices`: the fewest changes to the existing slices that make them say so.
- `subsets`: the same as an Endpoints object's subsets.
- `controller`: the loop of the slices; `endpoints`: the loop of the Endpoints objects.
- `selection`: from a changed pod, node or Service to the Services concerned, shared by both loops.
"""

from knet.client import Controller
from knet.controllers.context import Context
from knet.controllers.endpointslice import controller, endpoints


def build(context: Context) -> list[Controller]:
    return [controller.build(context), endpoints.build(context)]


__all__ = ["build"]
