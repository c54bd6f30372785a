"""The live stages: what is overtaken is dropped and counted, what is newest arrives, and nothing waits for the slow."""

import threading
import time
from collections.abc import Iterator

import pytest

from nerdrain_rt.stages import Latest, Outlet
from tests.live_parts import PATIENCE_SECONDS, until


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_the_newest_item_takes_the_place_of_older_ones():
    with Latest(range(10)) as stage:
        until(lambda: stage.received == 10)
        assert list(stage) == [9]
    assert (stage.received, stage.dropped) == (10, 9)


def test_items_that_are_taken_in_time_are_not_dropped():
    taken = threading.Semaphore(1)

    def source() -> Iterator[int]:
        for item in range(50):
            assert taken.acquire(timeout=PATIENCE_SECONDS)
            yield item

    received = []
    with Latest(source()) as stage:
        for item in stage:
            received.append(item)
            taken.release()
    assert received == list(range(50))
    assert (stage.received, stage.dropped) == (50, 0)


def test_a_source_never_waits_for_its_consumer():
    with Latest(range(100_000)) as stage:
        until(lambda: stage.received == 100_000)


def test_an_error_comes_after_the_newest_item():
    def source() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("unplugged")

    with Latest(source()) as stage:
        until(lambda: stage.received == 3)
        time.sleep(0.01)
        assert next(stage) == 3
        with pytest.raises(OSError, match="unplugged"):
            next(stage)


def test_stopping_from_another_thread_ends_the_wait_for_a_silent_source():
    is_over = threading.Event()

    def silent() -> Iterator[int]:
        yield 1
        is_over.wait(PATIENCE_SECONDS)

    with Latest(silent(), wait_seconds=0.05) as stage:
        assert next(stage) == 1
        threading.Timer(0.02, stage.stop).start()
        assert list(stage) == []
    is_over.set()
    until(lambda: not any(thread.name == "latest-generator" for thread in threading.enumerate()))


def test_leaving_waits_for_a_silent_source_no_longer_than_allowed():
    is_over = threading.Event()

    def silent() -> Iterator[int]:
        yield 1
        is_over.wait(PATIENCE_SECONDS)

    started = time.monotonic()
    with Latest(silent(), wait_seconds=0.05) as stage:
        next(stage)
    assert time.monotonic() - started < PATIENCE_SECONDS / 2
    is_over.set()
    until(lambda: not any(thread.name == "latest-generator" for thread in threading.enumerate()))


def test_an_outlet_takes_the_newest_and_counts_the_rest():
    is_free, has_begun, taken = threading.Event(), threading.Event(), []

    def work(items: Iterator[int]) -> None:
        for item in items:
            has_begun.set()
            assert is_free.wait(PATIENCE_SECONDS)
            taken.append(item)

    outlet = Outlet(work, name="slow")
    outlet.start()
    outlet.put(0)
    assert has_begun.wait(PATIENCE_SECONDS)
    for item in range(1, 6):
        outlet.put(item)
    is_free.set()
    outlet.close()
    outlet.join()
    assert taken == [0, 5]
    assert outlet.dropped == 4
    assert outlet.error is None


def test_an_outlet_that_failed_ignores_what_is_put():
    def work(items: Iterator[int]) -> None:
        next(items)
        raise OSError("disk full")

    outlet = Outlet(work, name="full")
    outlet.start()
    outlet.put(1)
    until(lambda: outlet.is_finished)
    outlet.put(2)
    outlet.close()
    outlet.join()
    assert str(outlet.error) == "disk full"
    assert outlet.dropped == 0


def test_an_outlet_that_hangs_is_left_behind():
    is_over = threading.Event()
    outlet = Outlet(lambda items: is_over.wait(PATIENCE_SECONDS) and None, name="hangs", wait_seconds=0.05)
    outlet.start()
    outlet.close()
    outlet.join()
    assert not outlet.is_finished
    is_over.set()
    until(lambda: outlet.is_finished)
    until(lambda: not any(thread.name == "outlet-hangs" for thread in threading.enumerate()))


def test_a_tick_comes_where_nothing_else_does():
    is_over = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        is_over.wait(PATIENCE_SECONDS)
        yield 2
        raise OSError("unplugged")

    received = []
    with Latest(source()) as stage, pytest.raises(OSError, match="unplugged"):
        for item in stage.ticking(0.01):
            received.append(item)
            if received.count(None) == 3:
                is_over.set()
    assert [item for item in received if item is not None] == [1, 2]


def test_without_a_time_nothing_ticks():
    with Latest(iter([1])) as stage:
        assert list(stage.ticking(None)) == [1]
