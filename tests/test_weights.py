"""Weights by name and by path, imported checkpoints, and files that are none."""

import pickle

import pytest
import torch

from nerdrain_rt.errors import UsageError, WeightsError
from nerdrain_rt.model import weights as registry
from nerdrain_rt.model.checkpoint import from_published, read_published, to_published
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import import_weights, list_weights, load_weights, save_weights

WIDTH = 8


def tied_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state = NerdRain(NetConfig(width=WIDTH)).state_dict()
    state["fine3.reduce1.weight"] = state["fine2.reduce1.weight"].clone()
    return state


@pytest.fixture(autouse=True)
def user_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NERDRAIN_WEIGHTS", str(tmp_path / "user"))
    return tmp_path / "user"


@pytest.fixture
def published_file(tmp_path):
    path = tmp_path / "model_best.pth"
    state = {f"module.{name}": tensor for name, tensor in to_published(tied_state()).items()}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"lr": 1e-4}}, path)
    return path


def test_bundled_weights_load_and_match_their_hash():
    weights = load_weights()
    assert weights.name == registry.DEFAULT
    assert weights.sha256 == registry.BUNDLED[registry.DEFAULT]
    assert weights.config == NetConfig()


def test_bundled_weights_are_half_precision_and_small():
    weights = load_weights()
    assert {tensor.dtype for tensor in weights.state.values()} == {torch.float16}
    assert weights.path.stat().st_size < 22_000_000


def test_damaged_bundled_file_is_refused(tmp_path, monkeypatch):
    damaged = tmp_path / f"{registry.DEFAULT}.safetensors"
    content = bytearray(load_weights().path.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(registry, "BUNDLED_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match="damaged"):
        load_weights()


def test_published_names_round_trip():
    state = tied_state()
    back = from_published(to_published(state))
    assert back.keys() == state.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(back[name], tensor)


def test_untied_weights_have_no_published_form():
    state = tied_state()
    state["fine3.reduce1.weight"] += 1
    with pytest.raises(WeightsError, match="reduce1"):
        to_published(state)


def test_import_makes_weights_that_load_by_name(published_file, user_folder):
    target = import_weights(published_file, name="mine")
    assert target == user_folder / "mine.safetensors"
    assert "mine" in list_weights()
    weights = load_weights("mine")
    assert weights.config.width == WIDTH
    assert weights.metadata["source"] == "model_best.pth"
    state = tied_state()
    assert all(torch.equal(weights.state[name], tensor) for name, tensor in state.items() if "head" not in name)


def test_published_file_loads_by_path(published_file):
    assert load_weights(published_file).config.width == WIDTH


def test_checkpoint_is_known_by_its_content_not_its_name(published_file, tmp_path):
    path = published_file.rename(tmp_path / "model.pth.tar")
    assert load_weights(path).config.width == WIDTH


def test_import_does_not_replace_unasked(published_file):
    import_weights(published_file, name="mine")
    with pytest.raises(UsageError, match="there are weights of this name"):
        import_weights(published_file, name="mine")
    import_weights(published_file, name="mine", overwrite=True)


@pytest.mark.parametrize("name", ["../evil", "", "a/b", ".hidden", registry.DEFAULT])
def test_import_refuses_names_that_are_none(published_file, name, user_folder):
    with pytest.raises(UsageError):
        import_weights(published_file, name=name or " ")
    assert not user_folder.exists()


class Malicious:
    def __reduce__(self):
        return print, ("this must never be printed",)


def test_malicious_pickle_is_not_run(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": Malicious()}, path)
    with pytest.raises(WeightsError, match="was not run"):
        read_published(path)
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(WeightsError):
        read_published(plain)
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state_dict": {"conv.weight": torch.zeros(3)}}, "patch_embed_max"),
        ({"state_dict": {"patch_embed_max.proj.weight": torch.zeros(8, 3, 3, 3)}}, "tensors missing"),
        ({"state_dict": {}}, "no dictionary of tensors"),
        ([1, 2], "no dictionary of tensors"),
    ],
)
def test_checkpoint_of_something_else_says_so(tmp_path, content, words):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=words):
        read_published(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello, I am text", b"PK\x03\x04 truncated zip"])
def test_file_that_is_no_weights_says_so(tmp_path, suffix, content):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="broken"):
        load_weights(path)


def test_truncated_safetensors_says_so(tmp_path):
    path = tmp_path / "cut.safetensors"
    save_weights(tied_state(), path, metadata={})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(path)


def test_weights_of_another_shape_or_with_nan_are_refused(tmp_path):
    path = tmp_path / "odd.safetensors"
    state = tied_state()
    save_weights(state | {"output_fine.weight": torch.zeros(3, WIDTH, 1, 1)}, path, metadata={})
    with pytest.raises(WeightsError, match=r"output_fine\.weight: shape"):
        load_weights(path)
    save_weights(state | {"output_fine.weight": torch.full((3, WIDTH, 3, 3), float("nan"))}, path, metadata={})
    with pytest.raises(WeightsError, match="not finite"):
        load_weights(path)


def test_unknown_name_lists_the_known():
    with pytest.raises(WeightsError, match=registry.DEFAULT):
        load_weights("no-such-weights")


def test_save_that_fails_leaves_no_partial_file(tmp_path):
    (tmp_path / "blocked.safetensors").mkdir()
    with pytest.raises(WeightsError):
        save_weights({"x": torch.zeros(1)}, tmp_path / "blocked.safetensors", metadata={})
    assert not list(tmp_path.glob(".*partial"))
