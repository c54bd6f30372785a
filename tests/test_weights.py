"""Weights by name and by path, imported checkpoints, and files that are none."""

import hashlib
import os
import pickle

import pytest
import torch

from nerdrain_rt.errors import UsageError, WeightsError
from nerdrain_rt.model import weights as registry
from nerdrain_rt.model.checkpoint import from_published, read_published, to_published
from nerdrain_rt.model.net import NerdRain, NetConfig
from nerdrain_rt.model.weights import import_weights, list_weights, load_weights, save_mean, save_update, save_weights

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


def test_bundled_files_are_small():
    """Half a float a parameter, and a byte for what differs."""
    sizes = {name: load_weights(name).path.stat().st_size for name in registry.BUNDLED}
    assert sizes[registry.BASE] < 22_000_000
    assert all(size < 12_000_000 for name, size in sizes.items() if name != registry.BASE)


def test_damaged_bundled_file_is_refused(tmp_path, monkeypatch):
    damaged = tmp_path / f"{registry.DEFAULT}.safetensors"
    content = bytearray(load_weights().path.read_bytes())
    content[9] ^= 1
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
        ({"state_dict": {"patch_embed_max.proj.weight": torch.zeros(0, 3, 3, 3)}}, "patch_embed_max"),
        ({"state_dict": {1: torch.zeros(3)}}, "no dictionary of tensors"),
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


@pytest.mark.parametrize("name", ["embed_fine.weight", "head_coarse.4.weight"])
@pytest.mark.parametrize("shape", [(), (0, 8, 1, 1)])
def test_weights_of_no_shape_are_refused(tmp_path, name, shape):
    path = tmp_path / "odd.safetensors"
    save_weights(tied_state() | {name: torch.zeros(shape)}, path, metadata={})
    with pytest.raises(WeightsError, match="not the weights of a NeRD-Rain"):
        load_weights(path)


def test_unknown_name_lists_the_known():
    with pytest.raises(WeightsError, match=registry.DEFAULT):
        load_weights("no-such-weights")


def test_save_that_fails_leaves_no_partial_file(tmp_path):
    (tmp_path / "blocked.safetensors").mkdir()
    with pytest.raises(WeightsError):
        save_weights({"x": torch.zeros(1)}, tmp_path / "blocked.safetensors", metadata={})
    assert [path.name for path in tmp_path.iterdir()] == ["blocked.safetensors"]


def test_weights_are_on_disk_before_they_replace_others(tmp_path, monkeypatch):
    path, sizes = tmp_path / "x.safetensors", []
    path.write_bytes(b"those before")

    def fsync(descriptor: int) -> None:
        assert path.read_bytes() == b"those before"
        sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    save_weights({"x": torch.zeros(1000)}, path, metadata={})
    assert sizes == [path.stat().st_size]


def new_state(seed=1):
    torch.manual_seed(seed)
    return {name: tensor + 0.02 * torch.randn_like(tensor) for name, tensor in tied_state().items()}


@pytest.fixture
def base(user_folder):
    save_weights(tied_state(), user_folder / "base.safetensors", metadata={})
    return user_folder / "base.safetensors"


@pytest.fixture
def new(tmp_path):
    path = tmp_path / "new.safetensors"
    save_weights(new_state(), path, metadata={"step": "7"})
    return path


def test_update_is_a_byte_a_parameter_and_gives_the_weights_back(base, new, tmp_path):
    path = tmp_path / "update.safetensors"
    save_update(new, path, base="base")

    weights, wanted = load_weights(path), new_state()
    parameters = sum(tensor.numel() for tensor in wanted.values())
    assert parameters < path.stat().st_size < 1.35 * parameters
    assert weights.metadata["step"] == "7"
    assert weights.metadata["update_of"] == "base"
    left = torch.cat([(weights.state[name] - tensor).flatten() for name, tensor in wanted.items()])
    assert left.square().mean().sqrt() < 0.2 * 0.02


