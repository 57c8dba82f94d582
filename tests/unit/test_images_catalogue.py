from pathlib import Path

import pytest

from knet.images import Catalogue, CatalogueError, UnknownImage, parse
from knet.images.store import substitutions


@pytest.mark.parametrize(
    ("image", "first_word"),
    [
        ("nginx:1.27-alpine", "/docker-entrypoint.sh"),
        ("docker.io/library/httpd:2.4", "httpd-foreground"),
        ("busybox:1.36", "sh"),
        ("alpine", "/bin/sh"),
        ("registry.k8s.io/pause:3.10", "/pause"),
        ("registry.k8s.io/e2e-test-images/agnhost:2.53", "/agnhost"),
        ("hashicorp/http-echo:1.0", "/http-echo"),
        ("traefik/whoami", "/whoami"),
        ("nicolaka/netshoot", "/usr/local/bin/stay"),
        ("python:3.12-slim", "python3"),
        ("redis:7", "redis-server"),
        ("perl:5.34.0", "perl"),
        ("registry.k8s.io/etcd:3.5.1-0", "etcd"),
        ("polinux/stress", "stress"),
        ("registry.k8s.io/hpa-example", "/hpa-example"),
        ("quay.io/fluentd_elasticsearch/fluentd:v5.0.1", "/fluentd"),
        ("us-docker.pkg.dev/google-samples/containers/gke/gb-frontend:v5", "/hello-app"),
    ],
)
def test_textbook_images_are_there_under_any_tag(image: str, first_word: str) -> None:
    row = Catalogue().find(parse(image)).row
    assert (*row.entrypoint, *row.cmd)[0] == first_word


def test_every_row_names_files_that_exist() -> None:
    for entry in Catalogue():
        if entry.row.files:
            assert (entry.directory / entry.row.files).is_dir(), entry.row.names


def test_an_unknown_image_is_told_how_to_add_a_row() -> None:
    with pytest.raises(UnknownImage, match=r"docker.io/foo/bar:v1: not in knet's image catalogue.*--images FILE"):
        Catalogue().find(parse("foo/bar:v1"))


def test_a_row_that_is_added_is_found_at_the_next_look(tmp_path: Path) -> None:
    mine = tmp_path / "images.yaml"
    catalogue = Catalogue(mine)
    with pytest.raises(UnknownImage, match=rf'add a row \(- names: \["foo"\] and cmd: .*\) to {mine}$'):
        catalogue.find(parse("foo:v1"))
    mine.write_text("- names: [foo]\n  cmd: [one]\n")
    assert catalogue.find(parse("foo:v1")).row.cmd == ("one",)
    mine.write_text("- names: [foo]\n  cmd: [another]\n")
    assert catalogue.find(parse("foo:v1")).row.cmd == ("another",)
    mine.write_text("- [")
    with pytest.raises(CatalogueError):
        catalogue.find(parse("foo:v1"))
    mine.unlink()
    with pytest.raises(UnknownImage):
        catalogue.find(parse("foo:v1"))


def test_rows_of_the_user_come_first_and_may_be_patterns(tmp_path: Path) -> None:
    mine = tmp_path / "images.yaml"
    mine.write_text('- names: [nginx]\n  cmd: [mine]\n- names: ["registry.example/*/tool"]\n  cmd: [tool]\n')
    catalogue = Catalogue(mine)
    assert catalogue.find(parse("nginx")).row.cmd == ("mine",)
    assert catalogue.find(parse("registry.example/team/tool:1")).row.cmd == ("tool",)
    assert catalogue.find(parse("busybox")).row.cmd == ("sh",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- {cmd: [x]}", "missing required field `names`"),
        ("- {names: [a], comand: [x]}", "unknown field `comand`"),
        ("- {names: []}", "row 1: names: at least one is needed"),
        ("- {names: [a], base: debian}", 'row 1: base: "debian" is neither'),
        ("- {names: ['A B']}", "couldn't parse image name"),
        ("- names: [", "while parsing"),
        ("x: 1", "Expected `array`"),
    ],
)
def test_a_broken_catalogue_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    mine = tmp_path / "images.yaml"
    mine.write_text(text)
    with pytest.raises(CatalogueError) as caught:
        Catalogue(mine).find(parse("nginx"))
    message = str(caught.value)
    assert message.startswith(str(mine)) and complaint in message and "\n" not in message


def test_the_tag_reaches_the_files_so_that_versions_can_be_told_apart() -> None:
    assert substitutions(parse("nginx:1.28"))["@TAG@"] == "1.28"
    assert substitutions(parse("nginx"))["@IMAGE@"] == "docker.io/library/nginx:latest"
