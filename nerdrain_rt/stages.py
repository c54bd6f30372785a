"""The threads of the program: stages run an iterable ahead of its consumer, outlets take from the loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
HEARD_SECONDS = 0.5
"""The longest wait of the main thread in one piece: Windows lets a Ctrl-C be heard only between waits."""


class Stage(Generic[Item]):
    """Iterate `source` in a thread of its own; how far ahead of the consumer is for `Prefetch` and `Latest` to say.

    An error of the source is raised from the loop over this stage as itself, after the items
    before it. Leaving the `with` block stops the thread, closes a generator source in it, and
    waits for both; only a KeyboardInterrupt waits no longer than `interrupt_seconds`, because
    a network on a slow processor may be minutes inside one frame. A program should then end by `os._exit`:
    the interpreter cannot unwind a thread inside C++ and would abort.
    """

    def __init__(
        self,
        source: Iterable[Item],
        *,
        depth: int,
        interrupt_seconds: float = 0.2,
        wait_seconds: float | None = None,
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth is {depth}; it must be at least 1")
        self._source = source
        self._depth = depth
        self._interrupt_seconds = interrupt_seconds
        self._wait_seconds = wait_seconds
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._is_finished = False
        self._error: BaseException | None = None
        name = f"{type(self).__name__.lower()}-{type(source).__name__}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C while the thread begins: no one would stop it
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join(self._interrupt_seconds if _is_interrupt(error) else self._wait_seconds)

    def stop(self) -> None:
        """Ask the thread to end after the item it is working on, and end every wait on this stage."""
        with self._changed:
            self._is_stopping = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        with self._changed:
            while not self._changed.wait_for(self._has_news, HEARD_SECONDS):
                pass
            return self._take()

    def ticking(self, seconds: float | None) -> Iterator[Item | None]:
        """The items, and None whenever there was none for `seconds` (None: only the items)."""
        with suppress(StopIteration):
            while True:
                with self._changed:
                    is_tick = seconds is not None and not self._changed.wait_for(self._has_news, seconds)
                yield None if is_tick else next(self)

    def _has_news(self) -> bool:
        return bool(self._items) or self._is_finished or self._is_stopping

    def _take(self) -> Item:
        if self._items:
            item = self._items.popleft()
            self._changed.notify_all()
            return item
        if self._error is not None and not self._is_stopping:
            raise self._error
        raise StopIteration

    def _run(self) -> None:
        error: BaseException | None = None
        iterator: Iterator[Item] | None = None
        try:
            iterator = iter(self._source)
            for item in iterator:
                if not self._put(item):
                    break
        except BaseException as raised:
            error = raised
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        except BaseException as raised:
            error = error or raised
        with self._changed:
            self._error = error
            self._is_finished = True
            self._changed.notify_all()

    def _put(self, item: Item) -> bool:
        with self._changed:
            self._make_room()
            if self._is_stopping:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def _make_room(self) -> None:
        """Let there be less than `depth` items; called with the lock held."""
        raise NotImplementedError


class Prefetch(Stage[Item]):
    """A stage for files: lossless, in order, and never ahead by more than `depth` items and the one at hand."""

    def __init__(self, source: Iterable[Item], *, depth: int = 2, interrupt_seconds: float = 0.2) -> None:
        super().__init__(source, depth=depth, interrupt_seconds=interrupt_seconds)

    def _make_room(self) -> None:
        self._changed.wait_for(lambda: len(self._items) < self._depth or self._is_stopping)


class Latest(Stage[Item]):
    """A stage for what is live: one slot, in which a newer item takes the place of one that nobody came for.

    `received` and `dropped` count the items of the source. Leaving the block waits no longer than `wait_seconds`
    (None: as long as it takes): a camera or network may be silent, and its thread ends when that times out.
    """

    def __init__(
        self, source: Iterable[Item], *, interrupt_seconds: float = 0.2, wait_seconds: float | None = None
    ) -> None:
        super().__init__(source, depth=1, interrupt_seconds=interrupt_seconds, wait_seconds=wait_seconds)
        self.received = 0
        self.dropped = 0

    def _make_room(self) -> None:
        self.received += 1
        self.dropped += len(self._items)
        self._items.clear()


class Outlet(Generic[Item]):
    """The other end of the program: `work` runs in a thread and iterates over the newest of what is `put`.

    `put` never waits; `dropped` counts the items that were overtaken. When `work` ends or fails, what is put is
    ignored, and `error` says why it failed. `close` lets it take the last item; `join` waits for `wait_seconds`
    at most, because an encoder that stands before a dead network must not hold up the rest.
    """

    def __init__(self, work: Callable[[Iterator[Item]], None], *, name: str, wait_seconds: float = 5.0) -> None:
        self._work = work
        self._wait_seconds = wait_seconds
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self.is_finished = False
        self.dropped = 0
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"outlet-{name}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Ask `work` to end after the last item."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join(self._wait_seconds)

    def put(self, item: Item) -> None:
        """Offer an item; it takes the place of one that was not taken yet."""
        with self._changed:
            if not self.is_finished:
                self.dropped += len(self._items)
                self._items.clear()
                self._items.append(item)
                self._changed.notify_all()

    def _newest(self) -> Iterator[Item]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._is_closing)
                if not self._items:
                    return
                item = self._items.popleft()
            yield item

    def _run(self) -> None:
        try:
            self._work(self._newest())
        except Exception as error:
            self.error = error
        with self._changed:
            self.is_finished = True
            self._items.clear()


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether this is Ctrl-C, or the closing of a generator on its account."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, GeneratorExit) and isinstance(error.__context__, KeyboardInterrupt)
    )
