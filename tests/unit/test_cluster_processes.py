"""What becomes of components: when one that died is started again, and what other wishes mean for those that run."""

import pytest

from knet.cluster.components import Component
from knet.cluster.processes import RESTARTED, STARTED, STOPPED, Backoff, Running, changes


@pytest.mark.parametrize(
    ("lived", "delays"),
    [
        ([0.1] * 9, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),
        ([0.1, 0.1, 9.9, 10.1, 0.1], [0.05, 0.1, 0.2, 0.05, 0.1]),
    ],
)
def test_what_dies_is_started_after_a_growing_delay_unless_it_has_lived(
    lived: list[float], delays: list[float]
) -> None:
    backoff = Backoff()
    assert [backoff.after(seconds) for seconds in lived] == delays


def proxy(mode: str, machine: str = "n1") -> Component:
    return Component("kube-proxy", machine, "knet.proxy.main", {"mode": mode})


KUBELET = Component("kubelet", "n1", "knet.kubelet.main", {})
IPTABLES, IPVS, OTHER = proxy("iptables"), proxy("ipvs"), proxy("iptables", "n2")


@pytest.mark.parametrize(
    ("wanted", "known", "became"),
    [
        ([KUBELET, IPTABLES], [Running(KUBELET), Running(IPTABLES)], {}),
        ([KUBELET, IPVS], [Running(KUBELET), Running(IPTABLES)], {"kube-proxy@n1": RESTARTED}),
        ([KUBELET], [Running(KUBELET), Running(IPTABLES)], {"kube-proxy@n1": STOPPED}),
        ([KUBELET], [Running(KUBELET), Running(IPTABLES, off=True)], {}),
        ([KUBELET, IPVS], [Running(KUBELET), Running(IPTABLES, off=True)], {"kube-proxy@n1": STARTED}),
        ([KUBELET, OTHER], [Running(KUBELET)], {"kube-proxy@n2": STARTED}),
        ([], [Running(KUBELET), Running(IPTABLES)], {"kube-proxy@n1": STOPPED}),
    ],
)
def test_other_wishes_touch_what_differs_and_end_only_what_is_optional(
    wanted: list[Component], known: list[Running], became: dict[str, str]
) -> None:
    assert changes({row.title: row for row in wanted}, {row.component.title: row for row in known}) == became
