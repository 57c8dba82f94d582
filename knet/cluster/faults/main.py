"""The process that carries out a plan of faults which a cluster was brought up with (``knet up --faults plan.yaml``).

It is on no machine, so none that a fault stops can stop it, and ends with the cluster; its log is ``knet logs faults``.
"""

import signal
import sys

import msgspec

from knet.cluster.faults.run import Record, load, prepare


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``supervisor`` is the address of its Unix socket."""

    plan: str
    supervisor: str


def main(options: Options) -> None:
    """Run the plan to its end, or until SIGTERM, which heals."""

    def told(record: Record) -> None:
        print(record, file=sys.stderr, flush=True)

    run = prepare(options.supervisor, load(options.plan), None, told)
    signal.signal(signal.SIGTERM, lambda *_: run.stop())
    print(f"{options.plan}: seed {run.schedule.seed}", file=sys.stderr, flush=True)
    run.run()
