"""What a namespace asks for: a level and a version of it for each of the modes enforce, audit and warn."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from knet.apiserver import field

PREFIX = "pod-security.kubernetes.io/"
#: from the least to the most strict
LEVELS = ("privileged", "baseline", "restricted")
#: stands for the newest version of a level
LATEST = 1 << 30

_VERSION = re.compile(r"v1\.(0|[1-9]\d*)")


class Level(NamedTuple):
    """A level at the version of Kubernetes' minor number."""

    name: str = "privileged"
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.name}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"


class Policy(NamedTuple):
    """What a namespace's labels say."""

    enforce: Level = Level()
    audit: Level = Level()
    warn: Level = Level()


PRIVILEGED = Policy()


def policy_of(labels: Mapping[str, str]) -> tuple[Policy, field.Errors]:
    """The policy of a namespace's labels, and what is wrong with them.

    Where enforce cannot be read it is restricted; audit and warn then ask for nothing.
    """
    asked = tuple(sorted((key, value) for key, value in labels.items() if key.startswith(PREFIX)))
    return _policy(asked) if asked else (PRIVILEGED, [])


@lru_cache(maxsize=256)
def _policy(asked: tuple[tuple[str, str], ...]) -> tuple[Policy, field.Errors]:
    labels, errors = dict(asked), field.Errors()
    enforce = _level(labels, "enforce", "restricted", errors)
    enforced_by_label = labels.get(f"{PREFIX}enforce") in LEVELS
    audit = _level(labels, "audit", "privileged", errors)
    warn = _level(labels, "warn", "privileged", errors)
    if f"{PREFIX}warn" not in labels and enforced_by_label and enforce.name != "privileged":
        warn = Level(enforce.name, warn.minor if f"{PREFIX}warn-version" in labels else enforce.minor)
    return Policy(enforce, audit, warn), errors


def _level(labels: Mapping[str, str], mode: str, otherwise: str, errors: field.Errors) -> Level:
    name = labels.get(PREFIX + mode, "privileged")
    if name not in LEVELS:
        errors.append(_invalid(PREFIX + mode, name, f"must be one of {', '.join(LEVELS)}"))
        name = otherwise
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    match = _VERSION.fullmatch(version)
    if match is None and version != "latest":
        errors.append(_invalid(f"{PREFIX}{mode}-version", version, 'must be "latest" or "v1.x"'))
    return Level(name, int(match[1]) if match else LATEST)


def _invalid(label: str, value: str, detail: str) -> field.FieldError:
    return field.invalid(f"metadata.labels[{label}]", value, detail)
