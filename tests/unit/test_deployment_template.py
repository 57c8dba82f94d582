"""Pod templates: what is the same, and a hash that never changes for it."""

from typing import Any

import pytest

from knet.controllers.deployment.template import same_template, template_hash

WEB: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "nginx:1", "env": [{"name": "A", "value": "b"}]}]},
}


def spelled(**spec: Any) -> dict[str, Any]:
    return {"metadata": WEB["metadata"], "spec": {**WEB["spec"], **spec}}


@pytest.mark.parametrize(
    "other",
    [
        {"metadata": {"labels": {"app": "web"}, "creationTimestamp": None}, "spec": WEB["spec"]},
        {"metadata": {"labels": {"app": "web", "pod-template-hash": "abc"}}, "spec": WEB["spec"]},
        spelled(containers=[{**WEB["spec"]["containers"][0], "resources": {}, "args": []}]),
        spelled(hostNetwork=False, nodeSelector={}, tolerations=None),
    ],
)
def test_spellings_of_the_same_template(other: dict[str, Any]) -> None:
    assert same_template(WEB, other)
    assert template_hash(WEB) == template_hash(other)


@pytest.mark.parametrize(
    "other",
    [
        spelled(containers=[{**WEB["spec"]["containers"][0], "image": "nginx:2"}]),
        spelled(volumes=[{"name": "v", "emptyDir": {}}]),
        spelled(terminationGracePeriodSeconds=0),
        {"metadata": {"labels": {"app": "web", "x": ""}}, "spec": WEB["spec"]},
        {**WEB, "metadata": {**WEB["metadata"], "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}},
    ],
)
def test_differences_that_make_another_generation_of_pods(other: dict[str, Any]) -> None:
    assert not same_template(WEB, other)
    assert template_hash(WEB) != template_hash(other)


def test_the_hash_is_stable_across_releases_and_key_order() -> None:
    """A ReplicaSet's name comes of it: a create repeated after an upgrade of knet must meet the first one's."""
    assert template_hash(WEB) == "bbfdd5d6f"
    assert template_hash(dict(reversed(WEB.items()))) == "bbfdd5d6f"


def test_a_collision_leads_to_another_hash() -> None:
    assert len({template_hash(WEB), template_hash(WEB, 1), template_hash(WEB, 2)}) == 3


def test_hashes_use_upstreams_alphabet() -> None:
    assert set(template_hash(WEB)) <= set("bcdfghjklmnpqrstvwxz2456789")
