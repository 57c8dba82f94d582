"""What an audit Event tells of a request and of its answer.  Pure.

https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Event
"""

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from knet.apiserver.audit.policy import Telling
from knet.apiserver.authorization import Attributes
from knet.apiserver.body import parse
from knet.apiserver.http import Request, Response
from knet.apiserver.protobuf import MEDIA_TYPE
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError
from knet.store import Object

#: upstream's maxUserAgentLength
_AGENT = 1024
_STATUS = ("status", "message", "reason", "details", "code")


def micro_time(seconds: float) -> str:
    """``metav1.MicroTime``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def beginning(request: Request, wanted: Attributes, telling: Telling, received: float) -> Object:
    """What is known before anything is done."""
    event: Object = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": telling.level,
        "auditID": request.audit_id,
        "stage": "",
        "requestURI": f"{request.path}?{request.raw_query}" if request.raw_query else request.path,
        "verb": wanted.verb,
        "user": wanted.user.info() if wanted.user.name else {},
        "sourceIPs": list(dict.fromkeys(_sources(request))),
    }
    if agent := request.headers.get("User-Agent"):
        event["userAgent"] = agent if len(agent) <= _AGENT else f"{agent[:_AGENT]}...TRUNCATED"
    if wanted.resource:
        event["objectRef"] = _reference(request.path, wanted)
    event["requestReceivedTimestamp"] = micro_time(received)
    return event


def _sources(request: Request) -> Iterator[str]:
    """Where it comes from: what proxies say, and who is connected."""
    told = [part.strip() for value in request.headers.all("X-Forwarded-For") for part in value.split(",")]
    for address in (*told, request.headers.get("X-Real-Ip"), request.peer.address):
        try:
            yield str(ipaddress.ip_address(address))
        except ValueError:
            continue


def _reference(path: str, wanted: Attributes) -> Object:
    version = path.split("/")[3 if wanted.group else 2]
    rows = {
        "resource": wanted.resource,
        "namespace": wanted.namespace,
        "name": wanted.name,
        "apiGroup": wanted.group,
        "apiVersion": version,
        "subresource": wanted.subresource,
    }
    return {key: value for key, value in rows.items() if value}


def sent(request: Request, target: Target, verb: str) -> Any:
    """What came with a request, as its handler read it; None for nothing, or nothing that can be read."""
    body, media = request.body.taken, request.headers.get("Content-Type")
    # a message does not tell its type, which is the kind's only where the object itself comes
    if not body or (media.startswith(MEDIA_TYPE) and (target.subresource or verb not in ("create", "update"))):
        return None
    try:
        value = parse(body, media, target.kind.type).value
    except StatusError:
        return None
    if verb == "patch" or not isinstance(value, dict):
        return value
    resource = target.kind.resource
    return {"kind": resource.kind, "apiVersion": resource.api_version} | value


def answered(response: Response, target: Target) -> Any:
    """The object in an answer; None for what is no object."""
    if "json" not in response.content_type and "yaml" not in response.content_type:
        return None
    try:
        value = parse(response.body, response.content_type, target.kind.type).value
    except StatusError:
        return None
    return value if isinstance(value, dict) and "kind" in value else None


def named(reference: Object, value: Object) -> None:
    """Complete a reference by what an object that was sent says of itself."""
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        for key in ("namespace", "name", "uid", "resourceVersion"):
            if not reference.get(key) and isinstance(metadata.get(key), str) and metadata[key]:
                reference[key] = metadata[key]


def may_be_status(response: Response) -> bool:
    """Whether an answer is worth looking into for a Status."""
    return response.status >= 400 or b"Status" in response.body[:64]


def status(code: int, value: Any = None) -> Object:
    """``responseStatus``: all that a Status says, of other answers the code."""
    told: Object = {"metadata": {}, "code": code}
    if isinstance(value, dict) and (value.get("kind"), value.get("apiVersion")) == ("Status", "v1"):
        told |= {key: value[key] for key in _STATUS if value.get(key)}
    return told


def without_managed_fields(value: Any) -> Any:
    """An object, list or Table without metadata.managedFields."""
    if not isinstance(value, dict):
        return value
    bare = dict(value)
    if isinstance(metadata := value.get("metadata"), dict):
        bare["metadata"] = {key: item for key, item in metadata.items() if key != "managedFields"}
    if isinstance(items := value.get("items"), list):
        bare["items"] = [without_managed_fields(item) for item in items]
    if value.get("kind") == "Table" and isinstance(rows := value.get("rows"), list):
        bare["rows"] = [row | {"object": without_managed_fields(row.get("object"))} for row in rows]
    return bare
