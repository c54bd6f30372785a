"""The folder of built engines: keys, damage, processes side by side, folders that cannot be written."""

import dataclasses
import errno
import json
import logging
import threading
from pathlib import Path

import pytest

from nerdrain_rt.backends import engine_cache
from nerdrain_rt.backends.engine_cache import EngineCache, default_folder
from nerdrain_rt.backends.engine_spec import EngineSpec, Target, Versions

SPEC = EngineSpec(
    weights="5" * 64,
    network="NetConfig() 0123",
    smallest=(720, 1280),
    usual=(720, 1280),
    largest=(720, 1280),
    precision="fp16",
    target=Target("8.9", "NVIDIA GeForce RTX 4090", "580.65.06"),
    versions=Versions("tensorrt-rtx", "1.5.0.114", "2.13.0", "2.13.0+cu130"),
    options={"immutable_weights": True},
)
PLAN = b"a plan" * 1000


@pytest.fixture
def cache(tmp_path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def store(cache: EngineCache, spec: EngineSpec = SPEC, plan: bytes = PLAN) -> Path:
    path = cache.store(spec, plan, name="nerdrain-s", seconds=12.34)
    assert path is not None
    return path


def load_or_build(cache: EngineCache, build) -> bytes:
    return cache.load_or_build(SPEC, build, name="nerdrain-s", is_cancelled=threading.Event())


DIFFERENT = [
    {"weights": "6" * 64},
    {"network": "NetConfig() 4567"},
    {"smallest": (360, 640)},
    {"usual": (704, 1280)},
    {"largest": (1088, 1920)},
    {"precision": "bf16"},
    {"target": dataclasses.replace(SPEC.target, gpu="NVIDIA GeForce RTX 4080")},
    {"target": dataclasses.replace(SPEC.target, capability="12.0")},
    {"target": dataclasses.replace(SPEC.target, driver="590.10")},
    {"versions": dataclasses.replace(SPEC.versions, flavour="tensorrt")},
    {"versions": dataclasses.replace(SPEC.versions, tensorrt="1.6")},
    {"versions": dataclasses.replace(SPEC.versions, torch_tensorrt="2.12.0")},
    {"versions": dataclasses.replace(SPEC.versions, torch="2.12.0")},
    {"options": {"immutable_weights": False}},
]


@pytest.mark.parametrize("change", DIFFERENT, ids=str)
def test_whatever_differs_makes_another_engine(cache, change):
    store(cache)
    other = dataclasses.replace(SPEC, **change)
    assert other.key != SPEC.key
    assert cache.load(other) is None


def test_a_stored_engine_is_loaded_by_another_process(cache):
    store(cache)
    again = EngineSpec.from_json(json.loads(json.dumps(dataclasses.asdict(SPEC))))
    assert again == SPEC
    assert EngineCache(cache.folder).load(again) == PLAN


def test_the_name_of_the_file_tells_a_person_what_it_is(cache):
    name = store(cache).name
    for part in ("55555555", "1280x720", "fp16", "nvidia-geforce-rtx-4090", "sm89", "tensorrt-rtx-1.5.0.114"):
        assert part in name
    assert name == name.lower()
    assert " " not in name


def test_a_dynamic_engine_is_named_by_its_limits():
    spec = dataclasses.replace(SPEC, smallest=(352, 640), largest=(1088, 1920))
    assert spec.is_dynamic
    assert spec.size_words == "640x352-1920x1088"


def cut_short(plan: Path) -> None:
    plan.write_bytes(PLAN[:-1])


def flip_a_bit(plan: Path) -> None:
    plan.write_bytes(bytes([PLAN[0] ^ 1]) + PLAN[1:])


def remove_the_plan(plan: Path) -> None:
    plan.unlink()


def spoil_the_json(plan: Path) -> None:
    plan.with_suffix(".json").write_text('{"spec": {')


def strip_the_json(plan: Path) -> None:
    plan.with_suffix(".json").write_text("{}")


def make_the_json_a_list(plan: Path) -> None:
    plan.with_suffix(".json").write_text("[1, 2]")


def forge_the_json(plan: Path) -> None:
    path = plan.with_suffix(".json")
    path.write_text(path.read_text().replace('"8.9"', '"9.0"'))


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        flip_a_bit,
        remove_the_plan,
        spoil_the_json,
        strip_the_json,
        make_the_json_a_list,
        forge_the_json,
    ],
)
def test_a_damaged_engine_is_built_again_and_said_so(cache, caplog, damage):
    damage(store(cache))
    assert load_or_build(cache, lambda: b"new") == b"new"
    assert "built again" in caplog.text
    caplog.clear()
    assert cache.load(SPEC) == b"new"
    assert not caplog.text


