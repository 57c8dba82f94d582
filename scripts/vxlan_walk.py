"""One packet from pod to pod across nodes, seen at six places: where it is bridged, routed, wrapped and unwrapped.

    sudo .venv/bin/python scripts/vxlan_walk.py

All machines share one kernel, hence one clock: the stamps of different machines can be compared.
"""

from scapy.all import ICMP, IP, UDP, VXLAN, AsyncSniffer, Ether, conf

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
WRAPPED = "udp port 8472"


def describe(packet) -> str:
    if UDP in packet and packet[UDP].dport == 8472:
        inner = VXLAN(bytes(packet[UDP].payload))
        return (
            f"{packet[IP].src} → {packet[IP].dst} UDP 8472, VXLAN vni {inner.vni}, "
            f"inside {inner[Ether].src} → {inner[Ether].dst} {inner[IP].src} → {inner[IP].dst} ttl {inner[IP].ttl}"
        )
    return f"{packet[Ether].src} → {packet[Ether].dst} {packet[IP].src} → {packet[IP].dst} ttl {packet[IP].ttl}"


def main() -> None:
    with Cluster(name="vxlan-walk", workers=2, cni="vxlan") as cluster:
        for name, node in (("a", "n1"), ("b", "n2")):
            cluster.apply(POD.format(name=name, node=node))
        a, b = cluster.pod("a"), cluster.pod("b")
        plain = f"icmp[0] == 8 and dst {b.ip}"
        places = [
            ("n1", "cni0", plain),
            ("n1", "flannel.1", plain),
            ("n1", "n1-eth0", WRAPPED),
            ("n2", "n2-eth0", WRAPPED),
            ("n2", "flannel.1", plain),
            ("n2", "cni0", plain),
        ]
        sniffers = []
        for machine, interface, expression in places:
            with cluster.machine(machine).inside():
                tap = conf.L2listen(iface=interface, filter=expression)
            sniffers.append(AsyncSniffer(opened_socket=tap, count=1))
            sniffers[-1].start()
        a.run(f"ping -c1 -W2 {b.ip}")
        for sniffer in sniffers:
            sniffer.join(timeout=5)
        first = float(sniffers[0].results[0].time)
        for (machine, interface, _), sniffer in zip(places, sniffers, strict=True):
            packet = sniffer.results[0]
            print(f"{(float(packet.time) - first) * 1e6:+6.0f} µs  {machine} {interface:<10} {describe(packet)}")
        print("\nwhy n1 sends it so:")
        for command in (f"ip route get {b.ip}", "ip neigh show dev flannel.1", "bridge fdb show dev flannel.1"):
            print(f"  n1$ {command}\n      {cluster.machine('n1').run(command).strip().splitlines()[0]}")
        assert ICMP in VXLAN(bytes(sniffers[2].results[0][UDP].payload))


if __name__ == "__main__":
    main()
