import pytest

from knet.images import InvalidReference, parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("hashicorp/http-echo", "docker.io/hashicorp/http-echo:latest"),
        ("registry.k8s.io/e2e-test-images/agnhost:2.39", "registry.k8s.io/e2e-test-images/agnhost:2.39"),
        ("localhost:5000/mine", "localhost:5000/mine:latest"),
        ("localhost/mine:v1", "localhost/mine:v1"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"nginx:1.27@{DIGEST}", f"docker.io/library/nginx:1.27@{DIGEST}"),
    ],
)
def test_a_reference_is_completed_as_containerd_does(text: str, complete: str) -> None:
    assert str(parse(text)) == complete


@pytest.mark.parametrize("text", ["", "UPPER", "nginx:", "a b", "nginx:tag!", "-x", "nginx@sha256:12", "a//b", "x:y:z"])
def test_what_is_no_reference_is_refused_with_upstreams_words(text: str) -> None:
    with pytest.raises(InvalidReference, match=r"^couldn't parse image name"):
        parse(text)
