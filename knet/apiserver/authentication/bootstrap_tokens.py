"""Bootstrap tokens: ID.SECRET, kept in a Secret kube-system/bootstrap-token-ID, good for joining a cluster.

https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

import hmac
import re
from base64 import b64decode
from datetime import UTC, datetime

from knet.api.names import BOOTSTRAP_TOKEN_SECRET
from knet.apiserver.authentication.accounts import InvalidToken
from knet.apiserver.user import User
from knet.store import Store

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = "system:bootstrappers"
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


def user_of(token: str, store: Store) -> User | None:
    """Whom a bootstrap token stands for; None for what looks like no such token; raises InvalidToken."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    identity, secret = match.groups()
    record = store.get(f"/registry/secrets/kube-system/bootstrap-token-{identity}")
    value = record.decode() if record else {}
    if value.get("type") != BOOTSTRAP_TOKEN_SECRET or value["metadata"].get("deletionTimestamp"):
        raise InvalidToken("invalid bearer token")
    data = {key: b64decode(text).decode(errors="replace") for key, text in (value.get("data") or {}).items()}
    good = (
        hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode())
        and data.get("token-id") == identity
        and not is_expired(data.get("expiration", ""))
        and data.get("usage-bootstrap-authentication") == "true"
    )
    extra = [group.strip() for group in data.get("auth-extra-groups", "").split(",") if group.strip()]
    if not good or not all(_EXTRA_GROUP.fullmatch(group) for group in extra):
        raise InvalidToken("invalid bearer token")
    groups = dict.fromkeys((_GROUP, *sorted(extra), "system:authenticated"))
    return User(f"system:bootstrap:{identity}", tuple(groups))


def is_expired(expiration: str) -> bool:
    """Whether an expiration (RFC 3339, "" for never) has passed, or cannot be understood."""
    if not expiration:
        return False
    try:
        until = datetime.fromisoformat(expiration)
    except ValueError:
        return True
    return (until if until.tzinfo else until.replace(tzinfo=UTC)) <= datetime.now(UTC)
