"""The roads of `tests/roads.py` in a live cluster; "outside" is the machine client."""

import json

from knet import Cluster
from tests.roads import LOCAL_NODE_PORT, NODE_PORT, PLACES, ROADS, Road

#: besides those to a Service, that by a proxy: the pod sees nginx, and reads for whom it asks
ALL = ROADS | {"Ingress": Road("{ingress}", *(f"{{nginx}} for {{{place}}}" for place in PLACES))}  # type: ignore[operator]

PORTS = [{"port": 80}]
#: the pod that has to answer, and one that never may: it is of another Service, with the same ports
SERVER, DECOY = "web", "decoy"
CLIENTS = {"here": "n1", "there": "n2"}
SERVICES = {
    "cluster-ip": {},
    "node-port": {"type": "NodePort", "ports": [{"port": 80, "nodePort": NODE_PORT}]},
    "node-port-local": {
        "type": "NodePort",
        "ports": [{"port": 80, "nodePort": LOCAL_NODE_PORT}],
        "externalTrafficPolicy": "Local",
    },
    "balanced": {"type": "LoadBalancer"},
    "balanced-local": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
    "headless": {"clusterIP": "None"},
    "alias": {"type": "ExternalName", "externalName": "cluster-ip.default.svc.cluster.local", "selector": None},
    "by-hand": {"selector": None},
    "decoy": {"selector": {"app": DECOY}},
}


#: names in the table of roads, Services, their namespaces
BALANCERS = (
    ("balanced", "balanced", "default"),
    ("balanced-local", "balanced-local", "default"),
    ("ingress", "ingress-nginx-controller", "ingress-nginx"),
)
#: the Services that have a name only, which is looked up wherever the client is
NAMED = ("headless", "alias")


def prepare(cluster: Cluster) -> None:
    """Make the pods and Services, and tell the client outside how to get to them."""
    for name, spec in SERVICES.items():
        body = {"selector": {"app": SERVER}, "ports": PORTS, **spec}
        body = {key: value for key, value in body.items() if value is not None}
        cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body})
    for name, machine in ((SERVER, "n1"), (DECOY, "n2")):
        cluster.apply(_pod(name, machine, "traefik/whoami"))
    for name, machine in CLIENTS.items():
        cluster.apply(_pod(name, machine, "nicolaka/netshoot", ["sleep", "inf"]))
    for name in (SERVER, DECOY, *CLIENTS):
        cluster.wait(f"pod/{name}", "Ready", timeout=120)
    for name in CLIENTS:  # a machine's rules may come after its pods
        cluster.pod(name).run(f"timeout 60 sh -c 'until curl -s -m 1 -o /dev/null {_url(cluster)}; do :; done'")
    cluster.apply(_ingress("cluster-ip"))
    cluster.rollout("deployment/ingress-nginx-controller", timeout=120, namespace="ingress-nginx")
    cluster.apply(_slice("by-hand", cluster.get(f"pod/{SERVER}")["status"]["podIP"]))
    first = _machine_address(cluster, "n1")
    for network in ("10.96.0.0/12", "10.244.0.0/16"):
        cluster.machine("client").run(f"ip route replace {network} via {first}")


def _url(cluster: Cluster) -> str:
    return f"http://{cluster.get('service/cluster-ip')['spec']['clusterIP']}/"


def _pod(name: str, machine: str, image: str, command: list[str] | None = None) -> dict[str, object]:
    container = {"name": "c", "image": image, **({"command": command} if command else {})}
    spec = {"nodeName": machine, "terminationGracePeriodSeconds": 0, "containers": [container]}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _ingress(service: str) -> dict[str, object]:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec = {"ingressClassName": "nginx", "rules": [{"http": {"paths": paths}}]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": service}, "spec": spec}


def _slice(service: str, address: str) -> dict[str, object]:
    """What a user writes for a Service without selector."""
    labels = {"kubernetes.io/service-name": service}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-1", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"port": 80, "name": ""}],
        "endpoints": [{"addresses": [address]}],
    }


def seen(cluster: Cluster) -> dict[str, dict[str, str]]:
    """By road and client: the address that the pod saw, or what went wrong instead."""
    facts = _facts(cluster)
    found: dict[str, dict[str, str]] = {name: {} for name in ALL}
    for place in PLACES:
        script = "; ".join(_ask(road.to.format(**facts), outside=place == "outside") for road in ALL.values())
        if place == "outside":
            output = cluster.machine("client").run(script)
        else:
            output = cluster.pod(place).run(script)
        for name, line in zip(ALL, output.splitlines(), strict=True):
            found[name][place] = _source(line)
    return found


def expected(cluster: Cluster) -> dict[str, dict[str, str]]:
    """The table of roads with this cluster's addresses."""
    facts = _facts(cluster)
    return {name: {place: getattr(road, place).format(**facts) for place in PLACES} for name, road in ALL.items()}


