"""The ``knet`` command.

Exit codes: 0 done; 1 the thing asked for failed (a command on a machine, a link that is not there); 2 the request
cannot be met as it stands, with one line on stderr that says what to do about it.

The commands, a module for each group; what only some need (the API's client, scapy) they import when they are called.
"""

import gc
import sys

from knet.cli import (
    capture,
    components,
    conntrack,
    drops,
    explain,
    faults,
    lifecycle,
    links,
    machines,
    rates,
    reach,
    timeline,
    trace,
)
from knet.cli.terminal import app
from knet.cluster.errors import KnetError
from knet.kernel.features import FeatureMissing

#: gc(3) for a command, half of whose time goes into imports: looking through them for garbage costs it a tenth
COLLECT = (50_000, 20, 50)

#: in the order of ``knet --help``
for group in (
    lifecycle,
    machines,
    links,
    faults,
    components,
    drops,
    capture,
    trace,
    reach,
    rates,
    explain,
    conntrack,
    timeline,
):
    app.add_typer(group.app)


def main() -> None:
    """The entry point: every expected failure is one line and exit code 2."""
    gc.set_threshold(*COLLECT)
    try:
        app()
    except (KnetError, FeatureMissing) as error:
        print(f"knet: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except Exception as error:
        if not isinstance(error, _of_the_api()):
            raise
        print(f"knet: the API server: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("knet: interrupted; nothing is left behind", file=sys.stderr)
        raise SystemExit(130) from None


def _of_the_api() -> tuple[type[Exception], ...]:
    """What the API's client raises, if a command has imported it: for the others its import takes too long (0.2 s)."""
    client = sys.modules.get("knet.client.client")
    return (client.ApiError, client.Unavailable) if client else ()