def test_small_changes_of_half_precision_weights_are_kept(user_folder, tmp_path):
    """They are smaller than half precision tells apart."""
    halves = {name: tensor.half() for name, tensor in tied_state().items()}
    torch.manual_seed(3)
    wanted = {name: tensor.float() * (1 + 1e-4 * torch.randn(tensor.shape)) for name, tensor in halves.items()}
    save_weights(halves, user_folder / "halves.safetensors", metadata={})
    save_weights(wanted, tmp_path / "new.safetensors", metadata={})
    save_update(tmp_path / "new.safetensors", tmp_path / "update.safetensors", base="halves")

    state = load_weights(tmp_path / "update.safetensors").state

    lost = sum(float((state[name] - tensor).square().sum()) for name, tensor in wanted.items())
    changed = sum(float((halves[name].float() - tensor).square().sum()) for name, tensor in wanted.items())
    assert lost < 0.04 * changed


def test_single_large_change_is_kept(base, tmp_path):
    wanted = tied_state()
    name = max(wanted, key=lambda it: wanted[it][0].numel())
    wanted[name].view(-1)[0] += 3
    save_weights(wanted, tmp_path / "new.safetensors", metadata={})
    save_update(tmp_path / "new.safetensors", tmp_path / "update.safetensors", base="base")

    assert torch.allclose(load_weights(tmp_path / "update.safetensors").state[name], wanted[name])


def test_bundled_weights_are_the_base_unless_another_is_named(tmp_path):
    wanted = load_weights(registry.BASE)
    state = {name: tensor.float() * 1.01 for name, tensor in wanted.state.items()}
    save_weights(state, tmp_path / "new.safetensors", metadata={})
    save_update(tmp_path / "new.safetensors", tmp_path / "update.safetensors")

    update = load_weights(tmp_path / "update.safetensors")
    assert update.metadata["update_of_sha256"] == wanted.sha256
    assert update.build().config == wanted.config


def test_base_is_not_written_over(base, new):
    before = base.read_bytes()
    with pytest.raises(UsageError, match="is the base itself"):
        save_update(new, base, base="base")
    assert base.read_bytes() == before


def test_mean_of_weights_is_that_of_each_parameter(base, tmp_path):
    state = load_weights(base).state
    save_weights({name: 3 * tensor for name, tensor in state.items()}, tmp_path / "b.safetensors", metadata={})
    save_mean([base, tmp_path / "b.safetensors"], tmp_path / "mean.safetensors")
    mean = load_weights(tmp_path / "mean.safetensors").state
    assert all(torch.allclose(mean[name].float(), 2 * tensor.float(), rtol=1e-3) for name, tensor in state.items())
    save_weights(NerdRain(NetConfig(width=24, head_width=16)).state_dict(), tmp_path / "c.safetensors", metadata={})
    with pytest.raises(WeightsError, match="not of one network"):
        save_mean([base, tmp_path / "c.safetensors"], tmp_path / "other.safetensors")


def test_folder_as_a_file_of_weights_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="not a file that can be replaced"):
        save_weights(tied_state(), tmp_path, metadata={})


def test_update_of_the_same_weights_is_empty(base, tmp_path):
    path = tmp_path / "update.safetensors"
    save_update("base", path, base="base")

    state = load_weights(path).state
    assert path.stat().st_size < 1000
    assert all(torch.equal(state[name], tensor) for name, tensor in tied_state().items())


def test_imported_update_needs_its_base_no_more(base, new, tmp_path):
    save_update(new, tmp_path / "update.safetensors", base="base")
    wanted = load_weights(tmp_path / "update.safetensors").state

    import_weights(tmp_path / "update.safetensors", name="whole")
    base.unlink()

    whole = load_weights("whole")
    assert "update_of" not in whole.metadata
    assert all(torch.equal(whole.state[name], tensor) for name, tensor in wanted.items())


