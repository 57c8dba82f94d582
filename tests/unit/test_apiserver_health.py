"""What /livez and /readyz say: lists of checks, one check, checks left out."""

import pytest

from knet.apiserver.health import Health

HEALTH = Health({"etcd": lambda: "gone"}, {"poststarthook/x": lambda: "not finished"})
FINE = Health({"etcd": lambda: ""}, {"poststarthook/x": lambda: ""})


@pytest.mark.parametrize(
    ("health", "path", "query", "code", "text"),
    [
        (FINE, "/livez", "", 200, "ok"),
        (
            FINE,
            "/readyz",
            "verbose",
            200,
            "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]poststarthook/x ok\nreadyz check passed\n",
        ),
        (FINE, "/livez/etcd", "", 200, "ok"),
        (HEALTH, "/livez/etcd", "", 500, "internal server error: gone\n"),
        (HEALTH, "/livez", "", 500, "[+]ping ok\n[+]log ok\n[-]etcd failed: reason withheld\nlivez check failed\n"),
        (HEALTH, "/livez", "exclude=etcd", 200, "ok"),
        (
            FINE,
            "/healthz",
            "verbose&exclude=no",
            200,
            '[+]ping ok\n[+]log ok\n[+]etcd ok\nwarn: some health checks cannot be excluded: no matches for "no"\n'
            "healthz check passed\n",
        ),
    ],
)
def test_answers(health: Health, path: str, query: str, code: int, text: str) -> None:
    answer = health.answer(path, query)
    assert answer is not None
    assert (answer.status, answer.body.decode()) == (code, text)


def test_other_paths_are_others() -> None:
    assert FINE.answer("/livez/no-such-check", "") is None
    assert FINE.answer("/livezy", "") is None
