"""Commands run inside a container for their exit code and output: exec probes and lifecycle hooks."""

import asyncio
import os

from knet.kubelet.runtime.containers import Containers, Running

#: bytes of output that are kept; the command may write more
KEPT = 10 * 1024


async def run_command(containers: Containers, running: Running, argv: tuple[str, ...]) -> tuple[int, str]:
    """Exit code and the beginning of stdout and stderr together; a cancelled wait kills the command.

    Raises OSError if it cannot be executed.
    """
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(write, True)
    try:
        process = containers.execute(running, argv, (None, write, write), counted=False)
    except OSError:
        os.close(read)
        raise
    finally:
        os.close(write)
    output = bytearray()
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def collect() -> None:
        data = os.read(read, 65536)
        output.extend(data[: KEPT - len(output)])
        if not data and not ended.done():
            ended.set_result(None)
            loop.remove_reader(read)

    loop.add_reader(read, collect)
    try:
        code = await process.wait()
        # what it wrote is in the pipe; a background child may hold the pipe open for ever
        async with asyncio.timeout(0.05):
            await ended
    except TimeoutError:
        pass
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    finally:
        loop.remove_reader(read)
        os.close(read)
    return 128 - code if code is not None and code < 0 else code or 0, output.decode(errors="replace")