def test_a_plan_without_its_json_is_no_engine(cache, caplog):
    store(cache).with_suffix(".json").unlink()
    assert cache.load(SPEC) is None
    assert not caplog.text


def test_what_is_cached_is_not_built(cache):
    store(cache)
    assert load_or_build(cache, lambda: pytest.fail("built")) == PLAN


def test_a_failed_build_leaves_nothing_and_the_next_may_begin(cache):
    def fail() -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        load_or_build(cache, fail)
    assert cache.engines() == []
    assert load_or_build(cache, lambda: PLAN) == PLAN


def test_two_that_want_the_same_engine_build_it_once(cache):
    built = []
    is_building = threading.Event()
    may_end = threading.Event()

    def build() -> bytes:
        is_building.set()
        assert may_end.wait(10)
        built.append(1)
        return PLAN

    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(load_or_build(EngineCache(cache.folder), build)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert is_building.wait(10)
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert (built, results) == ([1], [PLAN, PLAN])


def test_waiting_for_another_process_ends_when_cancelled(cache):
    is_cancelled = threading.Event()
    with cache.lock(SPEC, threading.Event()):
        timer = threading.Timer(0.1, is_cancelled.set)
        timer.start()
        with EngineCache(cache.folder).lock(SPEC, is_cancelled):
            pass
    timer.join()


def test_nothing_half_written_is_ever_seen(cache, monkeypatch):
    store(cache)

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(engine_cache.os, "fsync", fail)
    assert cache.store(SPEC, b"other", name="nerdrain-s", seconds=1) is None
    monkeypatch.undo()
    assert cache.load(SPEC) == PLAN
    assert not list(cache.folder.glob("*.partial"))


def test_a_full_disk_is_a_warning_and_the_engine_is_used(cache, monkeypatch, caplog):
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(engine_cache.os, "fsync", fail)
    assert load_or_build(cache, lambda: PLAN) == PLAN
    assert "No space left on device" in caplog.text
    assert "used from memory" in caplog.text


def test_a_folder_that_cannot_be_made_is_a_warning_and_the_engine_is_used(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = EngineCache(tmp_path / "file" / "engines")
    assert load_or_build(cache, lambda: PLAN) == PLAN
    assert "used from memory" in caplog.text
    assert (cache.engines(), cache.clear()) == ([], (0, 0))


def test_engines_are_listed_with_what_they_are(cache):
    store(cache)
    store(cache, dataclasses.replace(SPEC, precision="bf16"))
    first, second = cache.engines()
    assert {first.spec.precision, second.spec.precision} == {"fp16", "bf16"}
    assert (first.name, first.bytes, first.seconds) == ("nerdrain-s", len(PLAN), 12.3)
    assert first.path.is_file()


def test_a_listing_passes_over_what_is_no_engine(cache, caplog):
    store(cache)
    (cache.folder / "other.json").write_text("{}")
    assert len(cache.engines()) == 1
    assert "other.json" in caplog.text


def test_discarding_leaves_the_others(cache):
    other = dataclasses.replace(SPEC, precision="bf16")
    store(cache)
    store(cache, other)
    cache.discard(SPEC)
    assert (cache.load(SPEC), cache.load(other)) == (None, PLAN)
    cache.discard(SPEC)


def test_clearing_removes_engines_and_nothing_else(cache):
    path = store(cache)
    path.with_suffix(".jit").write_bytes(b"kernels")
    (cache.folder / "notes.txt").write_text("mine")
    count, total = cache.clear()
    assert count == 1
    assert total > len(PLAN)
    assert [left.name for left in cache.folder.iterdir()] == ["notes.txt"]


def test_the_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("NERDRAIN_ENGINES", str(tmp_path))
    assert default_folder() == tmp_path
    assert EngineCache().folder == tmp_path


def test_building_without_a_lock_is_told_to_those_who_look(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.DEBUG), EngineCache(tmp_path / "file").lock(SPEC, threading.Event()):
        pass
    assert "without a lock" in caplog.text
