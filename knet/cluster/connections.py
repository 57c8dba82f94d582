"""`knet conntrack`: whose tables are read, and whose connections are meant."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from knet.cluster.explaining import in_a_line, there
from knet.inspect import conntrack
from knet.inspect.conntrack import Row, Test
from knet.inspect.inventory import MACHINE, POD, Choice
from knet.inspect.names import Names

if TYPE_CHECKING:
    from knet.cluster.facade import Cluster


class Connections:
    """Iterated over: the rows of the places that ``where`` chooses (all machines), of objects (all), of a protocol."""

    def __init__(
        self,
        cluster: "Cluster",
        where: Sequence[str],
        objects: Sequence[str],
        protocol: str,
        namespace: str,
        follow: bool,
    ) -> None:
        self.names = Names()
        self._cluster = cluster
        self._where = where
        self._namespace = namespace
        self._follow = follow
        self._tests: list[Test] = []
        if protocol:
            number = conntrack.number_of(protocol)
            self._tests.append(lambda row: row.flow.protocol == number)
        if objects:
            with in_a_line():
                subjects = [cluster.call(there(cluster.api, word, namespace)) for word in objects]
                world = cluster.world()
            tests = [conntrack.of(world, subject.kind, subject.key) for subject in subjects]
            self._tests.append(lambda row: any(test(row) for test in tests))

    def __iter__(self) -> Iterator[Row]:
        cluster = self._cluster
        with cluster.sites() as sites:
            everywhere = sites.inventory.choose(["all"])
            machines = [row for row in everywhere if row.spot.kind == MACHINE]
            chosen = sites.inventory.choose(self._where, self._namespace) if self._where else machines
            cluster.call(self.names.learn(cluster.api))
            self.names.see(sites.sites([row for row in everywhere if row.spot.kind != POD]).values())
            found = sites.sites([Choice(row.spot, named=row.named) for row in chosen]).values()
            rows = conntrack.followed(found) if self._follow else conntrack.table(found)
            yield from (row for row in rows if row.tracked is None or all(test(row.tracked) for test in self._tests))
