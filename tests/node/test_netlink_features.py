"""Probes tell the truth about this kernel, and leave no trace."""

import subprocess

import pytest

from knet.kernel import features, links, namespaces, qdiscs
from knet.kernel.features import FEATURES, FeatureMissing, missing, require
from knet.kernel.links import VethEnd
from knet.kernel.netlink import Netlink, NetlinkError

pytestmark = pytest.mark.root


def test_what_knet_cannot_do_without_is_here():
    assert missing(["veth", "bridge", "br_netfilter", "overlayfs", "iptables", "conntrack"]) == []


def test_netem_is_reported_missing_exactly_if_it_cannot_be_used():
    held = namespaces.create("net")
    try:
        with Netlink(held.fds["net"]) as netlink:
            netlink.send(links.create_veth(VethEnd("a"), VethEnd("b")))
            lacking = [str(feature) for feature in missing(["netem"])]
            try:
                qdiscs.apply(netlink, "a", qdiscs.Impairment(rate=1e6, delay=0.01))
                assert lacking == []
            except NetlinkError:
                assert lacking == ["netem"]
                assert "tbf" not in [found.kind for found in qdiscs.list_qdiscs(netlink, "a")]
    finally:
        held.close()


def test_a_complaint_names_the_module_the_purpose_and_a_remedy(monkeypatch: pytest.MonkeyPatch):
    def absent() -> bool:
        raise OSError("no such thing")

    monkeypatch.setitem(FEATURES, "warp", features.Feature("warp", "sch_warp", "travel", absent))
    with pytest.raises(FeatureMissing, match=r"^warp: travel needs the kernel module sch_warp, .* does not have; "):
        require("bridge", "warp")


def test_an_unknown_name_is_a_mistake_of_the_caller():
    with pytest.raises(KeyError):
        missing(["flux-capacitor"])


def test_probing_leaves_no_interface_and_no_rule():
    def look() -> tuple[str, str]:
        shown = [["ip", "-o", "link"], ["iptables-save"]]
        found = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in shown]
        return found[0], "\n".join(line for line in found[1].splitlines() if not line.startswith("#"))

    before = look()
    missing(FEATURES)
    assert look() == before
