"""Bootstrap tokens that have expired are removed, at that moment.

https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

import base64
from datetime import UTC, datetime

from knet.api.names import BOOTSTRAP_TOKEN_SECRET, SYSTEM_NAMESPACE
from knet.api.objects import Secret
from knet.client import Conflict, Controller, Key, NotFound
from knet.client.controller import Result, key_of
from knet.controllers.context import Context

_SELECTED = f"type={BOOTSTRAP_TOKEN_SECRET}"


def build(context: Context) -> Controller:
    controller = Controller("token-cleaner", TokenCleaner(context), workers=1)

    def changed(old: Secret | None, new: Secret | None) -> None:
        if new is not None and new.namespace == SYSTEM_NAMESPACE:
            controller.enqueue(key_of(new))

    context.informers.of(Secret, field_selector=_SELECTED).subscribe(changed)
    return controller


class TokenCleaner:
    """Keys are Secrets."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._secrets = context.informers.of(Secret, field_selector=_SELECTED)

    async def reconcile(self, key: Key) -> Result | None:
        secret = self._secrets.get(key.namespace, key.name)
        left = seconds_left(secret) if secret is not None else None
        if secret is None or left is None:
            return None
        if left > 0:
            return Result(requeue_after=left)
        try:
            await self._client.delete(Secret, secret.name, secret.namespace, uid=secret.uid)
        except (NotFound, Conflict):
            pass
        return None


def seconds_left(secret: Secret) -> float | None:
    """Until it expires; None where it does not, or where its time cannot be read."""
    try:
        until = datetime.fromisoformat(base64.b64decode(secret.data.get("expiration", "")).decode())
    except ValueError:
        return None
    return ((until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
