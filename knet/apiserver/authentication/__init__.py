"""Authentication: who is asking?

By a client certificate of the cluster's CA (CN is the user, every O a group), a service account's token (`accounts`) or
a bootstrap token; without any of them it is system:anonymous, who may read no more than health and version.  A
token that does not hold is refused, whatever is asked.  `impersonation` lets those act as others who may.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

import hashlib
from base64 import b64decode

from knet.apiserver.authentication import bootstrap_tokens
from knet.apiserver.authentication.accounts import AUDIENCE, InvalidToken, Tokens
from knet.apiserver.http import Request, Subject
from knet.apiserver.status import unauthorized
from knet.apiserver.user import ANONYMOUS, CREDENTIAL_ID, User
from knet.store import Store

#: how the WebSocket protocol begins that a browser, which can set no header, hides its token in
_BROWSER = "base64url.bearer.authorization.k8s.io."

__all__ = ["AUDIENCE", "Authenticator", "InvalidToken", "Tokens", "user_of_certificate"]


class Authenticator:
    """Finds the user of a request."""

    def __init__(self, tokens: Tokens, store: Store) -> None:
        self._tokens = tokens
        self._store = store

    def user_of(self, request: Request) -> User:
        """The user; StatusError 401 for a token that does not hold."""
        if request.peer.user is not None:
            return request.peer.user
        scheme, _, token = request.headers.get("Authorization").partition(" ")
        try:
            if scheme.lower() != "bearer":
                token = _token_of_browser(request) if request.upgrade else ""
                if not token:
                    return ANONYMOUS
            return self.user_of_token(token.strip())[0]
        except InvalidToken:
            raise unauthorized() from None

    def user_of_token(self, token: str, audiences: tuple[str, ...] = (AUDIENCE,)) -> tuple[User, list[str]]:
        """Whom a token of any sort stands for, and for which of the audiences; raises InvalidToken."""
        user = bootstrap_tokens.user_of(token, self._store)
        if user is not None:
            if AUDIENCE not in audiences:
                raise InvalidToken("invalid bearer token")
            return user, [AUDIENCE]
        return self._tokens.check(token, audiences)


def _token_of_browser(request: Request) -> str:
    """The token among the WebSocket protocols of a request, where browsers can put one; raises InvalidToken."""
    offered = [part.strip() for value in request.headers.all("Sec-WebSocket-Protocol") for part in value.split(",")]
    shown = [protocol for protocol in offered if protocol.startswith(_BROWSER)]
    if not shown:
        return ""
    text = shown[0].removeprefix(_BROWSER)
    try:
        token = b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
    except ValueError:
        raise InvalidToken("invalid base64.bearer.authorization token encoding") from None
    if len(shown) > 1 or len(offered) == len(shown):
        raise InvalidToken("missing additional subprotocol")
    return token


def user_of_certificate(subject: Subject, certificate: bytes) -> User | None:
    """The user in the subject of a verified certificate (DER); None without a common name."""
    pairs = [pair for names in subject for pair in names]
    name = next((value for key, value in pairs if key == "commonName"), "")
    if not name:
        return None
    groups = tuple(value for key, value in pairs if key == "organizationName")
    credential = f"X509SHA256={hashlib.sha256(certificate).hexdigest()}"
    return User(name, (*groups, "system:authenticated"), extra={CREDENTIAL_ID: (credential,)})
