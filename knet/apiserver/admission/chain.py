"""The plugins in order, and for each kind of request the few of them that it has to pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from knet.apiserver.admission.derived import Derived
from knet.apiserver.admission.request import Operation, Request
from knet.apiserver.kind import Kind
from knet.apiserver.status import StatusError

if TYPE_CHECKING:  # it needs the context, which holds the plugins
    from knet.apiserver.reach import Reach

#: raises StatusError to refuse; returns an awaitable only where it has to wait for something
Step = Callable[[Request], Awaitable[None] | None]


@dataclass(frozen=True)
class Plugin:
    """One admission plugin under upstream's name.

    ``resources`` are the ``plural.group`` or ``plural.group/subresource`` it is asked about: () means all of them,
    ``pods/*`` the subresources, too.  ``operations`` likewise.
    """

    name: str
    operations: tuple[Operation, ...]
    resources: tuple[str, ...] = ()
    mutate: Step | None = None
    validate: Step | None = None

    def handles(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        """Whether a request of that sort concerns the plugin."""
        if operation not in self.operations:
            return False
        name = kind.resource.group_resource
        full = f"{name}/{subresource}" if subresource else name
        return not self.resources or full in self.resources or f"{name}/*" in self.resources


class _Steps(NamedTuple):
    mutate: tuple[Step, ...]
    validate: tuple[Step, ...]


async def _pass(request: Request, steps: Sequence[Step]) -> None:
    """Go through the steps; who is refused still hears what he has been warned of."""
    try:
        for step in steps:
            if (pending := step(request)) is not None:
                await pending
    except StatusError as error:
        error.warnings = request.options.warnings
        raise


class Admission:
    """All plugins of one server."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self.derived = Derived()
        #: how webhooks are reached; whoever makes the server says so before its first request
        self.reach: Reach
        self._steps: dict[tuple[Kind, str, Operation], _Steps] = {}

    async def mutate(self, request: Request) -> None:
        """The first phase: before the server's own metadata, validation and storing.  Raises StatusError.

        Once a webhook has changed the object, all plugins see it a second time.
        """
        await _pass(request, self._of(request).mutate)
        reinvocation = request.reinvocation
        if reinvocation is not None and reinvocation.needed and not reinvocation.again:
            reinvocation.again = True
            await self.mutate(request)

    async def validate(self, request: Request) -> None:
        """The second phase: ``value`` is what would be stored.  Raises StatusError."""
        await _pass(request, self._of(request).validate)

    async def admit(self, request: Request) -> None:
        """Both phases, for what is not stored itself: deletions, connections, the bodies of subresources."""
        await self.mutate(request)
        await self.validate(request)

    def _of(self, request: Request) -> _Steps:
        key = request.target.kind, request.target.subresource, request.operation
        found = self._steps.get(key)
        if found is None:
            concerned = [plugin for plugin in self.plugins if plugin.handles(*key)]
            found = self._steps[key] = _Steps(
                tuple(plugin.mutate for plugin in concerned if plugin.mutate),
                tuple(plugin.validate for plugin in concerned if plugin.validate),
            )
        return found
