"""gRPC probes against a real gRPC server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from knet.api.objects import Container, GRPCAction, Probe
from knet.kubelet.handlers import Answer, Target, ask


@contextlib.asynccontextmanager
async def server(statuses: dict[str, int], method: str = "Check") -> AsyncIterator[int]:
    """A server of the health service that answers with these statuses by name of service; its port."""

    async def check(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        name = request[2:].decode()
        if name not in statuses:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return bytes([8, statuses[name]]) if statuses[name] else b""

    handler = grpc.unary_unary_rpc_method_handler(check)
    made = grpc.aio.server()
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {method: handler}),))
    port = made.add_insecure_port("127.0.0.1:0")
    await made.start()
    try:
        yield port
    finally:
        await made.stop(None)


async def probe(port: int, service: str) -> Answer:
    async def execute(command: tuple[str, ...]) -> tuple[int, str]:
        raise AssertionError(command)

    target = Target(Container(name="c"), "127.0.0.1", execute)
    return await ask(Probe(grpc=GRPCAction(port=port, service=service)), target, 5)


@pytest.mark.parametrize(
    ("service", "good", "text"),
    [
        ("", True, ""),
        ("shop", False, 'service unhealthy (responded with "NOT_SERVING")'),
        ("new", False, 'service unhealthy (responded with "UNKNOWN")'),
        ("other", False, "error: health rpc probe failed: rpc error: code = NOT_FOUND desc = unknown service"),
    ],
)
def test_what_the_health_service_says(service: str, good: bool, text: str) -> None:
    async def story() -> None:
        async with server({"": 1, "shop": 2, "new": 0}) as port:
            answer = await probe(port, service)
        assert (answer.good, answer.text) == (good, text)

    asyncio.run(story())


def test_servers_that_do_not_know_the_health_service_or_are_not_there() -> None:
    async def story() -> None:
        async with server({"": 1}, method="Other") as port:
            assert (await probe(port, "")).text.startswith("error: this server does not implement the grpc health prot")
        assert (await probe(port, "")).text.startswith(f'error: failed to connect service at "127.0.0.1:{port}"')

    asyncio.run(story())
