"""The speaker of layer-2 mode: one on each worker, in that machine's namespaces."""

import msgspec

from knet.api.timing import PROFILES
from knet.client import Client
from knet.kernel.netlink import Netlink
from knet.speaker.speaker import Speaker


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``interface`` is the one in the underlay, ``node_ip`` its address there."""

    kubeconfig: str
    node_name: str
    node_ip: str
    interface: str
    timing: str = "lab"


async def serve(options: Options) -> None:
    """Run until cancelled, and give up what is held; killed, it leaves its addresses to its successor."""
    interval = PROFILES[options.timing].load_balancer_advertisement_interval
    with Netlink() as netlink:
        async with Client.from_kubeconfig(options.kubeconfig, "speaker") as client:
            await Speaker(client, netlink, options.node_name, options.node_ip, options.interface, interval).run()
