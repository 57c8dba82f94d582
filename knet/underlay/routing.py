"""The routes that a topology gives its machines, beside those to the networks of their own interfaces.  Pure."""

from ipaddress import ip_address

from knet.kernel.routes import Route
from knet.underlay.plan import CONTROL_PLANE, WORKER, MachineSpec

#: the destination of a default route, by the version of IP
ANYWHERE = {4: "default", 6: "::/0"}


def declared_routes(spec: MachineSpec) -> tuple[Route, ...]:
    """The declared routes, each through the interface whose subnet holds its next hop.

    A Node that has no gateway gets a default route without one, through its first interface: the kernel looks a route
    up before kube-proxy's rules turn a Service's address into a pod's, and refuses a connection that has none.
    """
    found = []
    gateways = {ANYWHERE[4]: spec.gateway, ANYWHERE[6]: spec.gateway6}
    if spec.role in (CONTROL_PLANE, WORKER):
        families = [address.version for address in spec.interfaces[0].addresses]
        missing = [ANYWHERE[family] for family in families if not gateways[ANYWHERE[family]]]
        found += [Route(destination, spec.interface) for destination in missing]
    for destination, hop in [*gateways.items(), *((str(network), hop) for network, hop in spec.routes)]:
        for interface in spec.interfaces if hop else ():
            if any(ip_address(hop) in address.network for address in interface.addresses):
                found.append(Route(destination, interface.name, hop))
                break
    return tuple(found)
