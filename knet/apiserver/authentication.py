"""Who is asking: a client certificate of the cluster's CA, or a service account's token.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/ – CN is the user, every O a group; a token is
a JWT signed with the service account key (ES256) and bound, optionally, to a Pod.
"""

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from knet.api.resources import PODS, SERVICEACCOUNTS
from knet.apiserver.http import Request, Subject
from knet.apiserver.status import unauthorized
from knet.apiserver.user import User
from knet.store import Object, Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
#: who a token is for, if the request names nobody: the API server
AUDIENCE = ISSUER
_ALGORITHM = "ES256"


class Tokens:
    """Issues and checks service-account tokens."""

    def __init__(self, pki: Path, store: Store) -> None:
        """``pki`` holds sa.key and sa.pub, an EC P-256 pair in PEM."""
        self._private: Any = load_pem_private_key((pki / "sa.key").read_bytes(), None)
        self._public: Any = load_pem_public_key((pki / "sa.pub").read_bytes())
        self._store = store

    def issue(
        self, account: Object, audiences: list[str], seconds: int, bound: Mapping[str, str] | None = None
    ) -> tuple[str, int]:
        """A token for an account, and when it expires (Unix time).  ``bound``: name and uid of a Pod."""
        metadata = account["metadata"]
        issued = int(time.time())
        claims: Object = {
            "aud": audiences,
            "exp": issued + seconds,
            "iat": issued,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": metadata["namespace"],
                "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
                **({"pod": dict(bound)} if bound else {}),
            },
            "nbf": issued,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        return jwt.encode(claims, self._private, algorithm=_ALGORITHM), issued + seconds

    def check(self, token: str) -> User:
        """The account a token stands for; StatusError 401 if it is forged, expired, or its account or Pod is gone."""
        try:
            claims = jwt.decode(token, self._public, algorithms=[_ALGORITHM], audience=AUDIENCE, issuer=ISSUER)
            private = claims["kubernetes.io"]
            namespace, account = private["namespace"], private["serviceaccount"]
            name, uid = account["name"], account["uid"]
            pod = private.get("pod")
        except (jwt.PyJWTError, KeyError, TypeError):
            raise unauthorized() from None
        if not self._lives(SERVICEACCOUNTS.plural, namespace, name, uid):
            raise unauthorized()
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.get('jti', '')}",)}
        if pod is not None:
            if not self._lives(PODS.plural, namespace, pod["name"], pod["uid"]):
                raise unauthorized()
            extra["authentication.kubernetes.io/pod-name"] = (pod["name"],)
            extra["authentication.kubernetes.io/pod-uid"] = (pod["uid"],)
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra)

    def _lives(self, plural: str, namespace: str, name: str, uid: str) -> bool:
        record = self._store.get(f"/registry/{plural}/{namespace}/{name}")
        return record is not None and record.decode()["metadata"]["uid"] == uid


class Authenticator:
    """Finds the user of a request."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def user_of(self, request: Request) -> User | None:
        """The user; None for the anonymous one; StatusError 401 for a token that does not hold."""
        if request.peer.user is not None:
            return request.peer.user
        scheme, _, token = request.headers.get("Authorization").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return self._tokens.check(token.strip())


def user_of_subject(subject: Subject) -> User | None:
    """The user in the subject of a verified certificate; None without a common name.  Asked once per connection."""
    pairs = [pair for names in subject for pair in names]
    name = next((value for key, value in pairs if key == "commonName"), "")
    if not name:
        return None
    groups = tuple(value for key, value in pairs if key == "organizationName")
    return User(name, (*groups, "system:authenticated"))
