"""Secrets of type kubernetes.io/service-account-token get a token of the account that they name, as long as it lives.

Such tokens do not expire; nobody needs one who can ask for a short-lived one by ``kubectl create token``.
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-controller
"""

import base64
from pathlib import Path

import jwt

from knet.api.names import (
    ACCOUNT_NAME_ANNOTATION,
    ACCOUNT_TOKEN_SECRET,
    ACCOUNT_UID_ANNOTATION,
    LEGACY_TOKEN_ISSUER,
)
from knet.api.objects import JSON, Secret, ServiceAccount
from knet.client import Conflict, Controller, Key, NotFound
from knet.client.controller import key_of
from knet.controllers.context import Context

_SELECTED = f"type={ACCOUNT_TOKEN_SECRET}"


def build(context: Context) -> list[Controller]:
    """None where there is no key to sign with, as upstream."""
    if not context.account_key_file:
        return []
    secrets = context.informers.of(Secret, field_selector=_SELECTED)
    controller = Controller("serviceaccount-token", AccountTokens(context), workers=1)

    def secret_changed(old: Secret | None, new: Secret | None) -> None:
        if new is not None:
            controller.enqueue(key_of(new))

    def account_changed(old: ServiceAccount | None, new: ServiceAccount | None) -> None:
        account = new or old
        assert account is not None
        for secret in secrets.list(account.namespace):
            if secret.metadata.annotations.get(ACCOUNT_NAME_ANNOTATION) == account.name:
                controller.enqueue(key_of(secret))

    secrets.subscribe(secret_changed)
    context.informers.of(ServiceAccount).subscribe(account_changed)
    return [controller]


class AccountTokens:
    """Keys are Secrets."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._secrets = context.informers.of(Secret, field_selector=_SELECTED)
        self._key = Path(context.account_key_file).read_text()

    async def reconcile(self, key: Key) -> None:
        secret = self._secrets.get(key.namespace, key.name)
        if secret is None or secret.deleting:
            return
        account = await self._account(secret)
        if account is None:
            try:
                await self._client.delete(Secret, secret.name, secret.namespace, uid=secret.uid)
            except (NotFound, Conflict):
                pass
            return
        patch = completion(secret, account, self._client.access.ca, self._key)
        if patch:
            self._secrets.assume(await self._client.patch(Secret, secret.name, patch, secret.namespace))

    async def _account(self, secret: Secret) -> ServiceAccount | None:
        """Asked of the API server itself: a Secret may come before our cache has its account."""
        annotations = secret.metadata.annotations
        try:
            account = await self._client.get(
                ServiceAccount, annotations.get(ACCOUNT_NAME_ANNOTATION, ""), secret.namespace
            )
        except NotFound:
            return None
        return account if annotations.get(ACCOUNT_UID_ANNOTATION, account.uid) == account.uid else None


def completion(secret: Secret, account: ServiceAccount, ca: bytes, key: str) -> JSON:
    """What a Secret lacks to be complete; {} if nothing."""
    data = {"ca.crt": ca, "namespace": secret.namespace.encode()}
    lacking = {name: text for name, value in data.items() if secret.data.get(name) != (text := _encoded(value))}
    if not secret.data.get("token"):
        lacking["token"] = _encoded(jwt.encode(claims(secret, account), key, algorithm="ES256").encode())
    patch: JSON = {"data": lacking} if lacking else {}
    if secret.metadata.annotations.get(ACCOUNT_UID_ANNOTATION) != account.uid:
        patch["metadata"] = {"annotations": {ACCOUNT_UID_ANNOTATION: account.uid}}
    return patch


def claims(secret: Secret, account: ServiceAccount) -> JSON:
    """As upstream's LegacyClaims: whose it is, and in which Secret it lies."""
    return {
        "iss": LEGACY_TOKEN_ISSUER,
        f"{LEGACY_TOKEN_ISSUER}/namespace": account.namespace,
        f"{LEGACY_TOKEN_ISSUER}/secret.name": secret.name,
        f"{LEGACY_TOKEN_ISSUER}/service-account.name": account.name,
        f"{LEGACY_TOKEN_ISSUER}/service-account.uid": account.uid,
        "sub": f"system:serviceaccount:{account.namespace}:{account.name}",
    }


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()
