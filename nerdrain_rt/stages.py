"""The threads of the program: `Prefetch` runs an iterable ahead of its consumer in a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Prefetch(Generic[Item]):
    """Iterate `source` in a thread; lossless, in order, and never ahead by more than `depth` items and the one at hand.

    An error of the source is raised from the loop over this stage as itself, after the items
    before it. Leaving the `with` block stops the thread, closes a generator source in it, and
    waits for both; only a KeyboardInterrupt waits no longer than `interrupt_seconds`, because
    a network on a slow processor may be minutes inside one frame. A program should then end by `os._exit`:
    the interpreter cannot unwind a thread inside C++ and would abort.
    """

    def __init__(self, source: Iterable[Item], *, depth: int = 2, interrupt_seconds: float = 0.2) -> None:
        if depth < 1:
            raise ValueError(f"depth is {depth}; it must be at least 1")
        self._source = source
        self._depth = depth
        self._interrupt_seconds = interrupt_seconds
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._is_finished = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"prefetch-{type(source).__name__}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join(self._interrupt_seconds if _is_interrupt(error) else None)

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
            self._changed.wait_for(lambda: self._items or self._is_finished or self._is_stopping)
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
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._is_stopping)
            if self._is_stopping:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether this is Ctrl-C, or the closing of a generator on its account."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, GeneratorExit) and isinstance(error.__context__, KeyboardInterrupt)
    )
