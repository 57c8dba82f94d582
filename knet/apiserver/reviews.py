"""Reviews: questions about identity and permission, answered and never stored.

TokenReview and SelfSubjectReview (authentication.k8s.io), SubjectAccessReview, its Self and Local forms and
SelfSubjectRulesReview (authorization.k8s.io): what ``kubectl auth whoami`` and ``kubectl auth can-i`` ask, and programs
that leave decisions to the cluster.
"""

from collections.abc import Callable, Mapping

import orjson

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver import field, representation
from knet.apiserver.authentication import AUDIENCE, Authenticator, InvalidToken
from knet.apiserver.authorization import Attributes
from knet.apiserver.authorization.node import node_of
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call, Handler
from knet.apiserver.context import now
from knet.apiserver.decoding import decode
from knet.apiserver.field import Errors
from knet.apiserver.http import Answer
from knet.apiserver.options import write_options
from knet.apiserver.status import bad_request, invalid
from knet.apiserver.user import User
from knet.store import Object

#: completes a review whose types are right with its status; StatusError 400, 422
Review = Callable[[Call, Object], None]


def handlers(authenticator: Authenticator) -> Mapping[tuple[Resource, str], Mapping[str, Handler]]:
    """As `knet.apiserver.server` wants them."""
    reviews: Mapping[Resource, Review] = {
        resources.TOKENREVIEWS: lambda call, review: token_review(authenticator, review),
        resources.SELFSUBJECTREVIEWS: self_subject_review,
        resources.SUBJECTACCESSREVIEWS: subject_access_review,
        resources.LOCALSUBJECTACCESSREVIEWS: local_subject_access_review,
        resources.SELFSUBJECTACCESSREVIEWS: self_subject_access_review,
        resources.SELFSUBJECTRULESREVIEWS: self_subject_rules_review,
    }
    return {(row, ""): {"POST": _handler(review)} for row, review in reviews.items()}


def _handler(review: Review) -> Handler:
    async def create(call: Call) -> Answer:
        kind = call.target.kind
        options = write_options(call.query, "Create", call.writer)
        value = decode(kind, await parsed_body(call.request, kind.type), options)
        value["metadata"] = {key: item for key, item in (value.get("metadata") or {}).items() if key in _METADATA}
        review(call, value)
        return representation.answer(orjson.dumps(value), call.form, 201, options.warnings)

    return create


_METADATA = ("name", "namespace")


# ---- who is that -----------------------------------------------------------------------------------------------------


def token_review(authenticator: Authenticator, review: Object) -> None:
    """Whether a token is good, and whose it is."""
    spec = review.get("spec") or {}
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    asked = tuple(spec.get("audiences") or ())
    try:
        user, audiences = authenticator.user_of_token(spec["token"], asked or (AUDIENCE,))
    except InvalidToken as error:
        review["status"] = {"user": {}, "error": str(error)}
    else:
        review["status"] = {"authenticated": True, "user": user.info(), "audiences": audiences}


def self_subject_review(call: Call, review: Object) -> None:
    """Who is asking."""
    review["metadata"] = {"creationTimestamp": now()}
    review["status"] = {"userInfo": call.user.info()}


# ---- may they do that ------------------------------------------------------------------------------------------------


def subject_access_review(call: Call, review: Object) -> None:
    """Whether somebody may do something."""
    spec = review.setdefault("spec", {})
    _check(call, _exactly_one(spec) + _somebody(spec))
    _answer(call, review, _subject(spec))


def local_subject_access_review(call: Call, review: Object) -> None:
    """The same, by somebody who has no more to say than this namespace."""
    spec = review.setdefault("spec", {})
    wanted = (spec.get("resourceAttributes") or {}).get("namespace", "")
    errors = _exactly_one(spec) + _somebody(spec)
    if spec.get("nonResourceAttributes") is not None:
        errors.append(field.invalid("spec.nonResourceAttributes", field.Go("{}"), "disallowed on this kind of request"))
    elif wanted != call.target.namespace:
        errors.append(field.invalid("spec.resourceAttributes.namespace", wanted, "must match metadata.namespace"))
    _check(call, errors)
    _answer(call, review, _subject(spec))


def self_subject_access_review(call: Call, review: Object) -> None:
    """Whether the one who asks may do something."""
    _check(call, _exactly_one(review.setdefault("spec", {})))
    _answer(call, review, call.user)


def _subject(spec: Object) -> User:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "", extra)


def _exactly_one(spec: Object) -> Errors:
    given = [key for key in ("resourceAttributes", "nonResourceAttributes") if spec.get(key) is not None]
    if len(given) == 2:
        why = "cannot be specified in combination with resourceAttributes"
        return [field.invalid("spec.nonResourceAttributes", field.Go("{}"), why)]
    if not given:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [field.invalid("spec.resourceAttributes", None, why)]
    return []


def _somebody(spec: Object) -> Errors:
    if spec.get("user") or spec.get("groups"):
        return []
    return [field.invalid("spec.user", "", "at least one of user or group must be specified")]


def _check(call: Call, errors: Errors) -> None:
    if errors:
        raise invalid("authorization.k8s.io", call.target.kind.resource.kind, "", errors)


def _answer(call: Call, review: Object, user: User) -> None:
    spec = review["spec"]
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes") or {}
    if resource is None:
        wanted = Attributes(user, path.get("verb") or "", path=path.get("path") or "")
    else:
        given = {key: resource.get(key) or "" for key in _ATTRIBUTES}
        wanted = Attributes(user, **given, fields=_fixed(resource))
    decision = call.context.authorizer.decide(wanted)
    review["status"] = {"allowed": decision.allowed}
    if decision.reason:
        review["status"]["reason"] = decision.reason


_ATTRIBUTES = ("verb", "group", "resource", "subresource", "namespace", "name")


def _fixed(resource: Object) -> dict[str, str]:
    """What the field selector of the request in question would fix."""
    rows = (resource.get("fieldSelector") or {}).get("requirements") or ()
    return {row["key"]: row["values"][0] for row in rows if row.get("operator") == "In" and len(row["values"]) == 1}


def self_subject_rules_review(call: Call, review: Object) -> None:
    """All that the one who asks may do in a namespace, as far as rules tell."""
    namespace = review.setdefault("spec", {}).get("namespace")
    if not namespace:
        raise bad_request("no namespace on request")
    granted = call.context.authorizer.policy.granted(call.user, namespace)
    by_resource: list[Object] = []
    by_path: list[Object] = []
    for rule in granted.rules:
        row = rule.to_api()
        if rule.resources:
            by_resource.append({key: item for key, item in row.items() if key != "nonResourceURLs"})
        if rule.urls:
            by_path.append({"verbs": row["verbs"], "nonResourceURLs": row["nonResourceURLs"]})
    errors = [error for error in (granted.error,) if error]
    is_node = node_of(call.user) is not None
    if is_node:
        errors.insert(0, "node authorizer does not support user rule resolution")
    review["status"] = {
        "resourceRules": by_resource,
        "nonResourceRules": by_path,
        "incomplete": is_node or bool(errors),
    }
    if errors:
        review["status"]["evaluationError"] = "; ".join(errors)
