"""pods/log, exec, attach and portforward: passed on to the Pod's kubelet.

What the kubelet makes of an upgrade is between it and the client: see `knet.apiserver.forwarding`.
"""

from urllib.parse import quote, urlencode

from knet.api.resources import Resource
from knet.apiserver import field
from knet.apiserver.admission import Request
from knet.apiserver.call import Call
from knet.apiserver.forwarding import forward, upgrade
from knet.apiserver.http import Answer, Response
from knet.apiserver.options import WriteOptions, flag, number
from knet.apiserver.reach import Reach
from knet.apiserver.reads import find
from knet.apiserver.status import StatusError, bad_request, invalid
from knet.store import Object

_LOG_OPTIONS = (
    "follow",
    "previous",
    "timestamps",
    "sinceSeconds",
    "sinceTime",
    "tailLines",
    "limitBytes",
    "insecureSkipTLSVerifyBackend",
    "stream",
)
_LOG_STREAMS = ("All", "Stderr", "Stdout")
#: codes of the kubelet that clients are told
_REASONS = {400: (400, "BadRequest"), 403: (403, "Forbidden"), 404: (404, "NotFound")}
#: the API's name of a stream → the kubelet's
_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}

Query = list[tuple[str, str]]


class Streams:
    """The handlers."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def log(self, call: Call) -> Answer:
        """GET pods/log: text, as long as it flows."""
        _check_log_options(call)
        pod = find(call.context, call.target).decode()
        container = choose_container(pod, call.query.get("container", ""))
        node = pod["spec"].get("nodeName")
        if not node:
            return Response(content_type="text/plain")
        query = [(key, call.query[key]) for key in _LOG_OPTIONS if key in call.query]
        target = _target(f"/containerLogs/{call.target.namespace}/{call.target.name}/{container}", query)
        return await forward(call.request, self._reach, self._reach.kubelet(node), target, _refused)

    async def exec(self, call: Call) -> Answer:
        """pods/exec: run a command in a container."""
        commands = call.request.all("command")
        if not commands:
            raise bad_request("you must specify at least 1 command for the container")
        return await self._remote_command(call, "exec", "PodExecOptions", {"command": commands})

    async def attach(self, call: Call) -> Answer:
        """pods/attach: the streams of a container's first process."""
        return await self._remote_command(call, "attach", "PodAttachOptions", {})

    async def port_forward(self, call: Call) -> Answer:
        """pods/portforward: connections into the pod's network namespace."""
        ports = [number(port, 32) for port in call.request.all("ports")]
        options = await admitted(call, "PodPortForwardOptions", {"ports": ports} if ports else {})
        pod = find(call.context, call.target).decode()
        query = [("port", str(port)) for port in options.get("ports") or ()]
        return await self._tunnel(call, pod, f"/portForward/{call.target.namespace}/{call.target.name}", query)

    async def _remote_command(self, call: Call, verb: str, kind: str, more: Object) -> Answer:
        streams: Object = {key: True for key in _STREAMS if flag(call.query, key)}
        if container := call.query.get("container", ""):
            streams["container"] = container
        options = await admitted(call, kind, {**streams, **more})
        pod = find(call.context, call.target).decode()
        container = choose_container(pod, str(options.get("container") or ""))
        query = [("command", str(word)) for word in options.get("command") or ()]
        query += [(name, "1") for key, name in _STREAMS.items() if options.get(key)]
        path = f"/{verb}/{call.target.namespace}/{call.target.name}/{container}"
        return await self._tunnel(call, pod, path, query)

    async def _tunnel(self, call: Call, pod: Object, path: str, query: Query) -> Answer:
        node = pod["spec"].get("nodeName")
        if not node:
            raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
        kubelet = self._reach.kubelet(node)
        return await upgrade(call.request, self._reach, kubelet, _target(path, query), _refused)


async def admitted(call: Call, kind: str, options: Object) -> Object:
    """The options of a connection as admission leaves them; StatusError."""
    if "dryRun" in call.query:
        raise bad_request("dryRun is not supported")
    value = {"kind": kind, "apiVersion": "v1", **options}
    body = Resource("", "v1", kind, kind.lower())
    connection = Request(call.context, call.target, "CONNECT", value, None, WriteOptions(writer=call.writer), body)
    await call.context.admission.admit(connection)
    return value


def _target(path: str, query: Query) -> str:
    """Path and query as they stand in a request."""
    return f"{quote(path)}?{urlencode(query)}" if query else quote(path)


def choose_container(pod: Object, name: str) -> str:
    """The container meant; StatusError 400 if there is no such one, or several and none is named."""
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    names, initial, ephemeral = (
        [row["name"] for row in spec.get(key, ())] for key in ("containers", "initContainers", "ephemeralContainers")
    )
    if name:
        if name not in (*names, *initial, *ephemeral):
            raise bad_request(f"container {name} is not valid for pod {pod_name}")
        return name
    if len(names) == 1:
        return str(names[0])
    others = f" or one of the init containers: [{' '.join(initial)}]" if initial else ""
    text = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]"
    raise bad_request(text + others)


def _check_log_options(call: Call) -> None:
    """StatusError 400 for numbers that are none, 422 for those that make no sense."""
    errors = []
    query = {key: text for key, text in call.query.items() if text}
    for key, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        value = number(query.get(key, str(least)))
        if value < least and not (key == "sinceSeconds" and "sinceTime" in query):
            detail = "must be greater than 0" if least else "must be greater than or equal to 0"
            errors.append(field.invalid(key, value, detail))
    if "sinceSeconds" in query and "sinceTime" in query:
        errors.append(field.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if query.get("stream", "All") not in _LOG_STREAMS:
        errors.append(field.not_supported("stream", query["stream"], _LOG_STREAMS))
    if errors:
        raise invalid("", "PodLogOptions", call.target.name, errors)


def _refused(code: int, text: str) -> StatusError | None:
    """What the kubelet said, under its code where clients know it."""
    if code in (101, 200):
        return None
    text = text.strip() or "the kubelet refused"
    return StatusError(*_REASONS.get(code, (500, "InternalError")), text)
