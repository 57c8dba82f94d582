"""--controllers, as kube-controller-manager reads it."""

import pytest

from knet.cluster.config import ClusterConfig
from knet.cluster.errors import KnetError
from knet.controllers.main import CONTROLLERS
from knet.controllers.selection import ALIASES, selected, words

KNOWN = ("deployment-controller", "replicaset-controller", "job-controller")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("*", KNOWN),
        ("", ()),
        ("*,-deployment-controller", KNOWN[1:]),
        ("*, -deployment", KNOWN[1:]),
        ("-deployment-controller,*", KNOWN[1:]),
        ("job-controller", ("job-controller",)),
        ("job,replicaset", ("replicaset-controller", "job-controller")),
        ("job,-job", ("job-controller",)),
        ("-job,job", ()),
    ],
)
def test_the_first_word_about_a_controller_decides(asked: str, expected: tuple[str, ...]) -> None:
    assert tuple(selected(words(asked), KNOWN)) == expected


def test_former_names_are_of_controllers_that_there_are() -> None:
    assert set(ALIASES.values()) <= set(CONTROLLERS)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            {"controllers": "*,-deploymnet"},
            '--controllers *,-deploymnet: "deploymnet" is not in the list of known controllers; '
            "there are: deployment-controller, replicaset-controller,",
        ),
        (
            {"without": "kubelet"},
            "--without kubelet: a cluster can do without kube-controller-manager, kube-scheduler, kube-proxy.",
        ),
    ],
)
def test_names_that_are_none_are_refused_with_those_that_there_are(options: dict[str, str], complaint: str) -> None:
    with pytest.raises(KnetError) as caught:
        ClusterConfig(**options).check()  # type: ignore[arg-type]
    assert str(caught.value).startswith(complaint)


def test_what_is_off_is_known_by_name() -> None:
    config = ClusterConfig(controllers="*,-job,-cronjob", without="kube-proxy").check()
    assert config.switched_off() == ["kube-proxy", "job-controller", "cronjob-controller"]
    assert ClusterConfig().switched_off() == []
