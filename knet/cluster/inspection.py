"""What `knet.inspect` is handed of a running cluster: it asks the API itself, and the supervisor through this."""

import msgspec

from knet.client import ApiError, Client, Unavailable
from knet.cluster import channel
from knet.cluster.config import ClusterConfig
from knet.cluster.errors import KnetError
from knet.cluster.state import StateDir
from knet.cluster.view import ControlView
from knet.inspect import world
from knet.inspect.world import Settings, Topology, World


async def read_world(client: Client, state: StateDir) -> World:
    """The cluster as it is now; KnetError where the API server does not answer."""
    status, _ = channel.request(state.control, {"op": "status"})
    view = ControlView(state)
    partitions = msgspec.convert(status["partitions"], tuple[tuple[tuple[str, ...], ...], ...])
    topology = Topology(tuple(view.nodes()), tuple(view.links()), partitions)
    try:
        return await world.read(
            client, settings(msgspec.convert(status["config"], ClusterConfig), status["load_balancers"]), topology
        )
    except (ApiError, Unavailable) as error:
        raise KnetError(f"the API server: {' '.join(str(error).split())}") from None


def settings(config: ClusterConfig, load_balancers: str = "") -> Settings:
    """The choices that decide about packets; ``load_balancers``: the pool of their addresses."""
    return Settings(
        cni=config.cni,
        proxy=config.proxy,
        ipvs_scheduler=config.ipvs_scheduler,
        policy=config.policy,
        lb_mode=config.lb_mode,
        mtu=config.mtu,
        pod_ranges={family: str(pods) for family, pods in config.pod_ranges.items()},
        service_ranges={family: str(services) for family, services in config.service_ranges.items()},
        dns_ip=config.dns_ip,
        load_balancers=load_balancers,
    )
