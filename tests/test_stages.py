"""Stages in threads: what goes in comes out, errors arrive as themselves, and no thread outlives its block."""

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from itertools import count
from random import Random

import pytest

from nerdrain_rt.stages import Prefetch


class Failure(Exception):
    """Told apart by its arguments: where, and at which item."""


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def busy():
    """A call that says it has begun and then takes half a minute, unless the test is over."""
    begun, is_over = threading.Event(), threading.Event()
    threads = []

    def work() -> None:
        threads.append(threading.current_thread())
        begun.set()
        is_over.wait(30)

    work.begun = begun
    yield work
    is_over.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def pressed(busy):
    """The time at which Ctrl-C was pressed: shortly after `busy` has begun."""
    times = []

    def press() -> None:
        busy.begun.wait(10)
        time.sleep(0.05)
        times.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    yield times
    thread.join()


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_items_come_once_and_in_order(depth):
    with Prefetch(range(500), depth=depth) as stage:
        assert list(stage) == list(range(500))


def test_the_end_is_told_again_and_again():
    with Prefetch([1]) as stage:
        assert list(stage) == [1]
        assert list(stage) == []


@pytest.mark.parametrize("depth", [1, 3])
def test_a_source_runs_ahead_by_depth_and_the_item_at_hand(depth):
    made = []

    def source() -> Iterator[int]:
        for item in range(100):
            made.append(item)
            yield item

    with Prefetch(source(), depth=depth) as stage:
        time.sleep(0.05)
        assert len(made) == depth + 1
        next(stage)
        time.sleep(0.05)
        assert len(made) == depth + 2


def test_a_source_works_while_its_consumer_does():
    def source() -> Iterator[int]:
        for item in range(10):
            time.sleep(0.02)
            yield item

    started = time.monotonic()
    with Prefetch(source()) as stage:
        for _ in stage:
            time.sleep(0.02)
    assert time.monotonic() - started < 0.33  # one after the other it would be 0.4


def test_a_depth_of_zero_is_refused():
    with pytest.raises(ValueError, match="depth is 0; it must be at least 1"):
        Prefetch([], depth=0)


def test_ctrl_c_while_the_thread_begins_ends_it(monkeypatch):
    started = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(threading.Thread, "start", interrupted)
        with Prefetch(count()):
            pass
    started[0].join(5)


@pytest.mark.parametrize("kind", [Failure, MemoryError, KeyboardInterrupt, SystemExit])
def test_an_error_arrives_as_itself_after_the_items_before_it(kind):
    error, received = kind("camera on fire"), []

    def source() -> Iterator[int]:
        yield from (1, 2, 3)
        raise error

    with Prefetch(source(), depth=1) as stage, pytest.raises(kind) as caught:
        received.extend(stage)
    assert caught.value is error
    assert received == [1, 2, 3]


def test_a_source_that_cannot_be_iterated_is_an_error_and_no_deadlock():
    with Prefetch(7) as stage, pytest.raises(TypeError, match="not iterable"):
        next(stage)


def test_an_error_of_the_consumer_stays_its_own():
    def source() -> Iterator[int]:
        yield 1
        raise Failure("source")

    with pytest.raises(Failure, match="consumer"), Prefetch(source()) as stage:
        next(stage)
        raise Failure("consumer")


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_generator_left_early_is_closed_in_its_thread(taken):
    closed_in = []

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed_in.append(threading.current_thread().name)

    with Prefetch(source()) as stage:
        for _ in range(taken):
            next(stage)
        time.sleep(0.01)
    assert closed_in == ["prefetch-generator"]


def test_leaving_waits_for_the_item_at_hand():
    is_done = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        time.sleep(0.1)
        is_done.set()
        yield 2

    with Prefetch(source()) as stage:
        next(stage)
        time.sleep(0.02)
    assert is_done.is_set()


