"""What words choose, and what is said about words that choose nothing."""

from dataclasses import replace

import pytest
from inspect_cluster import INVENTORY, NODES, PODS, SERVICES, VTEPS

from knet.errors import KnetError
from knet.inspect.inventory import nearest
from knet.inspect.names import Names

CHOSEN = {
    "n1": ["n1"],
    "node/n1": ["n1"],
    "machine/client": ["client"],
    "s1": ["s1"],
    "switch/s1": ["s1"],
    "n1/cni0": ["n1/cni0"],
    "s1/s1-n1": ["s1/s1-n1"],
    "n*/cni0": ["n1/cni0", "n2/cni0"],
    "pod/web-0": ["pod/default/web-0"],
    "po/web-0/eth0": ["pod/default/web-0/eth0"],
    "other/pod/web-0": ["pod/other/web-0"],
    "other/pod/web-0/eth0": ["pod/other/web-0/eth0"],
    "pod/other/web-0": ["pod/other/web-0"],
    "pod/default/web-0/eth0": ["pod/default/web-0/eth0"],
    "pod/web-*": ["pod/default/web-0", "pod/default/web-1"],
    "pod/agent": ["n2"],
    "svc/web": ["pod/default/web-0", "pod/default/web-1"],
    "service/web/eth0": ["pod/default/web-0/eth0", "pod/default/web-1/eth0"],
    "other/deploy/web": ["pod/other/web-0"],
    "link/n1-s1": ["n1/n1-eth0", "s1/s1-n1"],
    "link/s1-n1": ["n1/n1-eth0", "s1/s1-n1"],
    "svc/web pod/web-1 n1 node/n1": ["pod/default/web-0", "pod/default/web-1", "n1"],
    "all": [
        *("cp1", "n1", "n2", "client", "s1"),
        *("pod/default/web-0", "pod/default/web-1", "pod/default/client", "pod/other/web-0", "pod/web-1/eth0"),
    ],
}


@pytest.mark.parametrize("words", CHOSEN)
def test_words_choose(words: str) -> None:
    found = INVENTORY.choose(words.split())
    assert ["/".join(filter(None, (str(row.spot), row.interface))) for row in found] == CHOSEN[words]


def test_a_namespace_is_where_pods_are_looked_for() -> None:
    [choice] = INVENTORY.choose(["pod/web-0"], "other")
    assert str(choice.spot) == "pod/other/web-0"


REFUSED = {
    "n3": "there is no machine or switch called 'n3'; did you mean n1, n2?",
    "web-0": "there is no machine or switch called 'web-0'; did you mean pod/web-0, other/pod/web-0, pod/web-1?",
    "pod/web": "there is no pod in namespace default called 'web'; did you mean pod/web-0, pod/web-1, svc/web?",
    "pod/web0": "there is no pod in namespace default called 'web0'; did you mean pod/web-0, pod/web-1, svc/web?",
    "third/pod/web-0": "there is no pod web-0 in namespace third; there is default/pod/web-0, other/pod/web-0",
    "pod/web-1/eth0": "pod/web-1/eth0 may be interface eth0 of pod web-1 in namespace default or pod eth0 in namespace "
    "web-1: say NAMESPACE/pod/NAME/INTERFACE",
    "svc/wbe": "there is no service in namespace default called 'wbe'; did you mean svc/web, pod/web-1, "
    "other/deployment/web?",
    "svc/headless": "svc/headless has no pods",
    "link/n1-n2": "there is no link called 'n1-n2'; did you mean link/n1-s1, link/n2-s1, n1?",
    "pod/": "'pod/': say pod/NAME",
    "pod": "'pod': say pod/NAME",
    "n1/cni0/eth0": "'n1/cni0/eth0' has a part too many",
    "nothing-like-it": "there is no machine or switch called 'nothing-like-it'",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_cannot_be_chosen_is_told_in_one_line(word: str) -> None:
    with pytest.raises(KnetError) as refusal:
        INVENTORY.choose([word])
    assert str(refusal.value) == REFUSED[word]


def test_without_an_api_server_machines_switches_and_links_can_be_chosen() -> None:
    blind = replace(INVENTORY, pods=(), members={}, blind="connection refused")
    assert len(blind.choose(["n1", "s1", "link/client-s1", "all"])) == 7
    with pytest.raises(KnetError, match="svc/web cannot be looked up: the API server does not answer"):
        blind.choose(["svc/web"])


def test_the_nearest_names_are_those_that_go_on_and_those_that_look_alike() -> None:
    known = ["pod/web-6c9f-2xkqp", "pod/web-6c9f-9mzt4", "pod/client", "svc/web", "n1"]
    assert nearest("pod/web", known) == ["pod/web-6c9f-2xkqp", "pod/web-6c9f-9mzt4", "svc/web"]
    assert nearest("pod/cleint", known) == ["pod/client"]


NAMED = {
    "10.244.1.2": "default/web-0",
    "10.244.1.5": "other/web-0",
    "10.244.1.4": "10.244.1.4",
    "10.96.0.80": "svc/default/web",
    "192.0.2.1": "svc/default/web",
    "172.18.0.4": "n2",
    "None": "None",
}


def test_addresses_have_the_names_of_their_owners() -> None:
    names = Names()
    names.know(PODS, NODES, SERVICES)
    assert {address: names.text(address) for address in NAMED} == NAMED
    assert names.hardware_text(VTEPS["n2"]) == "n2"
    assert names.hardware_text("0a:58:0a:f4:01:02") == "default/web-0"
    assert "10.244.9.9" not in names


def test_an_address_is_the_new_owners_from_its_first_day_on() -> None:
    names = Names()
    names.know(PODS, NODES, SERVICES)
    names.know([row for row in PODS if row.name != "client"], NODES, SERVICES)
    assert names.text("10.244.1.3") == "default/client"
