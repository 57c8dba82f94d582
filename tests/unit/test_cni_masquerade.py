"""flanneld's chains, byte for byte as iptables-save prints them."""

from knet.cni.masquerade import chains

NAT, FILTER = chains("10.244.0.0/16", "10.244.1.0/24")


def test_pods_are_masqueraded_only_on_their_way_out_of_the_cluster():
    comment = '-m comment --comment "flanneld masq"'
    assert NAT.text(jump_missing=True) == (
        "*nat\n"
        ":FLANNEL-POSTRTG - [0:0]\n"
        f"-A POSTROUTING {comment} -j FLANNEL-POSTRTG\n"
        f"-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 {comment} -j RETURN\n"
        f"-A FLANNEL-POSTRTG -s 10.244.1.0/24 -d 10.244.0.0/16 {comment} -j RETURN\n"
        f"-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.1.0/24 {comment} -j RETURN\n"
        f"-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.1.0/24 {comment} -j RETURN\n"
        f"-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 {comment} -j MASQUERADE --random-fully\n"
        f"-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 {comment} -j MASQUERADE --random-fully\n"
        "COMMIT\n"
    )


def test_forwarding_is_allowed_from_and_to_pods():
    assert FILTER.text(jump_missing=True) == (
        "*filter\n"
        ":FLANNEL-FWD - [0:0]\n"
        '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD\n'
        '-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT\n'
        '-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT\n'
        "COMMIT\n"
    )


def test_a_jump_that_is_there_is_not_made_again():
    assert "-A FORWARD" not in FILTER.text(jump_missing=False)


def test_without_masquerading_only_forwarding_is_set():
    assert [chain.table for chain in chains("10.244.0.0/16", "10.244.1.0/24", masquerade=False)] == ["filter"]


def test_ipv6_has_the_same_rules_but_for_what_is_multicast():
    nat, forward = chains("fd00:10:244::/56", "fd00:10:244:1::/64")
    assert (nat.family, forward.family) == ("IPv6", "IPv6")
    assert nat.rules[4] == (
        '-A FLANNEL-POSTRTG -s fd00:10:244::/56 ! -d ff00::/8 -m comment --comment "flanneld masq"'
        " -j MASQUERADE --random-fully"
    )
