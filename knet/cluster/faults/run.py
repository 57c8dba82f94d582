"""Carries a schedule out, tells what it does, and ends what it began, whether the run ends or is stopped."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import msgspec

from knet.api.objects import JSON
from knet.cluster import channel
from knet.cluster.errors import KnetError
from knet.cluster.faults.effect import Picture, check, effect, instant, picture, requests, text
from knet.cluster.faults.plan import Plan, PlanError, read
from knet.cluster.faults.schedule import Event, Occurrence, Schedule, schedule
from knet.underlay.state import LinkState
from knet.underlay.validate import unsupported

BEGINS, ENDS, REFUSED, HEALED = "begins", "ends", "refused", "healed"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a run's log."""

    time: str
    """RFC 3339, with milliseconds"""
    at: float
    """seconds since the start of the run, as they really were"""
    event: str
    """begins, ends, refused (the supervisor would not) or healed"""
    number: int = 0
    """of the occurrence; an end bears that of its beginning"""
    planned: float = 0.0
    """seconds since the start of the run, as the schedule has them"""
    what: str = ""

    def __str__(self) -> str:
        number = f"#{self.number}" if self.number else ""
        return f"{self.time[11:23]} {self.at:9.3f} s  {self.event:<7} {number:<4} {self.what}".rstrip()


class Pace:
    """Time as it passes, and how a run is told to stop meanwhile."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def now(self) -> float:
        return time.monotonic()

    def wait(self, until: float) -> bool:
        """Wait for that moment of `now`; False if the run is to stop instead."""
        return not self._stopped.wait(max(0.0, until - self.now()))


class Run:
    """A run of a schedule, in this thread (`run`) or beside a with block, at whose end it is stopped."""

    def __init__(
        self,
        ask: Callable[[JSON], object],
        ground: Picture,
        planned: Schedule,
        told: Callable[[Record], None],
        pace: Pace | None = None,
    ) -> None:
        self.schedule = planned
        self.log: list[Record] = []
        self._ask = ask
        self._ground = self._now = ground
        self._told = told
        self._pace = pace or Pace()
        self._lasting: list[Occurrence] = []
        self._started = 0.0
        self._thread: threading.Thread | None = None

    def run(self) -> bool:
        """Carry it out; whether it came to its end (False: it was stopped).  Whatever happens, all is healed."""
        self._started = self._pace.now()
        try:
            whole = all(self._carry_out(event) for event in self.schedule.events)
            return whole and self._pace.wait(self._started + self.schedule.end)
        finally:
            self._lasting.clear()
            left = self._now != self._ground
            self._become(0.0, 0)
            if left:
                self._tell(HEALED, 0, self._elapsed(), "all is as it was")

    def stop(self) -> None:
        """Let `run` heal what is left and return."""
        self._pace.stop()

    @property
    def refused(self) -> int:
        """How many requests the supervisor would not meet."""
        return sum(record.event == REFUSED for record in self.log)

    def __enter__(self) -> "Run":
        self._thread = threading.Thread(target=self.run, name="knet-faults", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _carry_out(self, event: Event) -> bool:
        if not self._pace.wait(self._started + event.at):
            return False
        occurrence = event.occurrence
        self._tell(BEGINS if event.begins else ENDS, occurrence.number, event.at, text(occurrence))
        if occurrence.fault.instant:
            self._request(list(instant(occurrence, self._now)), occurrence.number, event.at)
            return True
        if event.begins:
            self._lasting.append(occurrence)
        else:
            self._lasting.remove(occurrence)
        self._become(event.at, occurrence.number)
        return True

    def _become(self, planned: float, number: int) -> None:
        """Let the network be what the faults that last make of it."""
        try:
            wanted = effect(self._ground, self._lasting)
        except ValueError as error:  # each makes sense, but not all of them together
            self._tell(REFUSED, number, planned, str(error))
            return
        self._request(list(requests(self._now, wanted)), number, planned)
        self._now = wanted

    def _request(self, wanted: list[JSON], number: int, planned: float) -> None:
        for request in wanted:
            try:
                self._ask(request)
            except KnetError as error:
                self._tell(REFUSED, number, planned, str(error))

    def _tell(self, event: str, number: int, planned: float, what: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        at = round(self._elapsed(), 3)
        record = Record(time=now, at=at, event=event, number=number, planned=round(planned, 3), what=what)
        self.log.append(record)
        self._told(record)

    def _elapsed(self) -> float:
        return self._pace.now() - self._started


def prepare(supervisor: Path | str, plan: Plan, seed: int | None = None, told: Callable[[Record], None] = print) -> Run:
    """A run on a cluster that is up, whose supervisor listens there; PlanError as by `survey`."""

    def ask(request: JSON) -> JSON:
        return channel.request(supervisor, request)[0]

    return Run(ask, survey(plan, ask({"op": "status"})), schedule(plan, choose(plan, seed)), told)


def survey(plan: Plan, status: JSON) -> Picture:
    """The network as it is; PlanError for what the plan names and the cluster or the kernel has not."""
    ground = picture(status, msgspec.convert(status["links"], list[LinkState]))
    for fault, impaired in check(plan.faults, ground):
        if complaint := unsupported(impaired):
            raise PlanError(f"{fault.where}: {complaint}")
    return ground


def choose(plan: Plan, seed: int | None) -> int:
    """The seed that was asked for, the plan's, or any."""
    if seed is not None:
        return seed
    return plan.seed if plan.seed is not None else random.SystemRandom().randrange(1 << 16)


def load(plan: str | Path | JSON) -> Plan:
    """A plan from a file, from YAML text (of more than one line), or from data; PlanError."""
    if isinstance(plan, dict):
        return read(msgspec.json.encode(plan).decode())
    source = str(plan)
    if isinstance(plan, str) and "\n" in source:
        return read(source)
    try:
        return read(Path(source).read_text(), Path(source).name)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise PlanError(f"{source}: {reason}") from None
