"""The binding cycle: what happens between the choice of a node and the API's knowing of it.

It runs in the background, one task per pod; the pod is assumed to be on its node meanwhile, so that the scheduling
cycle goes on with the next one.  Whatever goes wrong takes all of it back.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from knet.scheduler.cycle import Cycle
from knet.scheduler.framework import Framework
from knet.scheduler.node import NodeInfo
from knet.scheduler.plugin import SKIP, Plugin, PluginError, Refused, rejection, running


class Placement(NamedTuple):
    """A pod's cycle with the node that was chosen in it."""

    framework: Framework
    cycle: Cycle
    node: NodeInfo

    def _calls(self, point: str) -> list[tuple[Plugin, Callable[..., Any], Any]]:
        """A point's plugins with their states, save those whose pre_filter has excused itself from this pod."""
        return [
            (plugin, call, self.cycle.states.get(plugin.name))
            for plugin, call in self.framework.having(point)
            if plugin.name not in self.cycle.skipped
        ]

    def reserve(self) -> None:
        """Raises Refused or PluginError; then nothing is reserved any more."""
        try:
            for plugin, call, state in self._calls("reserve"):
                with running(plugin, "reserve"):
                    _insist(plugin, call(state, self.cycle.pod, self.node))
        except (Refused, PluginError):
            self.unreserve()
            raise

    def unreserve(self) -> None:
        """Take it all back, in reverse order; plugins that reserved nothing do nothing."""
        for plugin, call, state in reversed(self._calls("unreserve")):
            with running(plugin, "unreserve"):
                call(state, self.cycle.pod, self.node)

    async def bind(self) -> None:
        """Permit, PreBind, Bind. Raises Refused, PluginError, and what the API answers to a bind."""
        pod, node = self.cycle.pod, self.node
        for point in ("permit", "pre_bind"):
            for plugin, call, state in self._calls(point):
                with running(plugin, point):
                    _insist(plugin, await call(state, pod, node))
        for plugin, binds in self.framework.having("bind"):
            with running(plugin, "bind"):
                if await binds(pod, node) is not SKIP:
                    break

    def bound(self) -> None:
        """PostBind. Raises PluginError, when it is too late to take anything back."""
        for plugin, call, state in self._calls("post_bind"):
            with running(plugin, "post_bind"):
                call(state, self.cycle.pod, self.node)


def _insist(plugin: Plugin, answer: object) -> None:
    if answer is not None:
        raise Refused(plugin.name, rejection(answer).reasons)
