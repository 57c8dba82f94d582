"""Rows of the image catalogue, and the search for the one that an image name means."""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from knet.images.reference import InvalidReference, Reference, familiar, parse

HERE = Path(__file__).parent


class CatalogueError(ValueError):
    """A catalogue file that cannot be used, with file, row and reason in one line."""


class UnknownImage(LookupError):
    """No row answers to the name."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One image, with the Dockerfile's words for what a Dockerfile has.

    ``names``: references without a tag, completed as usual; with a ``*`` a pattern over ``domain/path``.
    ``base``: "host" lays the files over this host's file system (private parts hidden), "busybox" over busybox'
    applets and nothing else.  ``needs``: program → Debian package that has it.  ``files``: a directory,
    relative to the catalogue; ``opaque``: directories of the host that must not shine through.  ``python``: "base"
    shows containers this interpreter, "knet" also knet itself.
    """

    names: tuple[str, ...]
    base: str = "host"
    needs: dict[str, str] = {}
    files: str = ""
    opaque: tuple[str, ...] = ()
    python: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: dict[str, str] = {}
    ports: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True)
class Entry:
    """A row with the directory that its ``files`` are relative to."""

    row: Row
    directory: Path


class Catalogue:
    """All rows, the user's before ours, so that a user can replace an image of ours.

    The user's file, ``extra``, need not be there yet, and is read again whenever it has changed.
    """

    def __init__(self, extra: Path | None = None) -> None:
        self._extra = extra
        self._version: tuple[int, int] | None = None
        self._theirs: list[Entry] = []
        self._ours = load(HERE / "catalogue.yaml")

    def _refresh(self) -> None:
        if self._extra is None:
            return
        try:
            found = self._extra.stat()
        except FileNotFoundError:
            self._version, self._theirs = None, []
            return
        if self._version != (found.st_mtime_ns, found.st_size):
            self._theirs = load(self._extra)
            self._version = (found.st_mtime_ns, found.st_size)

    def find(self, reference: Reference) -> Entry:
        """The first row with such a name; raises UnknownImage with a message that says what to do, CatalogueError."""
        self._refresh()
        for entry in self:
            if any(_matches(name, reference.repository) for name in entry.row.names):
                return entry
        raise UnknownImage(
            f"{reference}: not in knet's image catalogue. Images are local rows, nothing is downloaded: add a row "
            f'(- names: ["{familiar(reference)}"] and cmd: [...]) to '
            + (f"{self._extra}" if self._extra else "a YAML file and start the cluster with --images FILE")
        )

    def __iter__(self) -> Iterator[Entry]:
        return iter((*self._theirs, *self._ours))


def load(path: Path) -> list[Entry]:
    """The rows of a catalogue file; raises CatalogueError."""
    try:
        content = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        rows = msgspec.convert(content or [], type=list[Row])
    except OSError as error:
        raise CatalogueError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise CatalogueError(f"{path}: {' '.join(str(error).split())}") from None
    for number, row in enumerate(rows):
        reason = _fault(row, path.parent)
        if reason:
            raise CatalogueError(f"{path}: row {number + 1}: {reason}")
    return [Entry(row, path.parent) for row in rows]


def _fault(row: Row, directory: Path) -> str:
    if not row.names:
        return "names: at least one is needed"
    if row.base not in ("host", "busybox"):
        return f'base: "{row.base}" is neither "host" nor "busybox"'
    if row.python not in ("", "base", "knet"):
        return f'python: "{row.python}" is neither "base" nor "knet"'
    if row.files and not (directory / row.files).is_dir():
        return f"files: there is no directory {directory / row.files}"
    for name in row.names:
        if "*" not in name:
            try:
                parse(name)
            except InvalidReference as error:
                return str(error)
    return ""


def _matches(name: str, repository: str) -> bool:
    if "*" in name:
        return fnmatch.fnmatchcase(repository, name)
    return parse(name).repository == repository
