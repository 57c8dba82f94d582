"""What workers' kernels hold, read in their network namespaces: rules and routes as pictures, tracked connections."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from knet.cluster.errors import KnetError
from knet.inspect import desired
from knet.inspect.explain import kernel
from knet.inspect.explain.kernel import Kernel
from knet.inspect.explain.picture import workers
from knet.inspect.inventory import nearest
from knet.inspect.world import World
from knet.kernel.conntrack import Conntrack, Tracked
from knet.kernel.namespaces import run_in
from knet.kernel.netlink import NetlinkError
from knet.kernel.rules import RulesError
from knet.underlay.state import OFF
from knet.underlay.view import NetworkView


def chosen(world: World, machines: Sequence[str] = ()) -> list[str]:
    """These workers, or all that run; KnetError for one that does not."""
    known = [node for node in workers(world) if world.topology.machines[node].state != OFF]
    for name in machines:
        if name not in known:
            near = ", ".join(nearest(name, known) or known)
            raise KnetError(f"there is no worker called {name!r} that runs; did you mean {near}?")
    return list(machines) or known


def kernels(world: World, view: NetworkView, machines: Sequence[str] = ()) -> dict[str, Kernel]:
    """What they hold of what is expected of them; KnetError where that cannot be read."""
    names = chosen(world, machines)
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(lambda node: held(world, view, node), names), strict=True))


def held(world: World, view: NetworkView, node: str) -> Kernel:
    """Of one worker."""
    settings = world.settings
    overlays = tuple(filter(None, (desired.overlay(world, node, family) for family in settings.families)))
    try:
        return run_in(
            view.namespaces(node).only("net"),
            lambda: kernel.read(settings.proxy, overlays, settings.families, settings.lb_mode == "bgp"),
        )
    except (RulesError, NetlinkError) as error:
        raise KnetError(f"{node}: {error}") from None


def tables(world: World, view: NetworkView) -> dict[str, list[Tracked]]:
    """The connections that each worker tracks."""
    return {node: run_in(view.namespaces(node).only("net"), _table) for node in chosen(world)}


def _table() -> list[Tracked]:
    with Conntrack() as conntrack:
        return conntrack.tracked()