def test_stopping_ends_the_wait_of_a_consumer_in_another_thread():
    is_over = threading.Event()

    def source() -> Iterator[int]:
        is_over.wait(10)
        yield 1

    received = []
    with Prefetch(source()) as stage:
        consumer = threading.Thread(target=lambda: received.extend(stage))
        consumer.start()
        time.sleep(0.02)
        stage.stop()
        consumer.join(1)
        assert not consumer.is_alive()
        is_over.set()
    assert received == []


def test_a_stopped_stage_gives_nothing_more():
    with Prefetch(range(9)) as stage:
        next(stage)
        time.sleep(0.01)
        stage.stop()
        assert list(stage) == []


def test_nested_stages_keep_order_and_close_from_the_outside_in():
    closed = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append("numbers")

    def doubled(items: Iterable[int]) -> Iterator[int]:
        try:
            for item in items:
                yield 2 * item
        finally:
            closed.append("doubled")

    with Prefetch(numbers()) as inner, Prefetch(doubled(inner)) as outer:
        assert [next(outer) for _ in range(10)] == list(range(0, 20, 2))
    assert closed == ["doubled", "numbers"]


def test_an_error_passes_through_nested_stages_as_itself():
    error = Failure("reader")

    def source() -> Iterator[int]:
        yield 1
        raise error

    with (
        Prefetch(source()) as inner,
        Prefetch(item for item in inner) as outer,
        pytest.raises(Failure) as caught,
    ):
        list(outer)
    assert caught.value is error


def test_ctrl_c_ends_within_a_second_though_a_stage_is_busy(busy, pressed):
    def source() -> Iterator[int]:
        yield 1
        busy()

    with pytest.raises(KeyboardInterrupt), Prefetch(source()) as inner, Prefetch(item for item in inner) as outer:
        list(outer)
    assert time.monotonic() - pressed[0] < 1


def test_ctrl_c_outside_ends_the_generator_around_a_busy_stage_within_a_second(busy):
    def source() -> Iterator[int]:
        yield 1
        busy()

    def program() -> Iterator[int]:
        with Prefetch(source()) as stage:
            yield from stage

    with pytest.raises(KeyboardInterrupt), closing(program()) as items:
        next(items)
        busy.begun.wait(10)
        raised = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - raised < 1


def test_random_failures_end_as_they_would_without_threads():
    for seed in range(3000):
        expected = run_program(seed, in_threads=False)
        before = threading.active_count()
        assert run_program(seed, in_threads=True) == expected, f"seed {seed}"
        assert threading.active_count() == before, f"seed {seed}"


def run_program(seed: int, *, in_threads: bool) -> tuple[list[int], object, set[str]]:
    """A source, a stage between and a consumer, each of which may fail or leave: items, error, and what was closed."""
    random = Random(seed)
    count = random.randrange(10)
    at = {part: random.randrange(12) if random.random() < 0.4 else None for part in ("source", "middle", "consumer")}
    leave_at = random.randrange(12) if random.random() < 0.2 else None
    depths = random.randint(1, 3), random.randint(1, 3)
    speed = Random(seed + 1)
    closed, received = set(), []

    def work(part: str, index: int) -> None:
        if in_threads and speed.random() < 0.2:
            time.sleep(speed.random() * 0.0005)
        if index == at[part]:
            raise Failure(part, index)

    def source() -> Iterator[int]:
        try:
            for index in range(count):
                work("source", index)
                yield index
        finally:
            closed.add("source")

    def middle(items: Iterable[int]) -> Iterator[int]:
        try:
            for index, item in enumerate(items):
                work("middle", index)
                yield item
        finally:
            closed.add("middle")

    def stage(items: Iterator[int], depth: int):
        return Prefetch(items, depth=depth) if in_threads else nullcontext(items)

    error = None
    try:
        with stage(source(), depths[0]) as numbers, stage(middle(numbers), depths[1]) as results:
            for index, item in enumerate(results):
                if index == leave_at:
                    break
                work("consumer", index)
                received.append(item)
    except Failure as failure:
        error = failure.args
    return received, error, closed if in_threads else {"source", "middle"}
