"""Ports of the machine, as text."""

from knet.api.families import IPV4, IPV6
from knet.cni.portmap import JUMPS, PortMapping, mappings, render

WEB = PortMapping("shop/web", "10.244.1.5", "TCP", "", 8080, 80)
NAMES = PortMapping("shop/names", "10.244.1.6", "UDP", "172.18.0.3", 53, 5353)
SIX = PortMapping("shop/web", "fd00::5", "TCP", "", 8080, 80)


def test_all_mappings_of_a_machine_are_one_text() -> None:
    text = render([WEB, NAMES, SIX], IPV4, JUMPS[2:])
    assert text == (
        "*nat\n"
        ":CNI-HOSTPORT-DNAT - [0:0]\n"
        ":CNI-HOSTPORT-SETMARK - [0:0]\n"
        ":CNI-HOSTPORT-MASQ - [0:0]\n"
        '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ\n'
        "-A CNI-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000\n"
        "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE\n"
        "-A CNI-HOSTPORT-DNAT -s 10.244.1.6 -p udp -d 172.18.0.3 --dport 53"
        ' -m comment --comment "shop/names" -j CNI-HOSTPORT-SETMARK\n'
        "-A CNI-HOSTPORT-DNAT -s 127.0.0.1/32 -p udp -d 172.18.0.3 --dport 53"
        ' -m comment --comment "shop/names" -j CNI-HOSTPORT-SETMARK\n'
        "-A CNI-HOSTPORT-DNAT -p udp -d 172.18.0.3 --dport 53"
        ' -m comment --comment "shop/names" -j DNAT --to-destination 10.244.1.6:5353\n'
        "-A CNI-HOSTPORT-DNAT -s 10.244.1.5 -p tcp --dport 8080"
        ' -m comment --comment "shop/web" -j CNI-HOSTPORT-SETMARK\n'
        "-A CNI-HOSTPORT-DNAT -s 127.0.0.1/32 -p tcp --dport 8080"
        ' -m comment --comment "shop/web" -j CNI-HOSTPORT-SETMARK\n'
        "-A CNI-HOSTPORT-DNAT -p tcp --dport 8080"
        ' -m comment --comment "shop/web" -j DNAT --to-destination 10.244.1.5:80\n'
        "COMMIT\n"
    )


def test_ipv6_addresses_stand_in_brackets_and_families_apart() -> None:
    text = render([WEB, SIX], IPV6)
    assert "--to-destination [fd00::5]:80" in text and "10.244" not in text


def test_ports_lead_to_the_addresses_that_they_concern() -> None:
    every = {"protocol": "tcp", "hostIP": "", "hostPort": 8080, "containerPort": 80}
    rows = mappings("shop/web", ["10.244.1.5", "fd00::5"], [every, {**every, "hostIP": "172.18.0.3", "hostPort": 81}])
    assert [(row.address, row.host_ip, row.host_port) for row in rows] == [
        ("10.244.1.5", "", 8080),
        ("fd00::5", "", 8080),
        ("10.244.1.5", "172.18.0.3", 81),
    ]
    assert mappings("shop/web", ["10.244.1.5"], []) == []
