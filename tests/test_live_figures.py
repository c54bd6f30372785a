"""What live runs count and decide by: the governor of the work scale, the meter, the timeline of a source."""

from itertools import pairwise

import pytest

from nerdrain_rt.live import WORK_SCALES, Governor, Latencies, Meter
from nerdrain_rt.media.live_base import LIVE_TIME_BASE, Timeline


def test_the_governor_goes_down_at_the_median_and_up_after_a_calm():
    governor, steps, now = Governor(100), [], 0.0

    def frames(count: int, latency: float) -> None:
        nonlocal now
        for _ in range(count):
            now += 0.1
            step = governor.update(latency, now)
            if step is not None:
                steps.append((round(now, 1), step.work_scale))

    frames(20, 99)
    assert steps == []
    frames(3, 500)
    assert steps == []  # most of the window is still good
    frames(1, 500)
    assert steps == [(2.4, 0.75)]
    frames(10, 80)  # 2 settle, 8 fill the window: there is no room above
    assert len(steps) == 1
    frames(60, 40)
    assert steps[1] == (pytest.approx(6.9, abs=0.15), 1.0)  # the median has room from 3.9 on, and that for 3 s


def test_the_governor_waits_longer_after_each_step_up_that_was_taken_back():
    governor, ups, now = Governor(100), [], 0.0
    while len(ups) < 4:
        now += 0.1
        latency = 150 if governor.scale == 1 else 40
        step = governor.update(latency, now)
        if step is not None and step.work_scale == 1:
            ups.append(now)
    gaps = [later - earlier for earlier, later in pairwise(ups)]
    assert gaps[0] < gaps[1] < gaps[2]


def test_the_governor_does_not_wait_for_many_frames_where_each_takes_long():
    governor = Governor(100)
    steps = [(tick, step.work_scale) for tick in range(12) if (step := governor.update(2000, tick)) is not None]
    assert steps == [(4, 0.75), (9, 0.5)]


def test_the_governor_ends_at_the_smallest_scale_and_never_exceeds_the_users():
    governor = Governor(10, limit=0.5)
    scales = [step.work_scale for tick in range(200) if (step := governor.update(999, tick)) is not None]
    assert scales == [0.5 * scale for scale in WORK_SCALES[1:]]
    assert governor.is_at_its_end
    rises = [step.work_scale for tick in range(200, 2000) if (step := governor.update(0.1, tick)) is not None]
    assert rises == [0.5 * scale for scale in WORK_SCALES[-2::-1]]


def test_quantiles_of_many_durations_are_exact_to_a_few_percent():
    latencies = Latencies()
    for milliseconds in range(1, 10_001):
        latencies.add(milliseconds)
    assert latencies.quantile(0.5) == pytest.approx(5000, rel=0.02)
    assert latencies.quantile(0.95) == pytest.approx(9500, rel=0.02)
    assert Latencies().quantile(0.5) is None


def test_the_meter_tells_of_the_last_seconds_only():
    meter = Meter()
    for tick in range(100):
        meter.add(tick / 10, 500 if tick < 50 else 20)
    assert meter.fps(9.9) == pytest.approx(10)
    assert meter.fps(14.9) == pytest.approx(0.2)
    assert meter.quantile(0.95) == 20
    assert meter.all.quantile(0.25) == pytest.approx(500, rel=0.02) or meter.all.quantile(0.75) is not None
    assert meter.count == 100


def test_the_meter_takes_the_nearest_rank():
    meter = Meter()
    for milliseconds in range(20, 0, -1):
        meter.add(0.0, milliseconds)
    assert [meter.quantile(share) for share in (0.0, 0.5, 0.95, 1.0)] == [1, 10, 19, 20]


def test_a_timeline_keeps_intervals_and_follows_jumps():
    timeline = Timeline(started=50.0)
    seconds = [timeline.place(time, arrived) * float(LIVE_TIME_BASE) for time, arrived in [
        (1000.0, 50.5), (1000.04, 50.6), (1000.08, 50.55),  # jitter of the network does not matter
        (7.0, 51.0), (7.04, 51.04),  # the camera began its clock anew
        (None, 52.0),
    ]]  # fmt: skip
    assert seconds == pytest.approx([0.5, 0.54, 0.58, 1.0, 1.04, 2.0])


def test_times_that_go_back_still_grow():
    timeline = Timeline(started=0.0)
    pts = [timeline.place(seconds, 0.1) for seconds in (5.0, 4.9, 4.8, 5.1)]
    assert pts == sorted(set(pts))
