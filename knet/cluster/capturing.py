"""What a capture needs of a running cluster: its places, the names of its objects, both again when they change."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from knet.cluster.state import StateDir
from knet.inspect.capture.expression import resolved
from knet.inspect.capture.run import Curiosity
from knet.inspect.capture.session import Capture
from knet.inspect.names import Names
from knet.inspect.places import POD

if TYPE_CHECKING:
    from knet.cluster.facade import Cluster


@contextmanager
def capturing(
    cluster: "Cluster",
    where: Sequence[str],
    namespace: str = "default",
    expression: str = "",
    noise: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[Capture, Curiosity]]:
    """A capture of the places that ``where`` chooses, from now on; see `knet.inspect.capture.session.Capture`."""
    with cluster.sites() as sites:
        names = Names()
        if sites.inventory.blind:
            told("the API server does not answer: pods and Services have no names, only addresses")
        else:
            cluster.call(names.learn(cluster.api))
        others = [row for row in sites.inventory.choose(["all"]) if row.spot.kind != POD]  # the API knows the pods
        names.see(sites.sites(others).values())
        wanted = resolved(expression, names, namespace)
        up = partial(getattr, StateDir(cluster.name), "up")
        with Capture(sites, where, namespace, wanted, noise, told, cluster.inventory, up) as capture:
            curiosity = Curiosity(names, lambda: cluster.begin(names.learn(cluster.api)))
            try:
                yield capture, curiosity
            finally:
                if curiosity.asking:
                    curiosity.asking.cancel()
