"""Who is asked, in which order, and what becomes of the answers."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Sequence

import orjson

from knet.api import patch as patches
from knet.api.resources import MUTATINGWEBHOOKCONFIGURATIONS, VALIDATINGWEBHOOKCONFIGURATIONS
from knet.api.schema import SchemaError, conform
from knet.apiserver.admission.conditions import Unsure, scene
from knet.apiserver.admission.matching import EXEMPT
from knet.apiserver.admission.request import Reinvocation, Request
from knet.apiserver.admission.webhook.calling import CallFailed, ask
from knet.apiserver.admission.webhook.configuration import Webhook, webhooks_of
from knet.apiserver.admission.webhook.review import Verdict
from knet.apiserver.annotations import annotate, wanted
from knet.apiserver.kind import Kind
from knet.apiserver.status import StatusError, internal_error
from knet.apiserver.user import SERVER
from knet.store import Object

log = logging.getLogger(__name__)

#: of annotations of audit events
_DOMAIN = "webhook.admission.k8s.io"


def mutate(request: Request) -> Awaitable[None] | None:
    """MutatingAdmissionWebhook; costs nothing where no webhook is configured."""
    webhooks = request.derive(MUTATINGWEBHOOKCONFIGURATIONS, webhooks_of)
    return _mutate(request, webhooks) if webhooks and _concerned(request) else None


def validate(request: Request) -> Awaitable[None] | None:
    """ValidatingAdmissionWebhook."""
    webhooks = request.derive(VALIDATINGWEBHOOKCONFIGURATIONS, webhooks_of)
    return _validate(request, webhooks) if webhooks and _concerned(request) else None


def _concerned(request: Request) -> bool:
    """Webhooks have no say in their own configuration, nor in what the server needs to begin its work."""
    return request.resource not in EXEMPT and request.options.writer is not SERVER


def _form(webhook: Webhook, request: Request) -> Kind | None:
    """The kind in whose form a webhook gets a request, None if it does not; StatusError 403, 404."""
    form = webhook.criteria.form(request)
    if form is None or not webhook.conditions:
        return form
    try:
        return form if webhook.conditions.hold(scene(request, form)) else None
    except Unsure as error:
        raise request.forbidden(str(error)) from None


# ---- mutating --------------------------------------------------------------------------------------------


async def _mutate(request: Request, webhooks: Sequence[Webhook]) -> None:
    state = request.reinvocation
    if state is None:
        state = request.reinvocation = Reinvocation()
    if state.again and orjson.dumps(request.value) != state.left:
        state.changed()
    for index, webhook in enumerate(webhooks):
        if state.again and webhook.id not in state.due:
            continue
        form = _form(webhook, request)
        if form is None:
            continue
        place = f"round_{int(state.again)}_index_{index}"
        changed = False
        try:
            verdict = await _ask(webhook, request, form, mutating=True)
            changed = _apply(webhook, verdict, request, form)
            _tell_patch(webhook, verdict, place)
        except CallFailed as error:
            _fail(webhook, error, f"failed-open.mutation.{_DOMAIN}/{place}")
        finally:
            _tell(f"mutation.{_DOMAIN}/{place}", webhook, mutated=changed)
        if changed:
            state.changed()
            state.needed = True
        if webhook.reinvoked:
            state.asked.add(webhook.id)
    state.left = orjson.dumps(request.value)


def _apply(webhook: Webhook, verdict: Verdict, request: Request, form: Kind) -> bool:
    """Whether the object is another one now; StatusError 500 where it cannot become what the webhook wants."""
    operations = _operations(webhook, verdict)
    if not operations:
        return False
    shown = request.shown(request.value, form)
    if shown is None:
        why = f"admission webhook {json.dumps(webhook.name)} attempted to modify the object"
        raise internal_error(f"{why}, which is not supported for this operation")
    before = orjson.dumps(request.value)
    try:
        patched = patches.json_patch(shown, operations)
        _check(request, form, patched)
    except (patches.PatchError, SchemaError) as error:
        raise internal_error(str(error)) from None
    request.replace(patched, form)
    return orjson.dumps(request.value) != before


def _tell(key: str, webhook: Webhook, **more: object) -> None:
    """The audit log about a webhook."""
    if wanted():
        told = {"configuration": webhook.configuration, "webhook": webhook.name, **more}
        annotate(key, orjson.dumps(told).decode())


def _tell_patch(webhook: Webhook, verdict: Verdict, place: str) -> None:
    """The audit log what has been changed, where it tells of bodies."""
    if verdict.patch and wanted(bodies=True):
        _tell(f"patch.{_DOMAIN}/{place}", webhook, patch=orjson.loads(verdict.patch), patchType="JSONPatch")


def _operations(webhook: Webhook, verdict: Verdict) -> list[Object]:
    if not verdict.patch:
        return []
    if verdict.patch_type != "JSONPatch":
        raise CallFailed(webhook.name, f"unsupported patch type {json.dumps(verdict.patch_type)}")
    try:
        operations = orjson.loads(verdict.patch)
    except orjson.JSONDecodeError as error:
        raise CallFailed(webhook.name, f"received undecodable patch in webhook response: {error}") from None
    if not isinstance(operations, list):
        why = "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        raise CallFailed(webhook.name, f"received undecodable patch in webhook response: {why}")
    return operations


def _check(request: Request, form: Kind, value: Object) -> None:
    """A patched object has the right types; SchemaError."""
    kind = request.context.auxiliary.get(request.body.kind) if request.body else form
    if kind is not None:
        conform(kind.type, value)


# ---- validating ------------------------------------------------------------------------------------------


async def _validate(request: Request, webhooks: Sequence[Webhook]) -> None:
    meant = [(webhook, form) for webhook in webhooks if (form := _form(webhook, request)) is not None]
    asking = [_consent(webhook, form, request, index) for index, (webhook, form) in enumerate(meant)]
    errors = [await asking[0]] if len(asking) == 1 else await asyncio.gather(*asking)
    for error in errors:
        if error is not None:
            raise error


async def _consent(webhook: Webhook, form: Kind, request: Request, index: int) -> StatusError | None:
    """What one webhook has against a request."""
    try:
        await _ask(webhook, request, form, mutating=False)
    except CallFailed as error:
        try:
            _fail(webhook, error, f"failed-open.validating.{_DOMAIN}/round_0_index_{index}")
        except StatusError as failure:
            return failure
    except StatusError as refusal:
        return refusal
    return None


# ---- both ------------------------------------------------------------------------------------------------


async def _ask(webhook: Webhook, request: Request, form: Kind, mutating: bool) -> Verdict:
    """The answer of a webhook that allows the request; its denial is a StatusError.  Raises CallFailed."""
    verdict = await ask(request.context.admission.reach, webhook, request, form, mutating)
    for key, value in verdict.annotations.items():
        annotate(f"{webhook.name}/{key}", value)
    for warning in verdict.warnings:
        request.warn(warning)
    if not verdict.allowed:
        raise verdict.denial(webhook.name)
    return verdict


def _fail(webhook: Webhook, error: CallFailed, key: str) -> None:
    """StatusError 500, unless the webhook may be missed, which the audit log is told under ``key``."""
    log.warning("%s, failing %s", error, "open" if webhook.open else "closed")
    if not webhook.open:
        raise internal_error(str(error))
    annotate(key, webhook.name)
