"""A deleted namespace takes all that is in it along, then goes itself.

`content` empties it, `conditions` tells what is left, `controller` goes on until nothing is, and finalizes.
"""

from knet.controllers.namespace.controller import build

__all__ = ["build"]
