"""Rules of ours in the kernel, kept as they are wanted: told by differences, and looked after when others meddle.

Who writes rules remembers what it wrote last, so that a change costs what is different; and what the kernel made of it,
so that a look now and then finds out what others changed.  Then everything is written anew.
"""

import logging
import time
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from knet.kernel.rules import RulesError

log = logging.getLogger(__name__)

W = TypeVar("W")
H = TypeVar("H")


class Upkeep(ABC, Generic[W, H]):
    """``W`` is what is wanted, ``H`` what the kernel is found to hold.  ``damaged`` is what the log says of damage."""

    damaged: str

    def __init__(self) -> None:
        #: what the kernel was told; None while we do not know what it holds
        self._written: W | None = None
        #: what it made of that, once it has been looked at
        self._left: H | None = None

    @abstractmethod
    def _difference(self, wanted: W, written: W) -> str:
        """What to tell the kernel for one to become the other; "" for nothing."""

    @abstractmethod
    def _complete(self, wanted: W, held: H) -> str:
        """What to tell it, whatever it holds; "" for nothing."""

    @abstractmethod
    def _plausible(self, wanted: W, held: H) -> bool:
        """Whether it could hold what is wanted, as far as that can be told of what it prints."""

    @abstractmethod
    async def _tell(self, text: str) -> None:
        """In one transaction; RulesError."""

    @abstractmethod
    async def _look(self) -> H: ...

    @property
    def written(self) -> W | None:
        """What the kernel was last told to hold; None where that is not known."""
        return self._written

    async def apply(self, wanted: W) -> None:
        """Make the kernel hold this; RulesError where it refuses, with nothing changed."""
        if self._written is None:
            await self._write_everything(wanted, await self._look())
            return
        text = self._difference(wanted, self._written)
        if not text:
            return
        try:
            await self._write(wanted, text)
        except RulesError as error:  # something that this change relies on is gone
            log.warning("%s; writing all rules anew", error)
            await self._write_everything(wanted, await self._look())

    async def repair(self, wanted: W) -> None:
        """The same; then look whether all is as we left it, and write it anew where it is not."""
        await self.apply(wanted)
        held = await self._look()
        if self._plausible(wanted, held) and self._left in (None, held):
            self._left = held
            return
        log.warning(self.damaged)
        await self._write_everything(wanted, held)

    def forget(self) -> None:
        """Somebody else has been at work: the next call looks first."""
        self._written = None

    async def _write_everything(self, wanted: W, held: H) -> None:
        self.forget()
        if text := self._complete(wanted, held):
            await self._write(wanted, text)
        self._written = wanted

    async def _write(self, wanted: W, text: str) -> None:
        start = time.monotonic()
        await self._tell(text)
        self._written, self._left = wanted, None
        log.info("%d lines of rules in force after %.0f ms", text.count("\n"), 1000 * (time.monotonic() - start))
