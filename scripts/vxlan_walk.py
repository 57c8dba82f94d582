"""One packet from pod to pod across nodes, seen everywhere on its way: bridged, routed, wrapped and unwrapped.

    sudo .venv/bin/python scripts/vxlan_walk.py

All machines share one kernel, hence one clock: the stamps of different machines can be compared.
"""

from scapy.all import ICMP, IP, VXLAN, Ether

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


def describe(packet) -> str:
    outside, inside = f"{packet[IP].src} → {packet[IP].dst}", packet
    if VXLAN in packet:
        inside = packet[VXLAN].payload
        outside += f" VXLAN vni {packet[VXLAN].vni}, inside {inside[IP].src} → {inside[IP].dst}"
    return f"{packet.comment.decode():36} {inside[Ether].src} → {inside[Ether].dst}  {outside}  ttl {inside[IP].ttl}"


def main() -> None:
    with Cluster(name="vxlan-walk", workers=2, cni="vxlan") as cluster:
        for name, node in (("a", "n1"), ("b", "n2")):
            cluster.apply(POD.format(name=name, node=node))
        a, b = cluster.pod("a"), cluster.pod("b")
        with cluster.capture("pod/a", "pod/b", "n1", "n2", "s1", filter=f"icmp[0] == 8 and dst {b.ip}") as packets:
            a.run(f"ping -c1 -W2 {b.ip}")
        for packet in packets:
            passed = float(packet.time - packets[0].time) * 1e6
            way = "out" if packet.outgoing else "in"
            print(f"{passed:+6.0f} µs  {packet.place:20} {way:3}  {describe(packet)}")
        print("\nwhy n1 sends it so:")
        for command in (f"ip route get {b.ip}", "ip neigh show dev flannel.1", "bridge fdb show dev flannel.1"):
            print(f"  n1$ {command}\n      {cluster.machine('n1').run(command).strip().splitlines()[0]}")
        wrapped = [packet.place for packet in packets if VXLAN in packet]
        assert wrapped == ["n1/n1-eth0", "s1/s1-eth2", "s1/s1-eth3", "n2/n2-eth0"], wrapped
        assert ICMP in packets[0] and packets[-1].place == "pod/default/b/eth0"


if __name__ == "__main__":
    main()
