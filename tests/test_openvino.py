"""OpenVINO computes what the network computes, and what it compiled is kept for the next launch."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("openvino", reason="OpenVINO is not installed")

from nerdrain_rt.backends import openvino, openvino_graph
from nerdrain_rt.errors import BackendError
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import Weights, load_weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Of a tiny network with random norms and temperatures too."""
    config = NetConfig(width=8, depths=(1, 1, 1), head_width=16)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = NerdRain(config)
        for parameter in net.parameters():
            if parameter.ndim != 4:
                parameter.data += 0.2 * torch.randn_like(parameter)
    return Weights("tiny", Path("tiny.safetensors"), "0" * 64, config, net.state_dict(), {})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NERDRAIN_CACHE", str(tmp_path))
    monkeypatch.delenv("NERDRAIN_OPENVINO_DEVICE", raising=False)
    return tmp_path / "openvino"


def images(height: int, width: int, *, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def psnr(residual: Tensor, expected: Tensor) -> float:
    return float(-10 * (residual - expected).square().mean().log10())


def load_bfloat16(weights: Weights) -> openvino.OpenVinoBackend:
    try:
        return openvino.load(weights, CPU, torch.bfloat16)
    except BackendError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (64, 64)], ids=str)
def test_the_residual_in_float32_is_the_networks(weights, size):
    rainy = images(*size, batch=2)
    residual = openvino.load(weights, CPU, torch.float32)(rainy)
    assert (residual.shape, residual.dtype) == (rainy.shape, torch.float32)
    torch.testing.assert_close(residual, weights.build()(rainy), rtol=0, atol=1e-4)


def test_the_residual_in_bfloat16_is_near_the_networks(weights):
    rainy = images(32, 48, batch=2)
    expected = weights.build()(rainy)
    peak = float(expected.abs().max())
    assert psnr(load_bfloat16(weights)(rainy) / peak, expected / peak) > 35


@pytest.mark.slow
def test_the_bundled_weights_keep_their_residual():
    weights, rainy = load_weights(), images(64, 64)
    expected = weights.build()(rainy)
    torch.testing.assert_close(openvino.load(weights, CPU, torch.float32)(rainy), expected, rtol=0, atol=1e-4)
    assert psnr(load_bfloat16(weights)(rainy), expected) > 65


def test_sizes_may_come_and_go(weights, monkeypatch):
    monkeypatch.setattr(openvino, "SIZES_IN_MEMORY", 2)
    backend, net = openvino.load(weights, CPU, torch.float32), weights.build()
    for width in (16, 32, 16, 48, 32):
        rainy = images(16, width)
        torch.testing.assert_close(backend(rainy), net(rainy), rtol=0, atol=1e-4)


def test_the_layout_in_memory_does_not_matter(weights):
    backend, rainy = openvino.load(weights, CPU, torch.float32), images(16, 32)
    assert torch.equal(backend(rainy.mT.contiguous().mT), backend(rainy))


def test_residuals_do_not_overwrite_each_other(weights):
    backend, rainy = openvino.load(weights, CPU), images(16, 16)
    first = backend(rainy)
    kept = first.clone()
    backend(1 - rainy)
    assert torch.equal(first, kept)


def test_a_size_that_comes_twice_is_not_compiled_again_at_the_next_launch(weights, cache, monkeypatch):
    rainy = images(16, 16)
    backend = openvino.load(weights, CPU, torch.float32)
    residual = backend(rainy)
    assert not cache.exists()
    backend(rainy)
    assert len(list(cache.iterdir())) == 1

    monkeypatch.setattr(openvino_graph, "build_graph", None)
    assert torch.equal(openvino.load(weights, CPU, torch.float32)(rainy), residual)


def keep(weights: Weights, rainy: Tensor) -> Tensor:
    backend = openvino.load(weights, CPU, torch.float32)
    backend(rainy)
    return backend(rainy)


@pytest.mark.parametrize("damage", [lambda blob: blob[:1000], lambda blob: blob[:-1] + b"?"], ids=["cut", "changed"])
def test_what_is_damaged_is_compiled_again_and_kept_anew(weights, cache, damage):
    rainy = images(16, 16)
    expected = keep(weights, rainy)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert torch.equal(keep(weights, rainy), expected)
    assert len(path.read_bytes()) == len(whole)