def test_update_without_its_base_or_with_another_is_refused(base, new, tmp_path):
    path = tmp_path / "update.safetensors"
    save_update(new, path, base="base")

    save_weights(new_state(seed=2), base, metadata={})
    with pytest.raises(WeightsError, match=r"an update of the base with SHA-256 .* the one here has"):
        load_weights(path)
    base.unlink()
    with pytest.raises(WeightsError, match="an update of base, which is not here"):
        load_weights(path)


def test_update_of_an_update_is_refused(base, new, tmp_path, user_folder):
    save_update(new, user_folder / "second.safetensors", base="base")
    with pytest.raises(UsageError, match="no update itself"):
        save_update(new, tmp_path / "third.safetensors", base="second")

    sha256 = load_weights("second").sha256
    save_weights({}, tmp_path / "third.safetensors", metadata={"update_of": "second", "update_of_sha256": sha256})
    with pytest.raises(WeightsError, match="second, which is an update itself"):
        load_weights(tmp_path / "third.safetensors")


def test_update_from_another_network_is_refused(base, tmp_path):
    path = tmp_path / "wide.safetensors"
    save_weights(NerdRain(NetConfig(width=16)).state_dict(), path, metadata={})

    with pytest.raises(WeightsError, match="another network"):
        save_update(path, tmp_path / "update.safetensors", base="base")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embed_fine.weight": torch.zeros(1, dtype=torch.int8)}, "embed_fine.weight: not a difference"),
        ({"embed_fine.weight": torch.zeros(WIDTH, 3, 3, 3)}, "embed_fine.weight: not a difference"),
        ({"embed_coarse.weight.steps": torch.zeros(WIDTH)}, "embed_coarse.weight: not a difference"),
        ({"no\nsuch": torch.zeros(1, dtype=torch.int8)}, "1 tensors are not of the weights"),
        ({"none.such.steps": torch.zeros(1)}, "1 tensors are not of the weights"),
        ({"embed_fine.weight.steps": torch.zeros(3)}, "embed_fine.weight: not one step"),
        ({"embed_fine.weight.steps": torch.zeros(WIDTH, dtype=torch.int64)}, "embed_fine.weight: not one step"),
        ({"embed_fine.weight.steps": torch.full((WIDTH,), torch.nan)}, "not finite"),
    ],
)
def test_update_that_does_not_fit_is_refused(changes, words, base, tmp_path):
    state = tied_state()
    shape = state["embed_fine.weight"].shape
    sound = {"embed_fine.weight": torch.ones(shape, dtype=torch.int8), "embed_fine.weight.steps": torch.ones(WIDTH)}
    path = tmp_path / "update.safetensors"
    metadata = {"update_of": "base", "update_of_sha256": load_weights("base").sha256}
    save_weights(sound, path, metadata=metadata)
    assert torch.equal(load_weights(path).state["embed_fine.weight"], state["embed_fine.weight"] + 1)

    save_weights(sound | changes, path, metadata=metadata)
    with pytest.raises(WeightsError) as raised:
        load_weights(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["", "base\n\x1b[31m", "../base", "b" * 200])
@pytest.mark.parametrize("sha256", ["0" * 64, "none", None])
def test_update_of_something_without_a_name_is_refused(name, sha256, base, tmp_path):
    path = tmp_path / "update.safetensors"
    save_weights({}, path, metadata={"update_of": name} | ({"update_of_sha256": sha256} if sha256 else {}))
    with pytest.raises(WeightsError, match="does not say of which weights"):
        load_weights(path)


def test_update_of_what_are_no_weights_is_refused(user_folder, tmp_path):
    base = user_folder / "base.safetensors"
    save_weights({"embed_fine.weight": torch.zeros(0, 3)}, base, metadata={})
    sha256 = hashlib.sha256(base.read_bytes()).hexdigest()
    path = tmp_path / "update.safetensors"
    save_weights({}, path, metadata={"update_of": "base", "update_of_sha256": sha256})
    with pytest.raises(WeightsError, match="not the weights of a NeRD-Rain"):
        load_weights(path)