def _ask(target: str, outside: bool) -> str:
    """Prints one line: whoami's answer, or curl's exit code."""
    name, where = target, target
    if target in NAMED:
        where = name = f"{target}.default.svc.cluster.local"
    if outside and target in NAMED:
        where = f"$(busybox nslookup -type=a {name} 10.96.0.10 | awk '/^Address:/ {{found = $2}} END {{print found}}')"
    return f"curl -sS -m 10 http://{where}/api 2>&1 | tr -d '\\n'; echo"


def _source(line: str) -> str:
    try:
        answer = json.loads(line)
    except ValueError:
        return line
    if answer["hostname"] != SERVER:
        return f"by {answer['hostname']}"
    source = str(answer["remoteAddr"]).rpartition(":")[0]
    client = answer["headers"].get("x-forwarded-for")
    return f"{source} for {client}" if client else source


def _facts(cluster: Cluster) -> dict[str, str]:
    """What stands for the names in braces."""
    facts = {name: _machine_address(cluster, name) for name in ("n1", "n2")}
    facts |= {name: cluster.get(f"pod/{name}")["status"]["podIP"] for name in CLIENTS}
    facts["outside"] = cluster.machine("client").run("hostname -I").split()[0]
    facts["bridge"] = _address_of(cluster, "n1", "cni0")
    vxlan = cluster.status()["config"]["cni"] == "vxlan"
    facts["tunnel"] = _address_of(cluster, "n2", "flannel.1") if vxlan else facts["n2"]
    facts |= {name: cluster.get(f"service/{name}")["spec"]["clusterIP"] for name in ("cluster-ip", "by-hand")}
    facts |= _balanced(cluster)
    [nginx] = cluster.pods("app.kubernetes.io/name=ingress-nginx", namespace="ingress-nginx")
    facts["nginx"] = nginx.ip
    held_by_1 = f" {facts['balanced']}/" in cluster.machine("n1").run("ip -o addr show dev n1-eth0")
    facts["balancer"] = facts["bridge"] if held_by_1 else facts["tunnel"]
    return facts | {name: name for name in NAMED}


def _machine_address(cluster: Cluster, name: str) -> str:
    return next(row["address"] for row in cluster.status()["machines"] if row["name"] == name)


def _address_of(cluster: Cluster, machine: str, interface: str) -> str:
    [link] = json.loads(cluster.machine(machine).run(f"ip -4 -json addr show dev {interface}"))
    return str(link["addr_info"][0]["local"])


#: what a mode leaves in a machine, whatever the Services
TRACES = {
    "iptables": "iptables-save -t nat | grep -q KUBE-SVC-",
    "ipvs": "ip link show kube-ipvs0",
    "nftables": "nft list table ip kube-proxy",
}


def switch(cluster: Cluster, mode: str) -> None:
    """Change the mode of the running cluster; back when on every worker it is in force and the others are gone."""
    cluster.reconfigure(proxy=mode)
    conditions = [trace if name == mode else f"! {trace}" for name, trace in TRACES.items()]
    for name in ("n1", "n2"):
        both = " && ".join(f"{condition} >/dev/null 2>&1" for condition in conditions)
        cluster.machine(name).run(f"timeout 60 sh -c 'until {both}; do :; done'")


def balanced(cluster: Cluster) -> bool:
    """Whether every load balancer's address is borne by a machine."""
    lines = [cluster.machine(name).run(f"ip -o addr show dev {name}-eth0") for name in ("n1", "n2")]
    return all(any(f" {address}/" in line for line in lines) for address in _balanced(cluster).values())


def _balanced(cluster: Cluster) -> dict[str, str]:
    """The addresses of load balancers, "none" where there is none yet."""
    found = {}
    for name, service, namespace in BALANCERS:
        rows = cluster.get(f"service/{service}", namespace)["status"]["loadBalancer"].get("ingress") or ()
        found[name] = str(rows[0]["ip"]) if rows else "none"
    return found


def health_checks(cluster: Cluster) -> dict[str, str]:
    """What a load balancer outside is told by each worker about the Service of policy Local: HTTP status, pods."""
    port = cluster.get("service/balanced-local")["spec"]["healthCheckNodePort"]
    found = {}
    for name in ("n1", "n2"):
        url = f"http://{_machine_address(cluster, name)}:{port}/"
        body, _, status = cluster.machine("client").run(f"curl -s -m 10 -w ' %{{http_code}}' {url}").rpartition(" ")
        found[name] = f"{status}, {json.loads(body)['localEndpoints']} here"
    return found


class Calls:
    """A pod calls a cluster IP all the time, each time by a new connection."""

    def __init__(self, cluster: Cluster, client: str) -> None:
        self._pod = cluster.pod(client)
        url = _url(cluster)
        loop = f"while [ ! -e /tmp/end ]; do curl -s -o /dev/null -m 10 -w '%{{http_code}}\\n' {url}; done"
        self._pod.run(f"rm -f /tmp/end /tmp/calls; ({loop}) >/tmp/calls 2>&1 & echo $!")

    def end(self) -> set[str]:
        """The different outcomes: HTTP's status, 000 where there was no connection."""
        self._pod.run("touch /tmp/end")
        return set(self._pod.run("sort -u /tmp/calls").split())
