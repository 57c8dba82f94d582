"""serviceaccounts/token: short-lived tokens, bound to the Pod that carries them.

KEP-1205; https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from datetime import UTC, datetime

import orjson

from knet.api.resources import PODS
from knet.apiserver import field, representation
from knet.apiserver.authentication import AUDIENCE, Tokens
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call
from knet.apiserver.decoding import decode
from knet.apiserver.http import Response
from knet.apiserver.options import write_options
from knet.apiserver.reads import find
from knet.apiserver.routes import Target
from knet.apiserver.status import bad_request, conflict, invalid
from knet.store import Object

_HOUR = 3600
#: upstream's bounds
_SHORTEST, _LONGEST = 600, 1 << 32


class TokenRequests:
    """Answers TokenRequests."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def create(self, call: Call) -> Response:
        """POST of a TokenRequest; the answer has the token in its status."""
        options = write_options(call.query, "Create", call.writer)
        kind = call.context.auxiliary["TokenRequest"]
        request = decode(kind, await parsed_body(call.request, kind.type), options)
        account = find(call.context, call.target).decode()
        spec = request.setdefault("spec", {})
        audiences = spec.setdefault("audiences", []) or [AUDIENCE]
        seconds = spec.setdefault("expirationSeconds", _HOUR)
        if not _SHORTEST <= seconds <= _LONGEST:
            limit = "less than 10 minutes" if seconds < _SHORTEST else "larger than 2^32 seconds"
            error = field.invalid("spec.expirationSeconds", seconds, f"may not specify a duration {limit}")
            raise invalid("authentication.k8s.io", "TokenRequest", call.target.name, [error])
        token, expires = self._tokens.issue(account, audiences, seconds, _bound_pod(call, spec))
        request["metadata"] = {key: account["metadata"][key] for key in ("name", "namespace")}
        spec["audiences"] = audiences
        expiry = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        request["status"] = {"token": token, "expirationTimestamp": expiry}
        return representation.answer(orjson.dumps(request), call.form, 201, options.warnings)


def _bound_pod(call: Call, spec: Object) -> dict[str, str] | None:
    """Name and uid of the Pod the token is bound to; StatusError where it is not that Pod's account."""
    reference = spec.get("boundObjectRef")
    if not reference:
        return None
    if reference.get("kind") != "Pod" or reference.get("apiVersion") != "v1":
        raise bad_request(f"cannot bind token to {reference.get('apiVersion')} {reference.get('kind')}: only v1 Pod")
    name = reference.get("name", "")
    pod = find(call.context, Target(call.context.kinds[PODS], call.target.namespace, name)).decode()
    if pod["spec"].get("serviceAccountName") != call.target.name:
        raise bad_request(
            f'cannot bind token for serviceaccount "{call.target.name}" to pod running with different serviceaccount'
            " name."
        )
    uid = pod["metadata"]["uid"]
    if reference.get("uid") and reference["uid"] != uid:
        raise conflict(
            PODS,
            name,
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({uid})",
        )
    return {"name": name, "uid": uid}
