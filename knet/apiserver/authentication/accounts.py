"""Service-account tokens: issued, and checked against what they are bound to.

A token is a JWT signed with the service account key (ES256).  It is good for its audiences, until it expires, and as
long as its account, and the Pod, Secret or Node it is bound to, live; the long-lived kind that a Secret of type
kubernetes.io/service-account-token holds is good as long as that Secret holds it.
KEP-1205; https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

import hmac
import time
import uuid
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from knet.api.names import LEGACY_TOKEN_ISSUER
from knet.apiserver.authentication import issuer
from knet.apiserver.user import CREDENTIAL_ID, User
from knet.store import Object, Record, Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
#: who a token is for, if the request names nobody: the API server
AUDIENCE = ISSUER
_ALGORITHM = "ES256"
#: what a pod's volume asks for by the admission plugin; upstream gives such tokens a year (seconds), so that programs
#: that read theirs only once go on working, and asks the kubelet to replace them as if they had not got it
EXTENDED_FROM, _EXTENDED = 3607, 365 * 24 * 3600
#: seconds for which a token outlives the deletion of what it is bound to (pkg/serviceaccount: jwt.DefaultLeeway)
_LEEWAY = 60
#: looked at each time a token is used, and not only when it is verified
_UNCHECKED: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
#: tokens remembered at most
_REMEMBERED = 8192


class InvalidToken(Exception):
    """Nobody's token; the text says why, as a TokenReview tells it."""


class _Bond:
    """An object without which a token is worth nothing."""

    __slots__ = ("_key", "_record", "_uid", "_until")

    def __init__(self, key: str, uid: str) -> None:
        self._key = key
        self._uid = uid
        self._record: Record | None = None
        self._until = inf

    def holds(self, store: Store, now: float) -> bool:
        """Whether that object, and no successor of its name, is still there."""
        record = store.get(self._key)
        if record is None:
            return False
        if record is not self._record:
            metadata = record.decode()["metadata"]
            if metadata["uid"] != self._uid:
                return False
            deleted = metadata.get("deletionTimestamp")
            self._until = datetime.fromisoformat(deleted).timestamp() + _LEEWAY if deleted else inf
            self._record = record
        return now < self._until


class Verified:
    """A token that has been looked at: whose it is, and on what that hangs."""

    __slots__ = ("audiences", "bonds", "expires", "starts", "user")

    def __init__(
        self, user: User, audiences: frozenset[str], starts: float, expires: float, bonds: list[_Bond]
    ) -> None:
        self.user = user
        self.audiences = audiences
        self.starts = starts
        self.expires = expires
        self.bonds = bonds


