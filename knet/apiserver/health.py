"""/healthz, /livez, /readyz and /version: all that somebody without an identity may read.

https://kubernetes.io/docs/reference/using-api/health-checks/
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

import orjson

from knet.api.names import KUBERNETES_VERSION
from knet.apiserver.http import Response

ENDPOINTS = ("/healthz", "/livez", "/readyz")

#: says what is wrong, "" if nothing is
Check = Callable[[], str]


class Health:
    """The checks of one server by name; those of ``ready_only`` are asked by /readyz alone."""

    def __init__(self, checks: Mapping[str, Check], ready_only: Mapping[str, Check]) -> None:
        self._live = {"ping": _fine, "log": _fine, **checks}
        self._ready = {**self._live, **ready_only}

    def answer(self, path: str, raw_query: str) -> Response | None:
        """What a path below one of `ENDPOINTS` answers, None where there is no such check.

        ``?verbose`` lists all checks, ``?exclude=NAME`` leaves one out; /livez/NAME is one check alone.
        """
        endpoint, _, name = path.lstrip("/").partition("/")
        if f"/{endpoint}" not in ENDPOINTS:
            return None
        checks = self._ready if endpoint == "readyz" else self._live
        if name:
            check = checks.get(name)
            return _one(check()) if check is not None else None
        query = parse_qs(raw_query, keep_blank_values=True)
        return _all(endpoint, checks, query.get("exclude", ()), "verbose" in query)


def _fine() -> str:
    return ""


def _one(wrong: str) -> Response:
    return _text(f"internal server error: {wrong}\n", 500) if wrong else _text("ok")


def _all(endpoint: str, checks: Mapping[str, Check], exclude: Sequence[str], verbose: bool) -> Response:
    lines = []
    failed = False
    for name, check in checks.items():
        if name in exclude:
            lines.append(f"[+]{name} excluded: ok")
        elif check():
            failed = True
            lines.append(f"[-]{name} failed: reason withheld")
        else:
            lines.append(f"[+]{name} ok")
    unknown = [name for name in exclude if name not in checks]
    if unknown:
        names = ", ".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
    lines.append(f"{endpoint} check {'failed' if failed else 'passed'}")
    return _text("\n".join(lines) + "\n", 500 if failed else 200) if failed or verbose else _text("ok")


def _text(text: str, status: int = 200) -> Response:
    return Response(text.encode(), status, "text/plain; charset=utf-8", [("X-Content-Type-Options", "nosniff")])


def version() -> Response:
    """version.Info; knet shows in the build metadata of the version (semver's ``+``)."""
    major, minor, _ = KUBERNETES_VERSION.lstrip("v").split(".")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    info = {
        "major": major,
        "minor": minor,
        "gitVersion": f"{KUBERNETES_VERSION}+knet",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2024-12-11T17:59:15Z",
        "goVersion": "",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{machine}",
    }
    return Response(orjson.dumps(info, option=orjson.OPT_INDENT_2))  # as upstream, for everybody
