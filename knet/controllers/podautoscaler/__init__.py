"""HorizontalPodAutoscaler: as many pods as the load needs.

`controller` is the loop; `usage` computes from what pods use how many there should be, `behavior` how far and how soon
to follow that, `conditions` what the status says of it.
"""

from knet.controllers.podautoscaler.controller import build

__all__ = ["build"]
