"""Image references: ``[domain/]path[:tag][@digest]``, completed as docker and containerd complete them.

Grammar and defaults: https://github.com/distribution/reference
"""

import functools
import re
from dataclasses import dataclass

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_DOMAIN = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")


class InvalidReference(ValueError):
    """Not an image name; the message is upstream's."""


@dataclass(frozen=True)
class Reference:
    """A complete reference: ``tag`` is "" only where a digest says which image is meant."""

    domain: str
    path: str
    tag: str
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Reference:
    """``nginx`` is docker.io/library/nginx:latest; raises InvalidReference.

    The first component is a domain if it has a dot, a colon or a capital letter, or is ``localhost``.
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(text)
    head, slash, tail = rest.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost" or head != head.lower()):
        domain, rest = head, tail
    else:
        domain = DEFAULT_DOMAIN
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    path, colon, tag = rest.partition(":")
    if path != path.lower():
        raise _invalid(text, f": repository name ({_full(domain, path)}) must be lowercase")
    if (colon and not _TAG.fullmatch(tag)) or not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
        raise _invalid(text)
    return Reference(domain, _full(domain, path), tag or ("" if digest else DEFAULT_TAG), digest)


def familiar(reference: Reference) -> str:
    """The repository as people write it: ``nginx`` for docker.io/library/nginx."""
    return reference.repository.removeprefix(f"{DEFAULT_DOMAIN}/").removeprefix("library/")


def _full(domain: str, path: str) -> str:
    return f"library/{path}" if domain == DEFAULT_DOMAIN and "/" not in path else path


def _invalid(text: str, more: str = "") -> InvalidReference:
    return InvalidReference(f'couldn\'t parse image name "{text}": invalid reference format{more}')
