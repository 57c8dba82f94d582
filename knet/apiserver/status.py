"""Errors as clients see them: ``Status`` objects with upstream's code, reason, wording and details.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ and
k8s.io/apimachinery/pkg/api/errors, whose constructors these functions are named after.
"""

from collections.abc import Sequence

from knet.api.resources import Resource
from knet.apiserver.field import FieldError, summary
from knet.store import Object


class StatusError(Exception):
    """An answer other than success; raised anywhere below `knet.apiserver.server`, which sends it."""

    def __init__(
        self, code: int, reason: str, message: str, details: Object | None = None, metadata: Object | None = None
    ) -> None:
        """``metadata``: the list's, of an answer to a list."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata = metadata or {}
        #: what the client is told besides, by Warning headers
        self.warnings: Sequence[str] = ()

    def body(self) -> Object:
        """The Status object."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def _named(resource: Resource, name: str) -> Object:
    details: Object = {"name": name}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    return details


def bad_request(message: str) -> StatusError:
    """400: the request makes no sense by itself."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: nobody we know."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, why: str) -> StatusError:
    """403: understood, and refused by admission."""
    return StatusError(
        403, "Forbidden", f'{resource.group_resource} "{name}" is forbidden: {why}', _named(resource, name)
    )


def not_found(resource: Resource, name: str) -> StatusError:
    """404: no such object."""
    return StatusError(404, "NotFound", f'{resource.group_resource} "{name}" not found', _named(resource, name))


def no_such_path() -> StatusError:
    """404: no such resource; kubectl prints this as "the server could not find the requested resource"."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> StatusError:
    """405."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def not_acceptable(accepted: str) -> StatusError:
    """406: no representation that the client accepts."""
    return StatusError(406, "NotAcceptable", f"only the following media types are accepted: {accepted}")


def not_this_shape(what: str) -> StatusError:
    """406: one object cannot be shown as a list, nor a list as an object."""
    return StatusError(406, "NotAcceptable", f"you requested {what}")


def already_exists(resource: Resource, name: str, generated: bool = False, going: bool = False) -> StatusError:
    """409 to a create; ``generated``: the server was to find a name; ``going``: what is there is being deleted."""
    message, details = f'{resource.group_resource} "{name}" already exists', _named(resource, name)
    if generated:
        message += ", the server was not able to generate a unique name for the object"
        details["retryAfterSeconds"] = 1
    if going:
        message = f"object is being deleted: {message}"
    return StatusError(409, "AlreadyExists", message, details)


def conflict(resource: Resource, name: str, why: str) -> StatusError:
    """409 to an update or a precondition."""
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}',
        _named(resource, name),
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def gone(message: str, continues: str = "") -> StatusError:
    """410: that resourceVersion, or continue token, is too old; with a token for a list that goes on nevertheless."""
    return StatusError(410, "Expired", message, metadata={"continue": continues} if continues else None)


def too_large(why: str) -> StatusError:
    """413: the body, or what it asks for, is over a limit."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {why}")


def unsupported_media_type(message: str) -> StatusError:
    """415."""
    return StatusError(415, "UnsupportedMediaType", message)


#: errors that one answer tells of; upstream tells of all, however many megabytes that takes
_MOST_ERRORS = 1000


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422: the object was understood and its values are wrong; every error is one cause."""
    unique = list(dict.fromkeys(errors))[:_MOST_ERRORS]
    details: Object = {"name": name}
    if group:
        details["group"] = group
    details["kind"] = kind
    details["causes"] = [{"reason": error.reason, "message": error.body, "field": error.field} for error in unique]
    qualified = f"{kind}.{group}" if group else kind
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {summary(unique)}', details)


def unprocessable() -> StatusError:
    """422 for a patch that does not fit its object; upstream says no more about it."""
    return StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def too_many_requests(message: str, seconds: int, reason: str, cause: str) -> StatusError:
    """429: ask again, after so many seconds if that is known (0: it is not)."""
    details: Object = {"causes": [{"reason": reason, "message": cause}]}
    if seconds:
        details["retryAfterSeconds"] = seconds
    return StatusError(429, "TooManyRequests", message, details)


def internal_error(message: str) -> StatusError:
    """500: our fault."""
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def unavailable(message: str) -> StatusError:
    """503: the store, or a kubelet, cannot be used now."""
    return StatusError(503, "ServiceUnavailable", message)


def timeout(message: str) -> StatusError:
    """504: it has taken too long, and what became of it is not known."""
    return StatusError(504, "Timeout", message, {"retryAfterSeconds": 0})


def future_version(requested: int, current: int) -> StatusError:
    """504: the client has seen a revision that this store has not reached."""
    return StatusError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {requested}, current: {current}",
        {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )


def success(resource: Resource, name: str, uid: str) -> Object:
    """What a DELETE answers for most kinds."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {**_named(resource, name), "uid": uid},
    }
