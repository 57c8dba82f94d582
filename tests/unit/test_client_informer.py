"""The informer's cache: what the watch says, what a write was answered, and which of them is newer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from knet.api.objects import ConfigMap, K, Meta
from knet.client import Gone, Index, Informer, Listing, Unavailable, WatchEvent
from knet.client import informer as informer_module
from knet.client.late import Line


def config(name: str, revision: int, value: str = "", namespace: str = "default") -> ConfigMap:
    return ConfigMap(
        metadata=Meta(name=name, namespace=namespace, resourceVersion=str(revision)), data={"value": value}
    )


class Script:
    """A server's side of list and watch, written down beforehand; it falls silent at the end of each script."""

    def __init__(self, lists: list[Listing[Any]], watches: list[list[WatchEvent[Any] | Exception]]) -> None:
        self.lists, self.watches = lists, watches
        self.done = asyncio.Event()

    async def list(self, cls: type[K], *selection: str) -> Listing[K]:
        return self.lists.pop(0)

    async def watch(self, cls: type[K], revision: str, *selection: str) -> AsyncIterator[WatchEvent[K]]:
        for event in self.watches.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event
        self.done.set()
        await asyncio.Event().wait()


def after(script: Script, *writes: ConfigMap) -> dict[str, str]:
    """Names and values in the cache when the script is through and the writes were assumed."""

    async def body() -> dict[str, str]:
        informer = Informer(script, ConfigMap)  # type: ignore[arg-type]
        running = asyncio.ensure_future(informer.run())
        await asyncio.wait_for(script.done.wait(), 5)
        for written in writes:
            informer.assume(written)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return {row.name: row.data["value"] for row in informer.list()}

    return asyncio.run(body())


def test_list_then_watch() -> None:
    listing = Listing((config("a", 3, "old"), config("b", 4, "stays")), "5")
    events = [
        WatchEvent("MODIFIED", config("a", 6, "new")),
        WatchEvent("ADDED", config("c", 7, "added")),
        WatchEvent("DELETED", config("b", 8)),
    ]
    assert after(Script([listing], [events])) == {"a": "new", "c": "added"}


def test_a_revision_that_is_gone_leads_to_a_new_list_whose_differences_count() -> None:
    lists = [Listing((config("a", 1, "1"), config("b", 2, "2")), "5"), Listing((config("b", 9, "9"),), "9")]
    gone = Gone(410, "Expired", "too old resource version")
    assert after(Script(lists, [[gone], []])) == {"b": "9"}


def test_a_write_is_read_back_before_the_watch_brings_it() -> None:
    script = Script([Listing((config("a", 3, "old"),), "5")], [[]])
    assert after(script, config("a", 6, "written"), config("b", 7, "made")) == {"a": "written", "b": "made"}


def test_a_write_that_the_watch_has_passed_changes_nothing() -> None:
    events = [WatchEvent("MODIFIED", config("a", 6, "mine")), WatchEvent("DELETED", config("a", 7))]
    script = Script([Listing((config("a", 3, "old"),), "5")], [events])
    assert after(script, config("a", 6, "mine")) == {}


def test_what_the_watch_brings_later_than_an_assumed_write_does_not_undo_it() -> None:
    async def body() -> str:
        script = Script([Listing((config("a", 3, "old"),), "5")], [[]])
        informer = Informer(script, ConfigMap)  # type: ignore[arg-type]
        running = asyncio.ensure_future(informer.run())
        await asyncio.wait_for(script.done.wait(), 5)
        informer.assume(config("a", 8, "written"))
        informer.assume(config("a", 7, "older"))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        found = informer.get("default", "a")
        assert found is not None
        return found.data["value"]

    assert asyncio.run(body()) == "written"


def test_an_index_follows_its_informer() -> None:
    async def body() -> list[list[str]]:
        events = [WatchEvent("MODIFIED", config("a", 6, "blue")), WatchEvent("DELETED", config("b", 7))]
        listing = Listing((config("a", 1, "red"), config("b", 2, "red"), config("c", 3, "red")), "5")
        script = Script([listing], [events])
        informer = Informer(script, ConfigMap)  # type: ignore[arg-type]
        index = Index(informer, lambda row: (row.data["value"],))
        running = asyncio.ensure_future(informer.run())
        await asyncio.wait_for(script.done.wait(), 5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return [[row.name for row in index.get(value)] for value in ("red", "blue", "green")]

    assert asyncio.run(body()) == [["c"], ["a"], []]


def in_line(monkeypatch: pytest.MonkeyPatch, seconds: float, script: Script) -> list[list[str]]:
    """What an informer in a late process knows when the script is through, and what it has told in the end."""

    async def body() -> list[list[str]]:
        line = Line()
        monkeypatch.setattr(informer_module, "LINE", line)
        line.delay(seconds)
        informer = Informer(script, ConfigMap)  # type: ignore[arg-type]
        running = asyncio.ensure_future(informer.run())
        await asyncio.wait_for(script.done.wait(), 5)
        known, told = [row.name for row in informer.list()], []
        informer.subscribe(lambda old, new: told.append(f"{'-' if new is None else '+'}{(new or old).name}"))
        line.delay(0)
        await informer.synced.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return [known, told, [row.name for row in informer.list()]]

    return asyncio.run(body())


EVENTS: list[WatchEvent[Any] | Exception] = [
    WatchEvent("ADDED", config("b", 6)),
    WatchEvent("DELETED", config("b", 7)),
    WatchEvent("ADDED", config("c", 8)),
]


def test_who_is_late_learns_all_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script([Listing((config("a", 3),), "5")], [EVENTS])
    assert in_line(monkeypatch, 3600, script) == [[], ["+a", "+b", "-b", "+c"], ["a", "c"]]


def test_who_is_late_goes_on_from_what_came_when_a_watch_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Script):
        asked: ClassVar[list[str]] = []

        async def watch(self, cls: type[K], revision: str, *selection: str) -> AsyncIterator[WatchEvent[K]]:
            self.asked.append(revision)
            async for event in super().watch(cls, revision, *selection):
                yield event

    gone = Gone(410, "Expired", "too old resource version")
    lists = [Listing((config("a", 3),), "5"), Listing((config("d", 9),), "9")]
    script = Broken(lists, [[*EVENTS[:1], Unavailable("cut")], [*EVENTS[1:], gone], []])
    assert in_line(monkeypatch, 3600, script)[1:] == [["+a", "+b", "-b", "+c", "-a", "-c", "+d"], ["d"]]
    assert Broken.asked == ["5", "6", "9"]


def test_what_comes_after_a_longer_delay_does_not_overtake() -> None:
    async def body() -> tuple[list[int], bool]:
        line, done = Line(), asyncio.Event()
        told: list[int] = []
        line.delay(3600)
        line.join(lambda: told.append(1))
        line.delay(0.001)
        line.join(lambda: told.append(2))
        line.join(done.set)
        await done.wait()
        line.delay(0)
        return told, line.waits

    assert asyncio.run(body()) == ([1, 2], False)
