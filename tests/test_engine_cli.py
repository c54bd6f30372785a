"""`nerdrain engine build | list | clear`, with a stand-in for the build."""

import json

import pytest
import torch
from typer.testing import CliRunner

from nerdrain_rt import engine_cli
from nerdrain_rt.backends.engine_cache import EngineCache
from nerdrain_rt.backends.engine_spec import EngineSpec, Target, Versions
from nerdrain_rt.engine_cli import engine_app
from nerdrain_rt.errors import BackendError, DerainError, UsageError
from nerdrain_rt.model.weights import DEFAULT

HERE = Target("8.9", "NVIDIA GeForce RTX 4090", "580.65.06")


class FakeBuild:
    def __init__(self) -> None:
        self.specs: list[EngineSpec] = []
        self.error: Exception | None = None

    def __call__(self, weights, spec, device, report, is_cancelled) -> bytes:
        self.specs.append(spec)
        report("building the engine", 0.5)
        if self.error is not None:
            raise self.error
        return b"plan" * 1000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> EngineCache:
    monkeypatch.setenv("NERDRAIN_ENGINES", str(tmp_path / "engines"))
    return EngineCache()


@pytest.fixture(autouse=True)
def build(monkeypatch) -> FakeBuild:
    """A machine with an NVIDIA GPU and TensorRT-RTX."""
    fake = FakeBuild()
    monkeypatch.setattr(engine_cli, "build_in_process", fake)
    monkeypatch.setattr(engine_cli, "installed_versions", lambda: Versions("tensorrt-rtx", "1.5", "2.13.0", "2.13.0"))
    monkeypatch.setattr(engine_cli, "find_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(engine_cli, "this_gpu", lambda device: HERE)
    return fake


def run(*arguments: str) -> str:
    result = CliRunner().invoke(engine_app, arguments)
    if isinstance(result.exception, DerainError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_engine_is_built_for_each_size(build, cache):
    run("build", "--size", "1920x1080", "--size", "1280x720")
    assert [spec.usual for spec in build.specs] == [(1088, 1920), (720, 1280)]
    assert {spec.target for spec in build.specs} == {HERE}
    assert {spec.precision for spec in build.specs} == {"fp16"}
    assert len(cache.engines()) == 2


def test_an_engine_that_is_there_is_not_built_again(build):
    run("build", "--size", "64x64")
    run("build", "--size", "64x64")
    assert len(build.specs) == 1


def test_one_engine_serves_a_range_of_sizes(build):
    run("build", "--dynamic", "640x360", "1280x720", "1920x1080", "--precision", "bf16")
    (spec,) = build.specs
    assert (spec.smallest, spec.usual, spec.largest) == ((368, 640), (720, 1280), (1088, 1920))
    assert spec.precision == "bf16"


def test_engines_are_built_ahead_of_time_for_other_gpus(build):
    run("build", "--size", "64x64", "--target", "sm89,SM120")
    assert [spec.target for spec in build.specs] == [Target("8.9"), Target("12.0")]


def test_what_was_built_is_told_as_json(cache):
    printed = json.loads(run("build", "--size", "64x64", "--json"))
    assert printed["path"] == str(cache.engines()[0].path)
    assert printed["spec"]["usual"] == [64, 64]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to build; say --size WxH or --dynamic MIN OPT MAX"),
        (("--size", "1080p"), "'1080p' is not a size; write width and height, for example 1920x1080"),
        (("--size", "0x64"), "'0x64' is not a size"),
        (("--dynamic", "64x64", "32x32", "128x128"), "64x64 32x32 128x128 does not go from small to large"),
        (("--size", "64x64", "--precision", "int8"), "int8: no such precision; there are fp32, bf16, fp16"),
        (("--size", "64x64", "--target", "ampere"), "'ampere' is not a compute capability; write for example sm89"),
    ],
)
def test_wrong_requests_are_refused(build, arguments, message):
    with pytest.raises(UsageError, match=message):
        run("build", *arguments)
    assert build.specs == []


def test_standard_tensorrt_builds_for_the_gpu_that_is_here_only(monkeypatch, build):
    monkeypatch.setattr(engine_cli, "installed_versions", lambda: Versions("tensorrt", "11.0", "2.13.0", "2.13.0"))
    with pytest.raises(UsageError, match="TensorRT-RTX can for others"):
        run("build", "--size", "64x64", "--target", "sm89")
    run("build", "--size", "64x64")
    assert [spec.target for spec in build.specs] == [HERE]


def test_building_needs_an_nvidia_gpu(monkeypatch):
    monkeypatch.setattr(engine_cli, "find_device", lambda name: torch.device("cpu"))
    with pytest.raises(BackendError, match="cpu: engines are built where an NVIDIA GPU and its driver are"):
        run("build", "--size", "64x64")


@pytest.mark.parametrize("error", [BackendError("tensorrt: no"), torch.OutOfMemoryError("tensorrt: no")])
def test_a_failed_build_is_one_line(build, cache, error):
    build.error = error
    with pytest.raises(BackendError, match=r"^tensorrt: no$"):
        run("build", "--size", "64x64")
    assert cache.engines() == []


def test_a_folder_that_cannot_be_written_is_an_error_here(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NERDRAIN_ENGINES", str(tmp_path / "file" / "engines"))
    with pytest.raises(BackendError, match="cannot be kept there"):
        run("build", "--size", "64x64")


def test_engines_are_listed(cache):
    assert json.loads(run("list", "--json")) == {"engines": [], "folder": str(cache.folder)}
    run("build", "--size", "1280x720")
    table = " ".join(run("list").replace("│", " ").split())  # narrow columns wrap
    for words in ("1280x720", "fp16", "NVIDIA", "4090", "sm89"):
        assert words in table
    (listed,) = json.loads(run("list", "--json"))["engines"]
    assert (listed["name"], listed["bytes"]) == (DEFAULT, 4000)


def test_clearing_removes_them(cache):
    run("build", "--size", "64x64")
    run("clear")
    assert cache.engines() == []
    run("clear")
