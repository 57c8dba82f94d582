"""/healthz, /livez, /readyz and /version: all that somebody without an identity may read."""

import platform

import orjson

from knet.api.names import KUBERNETES_VERSION
from knet.apiserver.http import Response

#: the checks that ``?verbose`` lists; a server that answers at all has passed them
_CHECKS = ("ping", "log", "store", "poststarthook/bootstrap-namespaces", "poststarthook/service-ip-allocations")
ENDPOINTS = ("/healthz", "/livez", "/readyz")


def health(path: str, verbose: bool, ready: bool) -> Response | None:
    """The answer for a path below one of `ENDPOINTS`, None for other paths.  ``ready``: bootstrap is through."""
    endpoint, _, check = path.lstrip("/").partition("/")
    if f"/{endpoint}" not in ENDPOINTS or (check and check not in _CHECKS):
        return None
    failing = endpoint == "readyz" and not ready
    if check or not (verbose or failing):
        return _text("ok")
    lines = [f"[{'-' if failing and name.startswith('poststarthook') else '+'}]{name} ok" for name in _CHECKS]
    lines.append(f"{endpoint} check {'failed' if failing else 'passed'}")
    return _text("\n".join(lines) + "\n", 500 if failing else 200)


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
    return Response(orjson.dumps(info))
