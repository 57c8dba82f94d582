"""Which cables between switches carry traffic: a spanning tree, computed rather than negotiated.

Bridges forward broadcasts to every other port; two paths between two of them make a loop in which a frame circles for
ever.  IEEE 802.1D has bridges agree on a tree by exchanging BPDUs; the kernel's implementation needs twice its forward
delay, at least four seconds, before a port forwards, and its BPDUs turn up in every capture.  knet knows the whole
graph, so it computes the tree that 802.1D would arrive at and shuts the ports outside of it, anew whenever a cable
is cut or mended.
"""

from collections.abc import Collection, Mapping, Sequence

from knet.underlay.plan import SwitchSpec

#: a cable between two switches, by their names
Cable = tuple[str, str]


def standby(switches: Sequence[SwitchSpec], cables: Mapping[int, Cable], cut: Collection[int] = ()) -> frozenset[int]:
    """The keys of those ``cables`` that must carry nothing; the ones in ``cut`` carry nothing anyway and are not among
    them.

    As in 802.1D: the root is the bridge with the lowest (priority, name); every other bridge keeps its shortest way to
    the root, on a tie the one through the neighbour with the lowest (priority, name), then the first cable.
    Switches that no cable joins form trees of their own.
    """
    rank = {switch.name: (switch.priority, switch.name) for switch in switches}
    around: dict[str, list[tuple[tuple[int, str], int, str]]] = {name: [] for name in rank}
    alive = {key: cable for key, cable in cables.items() if key not in cut}
    for key, (a, b) in alive.items():
        around[a].append((rank[b], key, b))
        around[b].append((rank[a], key, a))

    tree: set[int] = set()
    reached: set[str] = set()
    for root in sorted(rank, key=rank.__getitem__):
        if root in reached:
            continue
        reached.add(root)
        level = [root]
        while level:
            following = []
            # nearer the root first, then by rank: whoever comes first adopts the neighbours not reached yet
            for switch in sorted(level, key=rank.__getitem__):
                for _rank, key, neighbour in sorted(around[switch]):
                    if neighbour not in reached:
                        reached.add(neighbour)
                        tree.add(key)
                        following.append(neighbour)
            level = following
    return frozenset(alive) - tree
