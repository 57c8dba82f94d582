"""gRPC probes: one call of the standard health service, texts as in upstream's pkg/probe/grpc.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md.  Imported by the first probe that asks so: the library
is 20 MB.
"""

import grpc
import grpc.aio

from knet.api.families import host_port
from knet.api.names import KUBERNETES_VERSION
from knet.kubelet.handlers import Answer, Verdict

_METHOD = "/grpc.health.v1.Health/Check"
_STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_AGENT = "kube-probe/" + ".".join(KUBERNETES_VERSION.lstrip("v").split(".")[:2])


async def check(address: str, port: int, service: str, timeout: float | None) -> Answer:
    """Whether the service says SERVING within ``timeout`` seconds."""
    where = host_port(address, port)
    options = [("grpc.primary_user_agent", _AGENT), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(where, options=options) as channel:
        call = channel.unary_unary(_METHOD, request_serializer=_request, response_deserializer=_status)
        try:
            status = await call(service, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return Answer(Verdict.FAILURE, _sentence(error, where, timeout or 0.0))
    if status == 1:
        return Answer(Verdict.SUCCESS)
    return Answer(Verdict.FAILURE, f'service unhealthy (responded with "{_STATUS.get(status, status)}")')


def _sentence(error: grpc.aio.AioRpcError, where: str, timeout: float) -> str:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {details}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {timeout:g}s: {details}"
    if code is grpc.StatusCode.UNAVAILABLE:
        return f'error: failed to connect service at "{where}": {details}'
    return f"error: health rpc probe failed: rpc error: code = {code.name} desc = {details}"


def _request(service: str) -> bytes:
    """HealthCheckRequest: field 1, a string."""
    data = service.encode()
    if not data:
        return b""
    length, size = b"", len(data)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return b"\x0a" + length + bytes([size]) + data


def _status(message: bytes) -> int:
    """HealthCheckResponse: field 1, an enumeration; a missing one is 0."""
    return message[1] if message[:1] == b"\x08" else 0
