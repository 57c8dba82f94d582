"""serviceaccounts/token: short-lived tokens, bound to the Pod that carries them, to a Node or to a Secret.

KEP-1205; https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from dataclasses import replace
from datetime import UTC, datetime

import orjson

from knet.api.resources import NODES, PODS, SECRETS, Resource
from knet.apiserver import field, representation
from knet.apiserver.admission import Request
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
#: what a token may be bound to
_BINDABLE = {"Pod": PODS, "Node": NODES, "Secret": SECRETS}


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
        await call.context.admission.admit(
            Request(call.context, call.target, "CREATE", request, None, options, kind.resource)
        )
        spec = request.setdefault("spec", {})
        audiences = spec.setdefault("audiences", []) or [AUDIENCE]
        seconds = spec.setdefault("expirationSeconds", _HOUR)
        if not _SHORTEST <= seconds <= _LONGEST:
            limit = "less than 10 minutes" if seconds < _SHORTEST else "larger than 2^32 seconds"
            error = field.invalid("spec.expirationSeconds", seconds, f"may not specify a duration {limit}")
            raise invalid("authentication.k8s.io", "TokenRequest", call.target.name, [error])
        token, expires = self._tokens.issue(account, audiences, seconds, _bound(call, spec))
        request["metadata"] = {key: account["metadata"][key] for key in ("name", "namespace")}
        spec["audiences"] = audiences
        expiry = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        request["status"] = {"token": token, "expirationTimestamp": expiry}
        return representation.answer(orjson.dumps(request), call.form, 201, options.warnings)


def _bound(call: Call, spec: Object) -> dict[str, dict[str, str]]:
    """What the token is bound to, by kind: name and uid; StatusError where it is not there or not the account's."""
    reference = spec.get("boundObjectRef")
    if not reference:
        return {}
    group, _, version = (reference.get("apiVersion") or "").rpartition("/")
    kind, name = reference.get("kind") or "", reference.get("name") or ""
    resource = _BINDABLE.get(kind) if (group, version) == ("", "v1") else None
    if resource is None:
        raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
    value = _object(call, resource, name)
    uid = value["metadata"]["uid"]
    if reference.get("uid") and reference["uid"] != uid:
        raise conflict(
            replace(resource, plural=kind),
            name,
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record."
            " The object might have been deleted and then recreated",
        )
    bound = {kind.lower(): {"name": name, "uid": uid}}
    if resource is PODS:
        account = value["spec"].get("serviceAccountName", "")
        if account != call.target.name:
            whose = f'serviceaccount "{call.target.name}"'
            raise bad_request(f"cannot bind token for {whose} to pod running with different serviceaccount name.")
        if node := value["spec"].get("nodeName"):
            record = call.context.store.get(call.context.kinds[NODES].key("", node))
            bound["node"] = {"name": node, **({"uid": record.decode()["metadata"]["uid"]} if record else {})}
    return bound


def _object(call: Call, resource: Resource, name: str) -> Object:
    namespace = call.target.namespace if resource.namespaced else ""
    return find(call.context, Target(call.context.kinds[resource], namespace, name)).decode()
