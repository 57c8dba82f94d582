"""The three connectivity requirements of a pod network, each followed on the wire with scapy.

    sudo .venv/bin/python scripts/three_passes.py

1. a node reaches its own pods          n1 → cni0 → pod
2. pods on one node reach each other    pod → cni0 → pod, by the bridge alone: the TTL stays 64
3. pods on different nodes reach each other, without NAT: pod → cni0 → n1 → n2 → cni0 → pod, TTL 62
"""

from scapy.all import ICMP, IP, AsyncSniffer, conf

from knet import Cluster

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  nodeName: {node}
  containers: [{{name: main, image: nicolaka/netshoot, command: [sleep, infinity]}}]
  terminationGracePeriodSeconds: 0
"""


def arrivals(cluster: Cluster, pod, address: str, send) -> list:
    """The echo requests to ``address`` that come out of its node's cni0 while ``send`` runs."""
    with cluster.machine(pod.node).inside():
        tap = conf.L2listen(iface="cni0", filter=f"icmp[0] == 8 and dst {address}")
    sniffer = AsyncSniffer(opened_socket=tap, count=1)
    sniffer.start()
    send()
    sniffer.join(timeout=5)
    return list(sniffer.results)


def main() -> None:
    with Cluster(name="three-passes", workers=2) as cluster:
        for name, node in (("a", "n1"), ("b", "n1"), ("c", "n2")):
            cluster.apply(POD.format(name=name, node=node))
        a, b, c = (cluster.pod(name) for name in "abc")
        ping = "ping -c1 -W2 {}"
        passes = [
            ("node n1 → pod a", a, lambda: cluster.machine("n1").run(ping.format(a.ip)), None),
            ("pod a → pod b, same node", b, lambda: a.run(ping.format(b.ip)), 64),
            ("pod a → pod c, other node", c, lambda: a.run(ping.format(c.ip)), 62),
        ]
        for title, target, send, ttl in passes:
            packet = arrivals(cluster, target, target.ip, send)[0]
            print(f"{title:<27} {packet[IP].src} → {packet[IP].dst}  ttl {packet[IP].ttl}  {packet[ICMP].mysummary()}")
            if ttl is not None:
                assert packet[IP].ttl == ttl, f"expected ttl {ttl}"
                assert packet[IP].src == a.ip, "a pod's packets keep their source address"
        print("3 of 3 requirements hold")


if __name__ == "__main__":
    main()
