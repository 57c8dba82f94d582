"""TCP bandwidth between two machines, measured by iperf3."""

import json
import subprocess

from knet.kernel.namespaces import Namespaces, run_in

_PORT = 5201


class IperfError(Exception):
    """What iperf3 complained about, in one line."""


def measure(client: Namespaces, server: Namespaces, address: str, seconds: int = 5) -> tuple[float, float]:
    """Bits per second, as sent by the client and as received by the server, whose address is ``address``.

    Raises IperfError, also where iperf3 is not installed.
    """
    listening = _start(server, "-s", "-1", "--forceflush", "-p", str(_PORT))
    try:
        assert listening.stdout is not None
        for line in listening.stdout:
            if "listening" in line:
                break
        else:
            raise IperfError(f"iperf3 -s ended with code {listening.wait()}: is another one running?")
        sending = _start(client, "-c", address, "-p", str(_PORT), "-t", str(seconds), "-J", "--connect-timeout", "2000")
        output, _ = sending.communicate()
    finally:
        listening.kill()
        listening.communicate()
    report = json.loads(output)
    if "error" in report:
        raise IperfError(f"iperf3: {report['error']}")
    return report["end"]["sum_sent"]["bits_per_second"], report["end"]["sum_received"]["bits_per_second"]


def text(bits_per_second: float) -> str:
    """As iperf prints it: ``9.41 Gbits/sec``."""
    for unit, size in (("Gbits", 1e9), ("Mbits", 1e6), ("Kbits", 1e3)):
        if bits_per_second >= size:
            return f"{bits_per_second / size:.3g} {unit}/sec"
    return f"{bits_per_second:.3g} bits/sec"


def _start(namespaces: Namespaces, *arguments: str) -> "subprocess.Popen[str]":
    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["iperf3", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    try:
        return run_in(namespaces, start)
    except FileNotFoundError:
        raise IperfError("iperf3 is not installed: apt install iperf3") from None