def test_what_openvino_refuses_is_compiled_again(weights, cache):
    rainy = images(16, 16)
    expected = keep(weights, rainy)
    (path,) = cache.iterdir()
    path.unlink()
    backend = openvino.load(weights, CPU, torch.float32)
    backend._cache.write((1, 3, 16, 16), b"of another version")
    assert torch.equal(backend(rainy), expected)


def test_other_weights_have_a_place_of_their_own(weights, cache):
    others = dataclasses.replace(weights, sha256="1" * 64)
    rainy = images(16, 16)
    keep(weights, rainy)
    keep(others, rainy)
    assert len(list(cache.iterdir())) == 2


def test_only_the_newest_are_kept(weights, cache, monkeypatch):
    monkeypatch.setattr(openvino, "SIZES_ON_DISK", 1)
    keep(weights, images(16, 16))
    (old,) = cache.iterdir()
    keep(weights, images(16, 32))
    (new,) = cache.iterdir()
    assert new != old


def test_a_folder_that_cannot_be_written_is_done_without(weights, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NERDRAIN_CACHE", str(tmp_path / "file"))
    rainy = images(16, 16)
    torch.testing.assert_close(keep(weights, rainy), weights.build()(rainy), rtol=0, atol=1e-4)


def test_memory_that_runs_out_is_said_as_such():
    code = """if True:
        import resource, psutil, torch
        from nerdrain_rt.backends.openvino import OpenVinoBackend
        from nerdrain_rt.model.net import NerdRain, NetConfig
        net = NerdRain(NetConfig(width=8, depths=(1, 1, 1), head_width=16)).eval().requires_grad_(False)
        backend = OpenVinoBackend(net, torch.device("cpu"), torch.float32)
        backend(torch.zeros(1, 3, 16, 16))
        in_use = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**27, resource.RLIM_INFINITY))
        try:
            backend(torch.zeros(1, 3, 2048, 2048))
        except torch.OutOfMemoryError as error:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print(error, backend(torch.zeros(1, 3, 16, 16)).shape)
    """
    pytest.importorskip("resource", reason="this system cannot limit memory")
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "openvino: out of memory for 2048x2048 torch.Size([1, 3, 16, 16])"


def test_a_missing_package_is_named(weights, monkeypatch):
    monkeypatch.setattr(openvino, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match="OpenVINO is not installed; pip install openvino"):
        openvino.load(weights, CPU)


def test_it_is_not_for_cuda(weights):
    with pytest.raises(BackendError, match="runs on processors and Intel GPUs; use --device cpu"):
        openvino.load(weights, torch.device("cuda"))


def test_a_device_that_openvino_does_not_have_is_refused(weights, monkeypatch):
    monkeypatch.setenv("NERDRAIN_OPENVINO_DEVICE", "NPU.7")
    with pytest.raises(BackendError, match=r"no device NPU\.7 that it can use; there are .*CPU"):
        openvino.load(weights, CPU)


def test_a_precision_that_the_processor_does_not_have_is_refused(weights):
    import openvino as runtime

    if "FP16" in runtime.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor computes in float16")
    with pytest.raises(BackendError, match="does not compute in FP16; use --precision fp32"):
        openvino.load(weights, CPU, torch.float16)


def test_nothing_is_reported_to_anyone():
    code = """
import sys, psutil, torch
from nerdrain_rt.backends.openvino import OpenVinoBackend
from nerdrain_rt.model.net import NerdRain, NetConfig
OpenVinoBackend(NerdRain(NetConfig(width=8, depths=(1, 1, 1), head_width=16)), torch.device("cpu"))
print(psutil.Process().children(), sys.modules.get("openvino_telemetry"))
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[] None"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no stacks for signals")
def test_ctrl_c_interrupts_after_it_was_freed_in_another_thread():
    """Seen where a processor has AMX: its plugin freed the stack that the main thread takes signals on."""
    code = """if True:
        import os, signal, threading, time, torch
        from nerdrain_rt.backends.openvino import OpenVinoBackend
        from nerdrain_rt.model.net import NerdRain, NetConfig
        held = [OpenVinoBackend(NerdRain(NetConfig(width=8, depths=(1, 1, 1), head_width=16)), torch.device("cpu"))]
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        except KeyboardInterrupt:
            print("interrupted")
    """
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip()) == (0, "interrupted"), ended.stderr
