"""AdmissionReview: what a webhook is asked, and what counts as its answer (k8s.io/api/admission/v1)."""

import uuid
from dataclasses import dataclass, field

import msgspec

from knet.apiserver.admission.attributes import attributes
from knet.apiserver.admission.request import Request
from knet.apiserver.kind import Kind
from knet.apiserver.status import StatusError
from knet.store import Object

#: versions of admission.k8s.io that are spoken
VERSIONS = ("v1", "v1beta1")


class BadAnswer(ValueError):
    """An answer that answers nothing."""


class _Status(msgspec.Struct):
    status: str | None = ""
    message: str | None = ""
    reason: str | None = ""
    details: Object | None = None
    code: int | None = 0


class _Response(msgspec.Struct, rename="camel"):
    uid: str = ""
    allowed: bool = False
    status: _Status | None = None
    patch: bytes | None = None
    patch_type: str | None = None
    audit_annotations: dict[str, str] | None = None
    warnings: list[str] | None = None


class _Review(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    response: _Response | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook says; ``patch`` is JSON text, empty for none."""

    allowed: bool
    status: _Status
    patch: bytes
    patch_type: str
    annotations: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def denial(self, name: str) -> StatusError:
        """The refusal by the webhook of that name: its own status, with a code that is one of refusals."""
        denied = f'admission webhook "{name}" denied the request'
        why = self.status.message or self.status.reason
        code = self.status.code or 0
        message = f"{denied}: {why}" if why else f"{denied} without explanation"
        return StatusError(max(code, 400), self.status.reason or "", message, self.status.details)


def question(request: Request, form: Kind, version: str) -> tuple[str, Object]:
    """The id of a new question and the AdmissionReview that asks it."""
    uid = str(uuid.uuid4())
    about = {
        "uid": uid,
        **attributes(request, form),
        "object": request.shown(request.value, form),
        "oldObject": request.shown(request.old, form),
    }
    return uid, {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": about}


def verdict(answer: bytes, uid: str, version: str, mutating: bool) -> Verdict:
    """The answer to a question; BadAnswer where it is none."""
    try:
        review = msgspec.json.decode(answer, type=_Review)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"couldn't get version/kind; json parse error: {error}") from None
    response = review.response
    if response is None:
        raise BadAnswer("webhook response was absent")
    patch, kind = response.patch or b"", response.patch_type
    if version == "v1":
        _check(review, response, uid, mutating)
    elif patch:
        # the only kind there ever was in v1beta1, which did not have to name it
        kind = "JSONPatch"
    return Verdict(
        response.allowed,
        response.status or _Status(),
        patch if mutating else b"",
        kind or "",
        response.audit_annotations or {},
        response.warnings or [],
    )


def _check(review: _Review, response: _Response, uid: str, mutating: bool) -> None:
    patch, kind = response.patch, response.patch_type
    wrong = ""
    if response.uid != uid:
        wrong = f'expected response.uid="{uid}", got "{response.uid}"'
    elif (review.api_version, review.kind) != ("admission.k8s.io/v1", "AdmissionReview"):
        wrong = f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {_go_kind(review)}"
    elif not mutating and patch:
        wrong = "validating webhook may not return response.patch"
    elif not mutating and kind is not None:
        wrong = "validating webhook may not return response.patchType"
    elif patch and kind is None:
        wrong = "webhook returned response.patch but not response.patchType"
    elif not patch and kind is not None:
        wrong = "webhook returned response.patchType but not response.patch"
    elif kind == "":
        wrong = 'webhook returned invalid response.patchType of ""'
    if wrong:
        raise BadAnswer(wrong)


def _go_kind(review: _Review) -> str:
    """As Go prints a GroupVersionKind."""
    group, _, version = review.api_version.rpartition("/")
    return f"{group}/{version}, Kind={review.kind}"
