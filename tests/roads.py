"""Every road to a Service: kinds of Services × where the client is, and whom the pod behind it sees.

The pod is on n1, and so is the client "here"; "there" is one on n2, "outside" somebody on the machines' network who has
been told to reach Services and pods by way of n1.  What the pod sees does not depend on kube-proxy's mode.
"""

from collections.abc import Mapping
from typing import NamedTuple

NODE_PORT, LOCAL_NODE_PORT = 30080, 30081
PLACES = ("here", "there", "outside")


class Road(NamedTuple):
    """A URL's host and port (fields in braces are filled in), and by name of the client whom the pod sees."""

    to: str
    here: str
    there: str
    outside: str


#: {here} {there} {outside}: the client's own address; {n1} {n2}: the machine's; {bridge}: cni0 of n1, under which n1
#: sends to its pods; {tunnel}: under which n2 sends to pods of n1; {balancer}: under which who holds the address sends
ROADS: Mapping[str, Road] = {
    "ClusterIP": Road("{cluster-ip}", "{here}", "{there}", "{bridge}"),
    "without selector": Road("{by-hand}", "{here}", "{there}", "{bridge}"),
    "NodePort, by the pod's machine": Road(f"{{n1}}:{NODE_PORT}", "{bridge}", "{bridge}", "{bridge}"),
    "NodePort, by another machine": Road(f"{{n2}}:{NODE_PORT}", "{tunnel}", "{tunnel}", "{tunnel}"),
    "NodePort, Local": Road(f"{{n1}}:{LOCAL_NODE_PORT}", "{here}", "{n2}", "{outside}"),
    "LoadBalancer": Road("{balanced}", "{bridge}", "{tunnel}", "{balancer}"),
    "LoadBalancer, Local": Road("{balanced-local}", "{here}", "{there}", "{outside}"),
    "headless": Road("{headless}", "{here}", "{there}", "{outside}"),
    "ExternalName": Road("{alias}", "{here}", "{there}", "{bridge}"),
}
