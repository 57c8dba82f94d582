"""The query parameters of lists, watches and deletions of collections, refused as upstream where they make no sense.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import orjson

from knet.apiserver import field
from knet.apiserver.kind import Kind
from knet.apiserver.options import Query, flag, integer
from knet.apiserver.selection import ALL, Selection, selection
from knet.apiserver.status import bad_request, invalid

#: the revision of a token that goes on with what there is now
LATEST = -1
_MATCH = "resourceVersionMatch"
_EXACT, _NOT_OLDER = "Exact", "NotOlderThan"
_TOKEN_VERSION = "meta.k8s.io/v1"
_INVALID_TOKEN = "invalid continue token: continue key is not valid"


@dataclass(frozen=True, slots=True)
class Continue:
    """Where a chunked list goes on: as of ``revision``, with the key ``start``, which is relative to the list's."""

    revision: int
    start: str

    def encode(self) -> str:
        """The opaque token that clients get; upstream's form."""
        token = {"v": _TOKEN_VERSION, "rv": self.revision, "start": self.start}
        return base64.urlsafe_b64encode(orjson.dumps(token)).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Of list, watch and deletecollection."""

    selection: Selection = ALL
    limit: int = 0
    continues: Continue | None = None
    #: None where the client gave none; 0 is "any version will do"
    revision: int | None = None
    match: Literal["", "NotOlderThan", "Exact"] = ""
    watch: bool = False
    bookmarks: bool = False
    #: None where the client did not say
    send_initial: bool | None = None
    timeout: int = 0

    @property
    def exact(self) -> int:
        """The revision that a list has to show, 0 where the latest will do."""
        if self.continues:
            return max(self.continues.revision, 0)
        legacy = self.limit and not self.match
        return self.revision or 0 if self.match == _EXACT or legacy else 0


def list_options(query: Query, kind: Kind, watch: bool = False) -> ListOptions:
    """Read the parameters; StatusError 400 or 422.  ``watch``: the path says that it is one."""
    if not query and not watch:
        return ListOptions()
    watch = watch or flag(query, "watch")
    send_initial = flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None
    match, version = query.get(_MATCH, ""), query.get("resourceVersion", "")
    if watch and send_initial is None and not match and version in ("", "0"):
        # what a watch without a version has always done, in today's terms
        send_initial, match = True, _NOT_OLDER
    token = query.get("continue", "")
    limit = max(integer(query, "limit"), 0)
    timeout = integer(query, "timeoutSeconds")
    problems = list((_watch_problems if watch else _list_problems)(match, version, token, send_initial))
    if problems:
        raise invalid("meta.k8s.io", "ListOptions", "", problems)
    selected = selection(query, kind)
    continues = _decoded(token) if token and not watch else None
    if continues and version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    return ListOptions(
        selection=selected,
        limit=0 if version == "0" and not token else limit,  # upstream answers these from its cache, whole
        continues=continues,
        revision=_watch_revision(version, kind) if watch else revision(version),
        match=match,  # type: ignore[arg-type]  # checked above
        watch=watch,
        bookmarks=flag(query, "allowWatchBookmarks"),
        send_initial=send_initial,
        timeout=timeout,
    )


def _list_problems(match: str, version: str, token: str, send_initial: bool | None) -> Iterator[field.FieldError]:
    if match:
        if not version:
            yield field.forbidden(_MATCH, f"{_MATCH} is forbidden unless resourceVersion is provided")
        if token:
            yield field.forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided")
        if match not in (_EXACT, _NOT_OLDER):
            yield field.not_supported(_MATCH, match, (_EXACT, _NOT_OLDER, ""))
        if match == _EXACT and version == "0":
            yield field.forbidden(_MATCH, f'{_MATCH} "exact" is forbidden for resourceVersion "0"')
    if send_initial is not None:
        yield field.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")


def _watch_problems(match: str, version: str, token: str, send_initial: bool | None) -> Iterator[field.FieldError]:
    if send_initial is not None and match != _NOT_OLDER:
        yield field.forbidden(_MATCH, f"sendInitialEvents requires setting {_MATCH} to {_NOT_OLDER}")
    if match:
        if send_initial is None:
            yield field.forbidden(_MATCH, f"{_MATCH} is forbidden for watch unless sendInitialEvents is provided")
        if match != _NOT_OLDER:
            yield field.not_supported(_MATCH, match, (_NOT_OLDER,))
        if token:
            yield field.forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided")


def _parsed(text: str) -> int:
    """A resourceVersion; ValueError with Go's words."""
    if not re.fullmatch("[0-9]+", text):
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if len(text) > 100 or int(text) >= 1 << 64:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def revision(text: str) -> int | None:
    """The resourceVersion of a get or list, None for ""; StatusError 400."""
    try:
        return _parsed(text) if text else None
    except ValueError as error:
        problem = field.invalid("resourceVersion", text, str(error))
        raise bad_request(f"invalid resource version: {problem}") from None


def _watch_revision(text: str, kind: Kind) -> int | None:
    try:
        return _parsed(text) if text else None
    except ValueError as error:
        problem = field.invalid("resourceVersion", text, str(error))
        raise invalid(kind.resource.group, kind.resource.plural, "", [problem]) from None


def _decoded(token: str) -> Continue:
    """A token that some server gave out; StatusError 400."""
    if wrong := re.search("[^A-Za-z0-9_-]", token):
        raise bad_request(f"{_INVALID_TOKEN}: illegal base64 data at input byte {wrong.start()}")
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError as error:
        raise bad_request(f"{_INVALID_TOKEN}: {error}") from None
    version, at, start = (value.get(key) for key in ("v", "rv", "start")) if isinstance(value, dict) else (None,) * 3
    if version != _TOKEN_VERSION:
        raise bad_request(f"{_INVALID_TOKEN}: server does not recognize this encoded version {version or ''}")
    if not isinstance(at, int) or at == 0:
        raise bad_request(f"{_INVALID_TOKEN}: incorrect encoded start resourceVersion (version {_TOKEN_VERSION})")
    if not isinstance(start, str) or not start:
        raise bad_request(f"{_INVALID_TOKEN}: encoded start key empty (version {_TOKEN_VERSION})")
    if any(part in ("", ".", "..") for part in start.removeprefix("/").split("/")):
        raise bad_request(f"{_INVALID_TOKEN}: {start}")
    return Continue(at, start.removeprefix("/"))