class Tokens:
    """Issues and checks service-account tokens."""

    def __init__(self, pki: Path, store: Store) -> None:
        """``pki`` holds sa.key and sa.pub, an EC P-256 pair in PEM."""
        self._private: Any = load_pem_private_key((pki / "sa.key").read_bytes(), None)
        self._public: Any = load_pem_public_key((pki / "sa.pub").read_bytes())
        self._key_id = issuer.key_id(self._public)
        self._store = store
        self._verified: dict[str, Verified] = {}

    def discovery(self) -> dict[str, tuple[str, bytes]]:
        """Path → media type and content: what others need to verify tokens (OpenID discovery)."""
        return issuer.documents(self._public, ISSUER, _ALGORITHM)

    def issue(
        self, account: Object, audiences: Sequence[str], seconds: int, bound: Mapping[str, Mapping[str, str]]
    ) -> tuple[str, int]:
        """A token for an account, and when it expires as far as its owner is told (Unix time).

        ``bound``: "pod", "node" or "secret" → name and uid.
        """
        metadata = account["metadata"]
        issued = int(time.time())
        extended = seconds == EXTENDED_FROM and set(audiences) == {AUDIENCE}
        private: Object = {
            "namespace": metadata["namespace"],
            **{kind: dict(identity) for kind, identity in sorted(bound.items())},
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if extended:
            private["warnafter"] = issued + seconds
        claims: Object = {
            "aud": list(audiences),
            "exp": issued + (_EXTENDED if extended else seconds),
            "iat": issued,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": issued,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        token = jwt.encode(claims, self._private, _ALGORITHM, {"kid": self._key_id})
        return token, issued + seconds

    def check(self, token: str, audiences: Iterable[str] = (AUDIENCE,)) -> tuple[User, list[str]]:
        """Whom a token stands for, and for which of the audiences; raises InvalidToken."""
        verified = self._verified.get(token)
        if verified is None:
            verified = self._verify(token)
            if verified.expires < inf:  # the others have to be compared with their Secrets, which may change
                if len(self._verified) >= _REMEMBERED:
                    self._verified.clear()
                self._verified[token] = verified
        now = time.time()
        if now >= verified.expires:
            raise InvalidToken("[invalid bearer token, service account token has expired]")
        if now + _LEEWAY < verified.starts:
            raise InvalidToken("[invalid bearer token, service account token is not valid yet]")
        good = [audience for audience in audiences if audience in verified.audiences]
        if not good:
            raise InvalidToken(
                f"[invalid bearer token, token audiences {_listed(verified.audiences)} is invalid for the target"
                f" audiences {_listed(audiences)}]"
            )
        for bond in verified.bonds:
            if not bond.holds(self._store, now):
                raise InvalidToken("[invalid bearer token, service account token has been invalidated]")
        return verified.user, good

    def _verify(self, token: str) -> Verified:
        try:
            claims = jwt.decode(token, self._public, algorithms=[_ALGORITHM], options=_UNCHECKED)
            if claims["iss"] == LEGACY_TOKEN_ISSUER:
                return self._legacy(token, claims)
            if claims["iss"] != ISSUER:
                raise InvalidToken("invalid bearer token")
            return _bound(claims)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, AttributeError):
            raise InvalidToken("invalid bearer token") from None

    def _legacy(self, token: str, claims: Object) -> Verified:
        """A token that lies in a Secret, and has to."""
        prefix = f"{LEGACY_TOKEN_ISSUER}/"
        namespace, name, uid, secret = (
            str(claims[prefix + key])
            for key in ("namespace", "service-account.name", "service-account.uid", "secret.name")
        )
        key = f"/registry/secrets/{namespace}/{secret}"
        record = self._store.get(key)
        stored = record.decode() if record else {}
        kept = b64decode((stored.get("data") or {}).get("token", ""))
        if not hmac.compare_digest(kept, token.encode()):
            raise InvalidToken("[invalid bearer token, service account token has been invalidated]")
        bonds = [_account(namespace, name, uid), _Bond(key, stored["metadata"]["uid"])]
        return Verified(_user(namespace, name, uid, {}), frozenset((AUDIENCE,)), -inf, inf, bonds)


def _bound(claims: Object) -> Verified:
    private = claims["kubernetes.io"]
    namespace, account = private["namespace"], private["serviceaccount"]
    name, uid = account["name"], account["uid"]
    bonds = [_account(namespace, name, uid)]
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    for kind, place in (("pod", f"pods/{namespace}/"), ("secret", f"secrets/{namespace}/"), ("node", "nodes/")):
        if (bound := private.get(kind)) is None:
            continue
        if kind != "secret":
            extra[f"authentication.kubernetes.io/{kind}-name"] = (bound["name"],)
            extra[f"authentication.kubernetes.io/{kind}-uid"] = (bound["uid"],)
        # the node of a pod's token is told, and does not count: the pod goes with it
        if kind != "node" or "pod" not in private:
            bonds.append(_Bond(f"/registry/{place}{bound['name']}", bound["uid"]))
    audiences = claims["aud"]
    listed = frozenset([audiences] if isinstance(audiences, str) else audiences)
    user = _user(namespace, name, uid, extra)
    return Verified(user, listed, float(claims.get("nbf", 0)), float(claims["exp"]), bonds)


def _account(namespace: str, name: str, uid: str) -> _Bond:
    return _Bond(f"/registry/serviceaccounts/{namespace}/{name}", uid)


def _user(namespace: str, name: str, uid: str, extra: Mapping[str, tuple[str, ...]]) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra)


def _listed(audiences: Iterable[str]) -> str:
    return "[" + " ".join(f'"{audience}"' for audience in sorted(audiences)) + "]"
