"""Scores of derainers whose effect is known, on pictures made for it."""

import json

import numpy as np
import pytest
import torch

from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import MediaError
from nerdrain_rt.evaluation.evaluate import evaluate_pairs, residual_in_windows
from nerdrain_rt.evaluation.harm import measure_harm
from nerdrain_rt.evaluation.metrics import EQUAL_DB
from nerdrain_rt.model.checkpoint import from_published
from nerdrain_rt.model.net import NerdRain, NetConfig
from tests import clips
from tests.evaluation.pictures import RAIN, derainer, noise, write, write_video
from tests.fakes import FakeBackend
from tests.test_net import published_tensor


def test_right_residual_scores_best(pairs):
    evaluation = evaluate_pairs(derainer(-RAIN), *pairs)

    assert evaluation.images == len(evaluation.rows) == 3
    assert evaluation.psnr_y == EQUAL_DB
    assert evaluation.ssim_y == pytest.approx(1)
    assert evaluation.input_psnr_y == pytest.approx(31.33, abs=0.2)


def test_no_residual_leaves_the_score_of_the_input(pairs):
    evaluation = evaluate_pairs(derainer(), *pairs)

    assert evaluation.psnr_y == evaluation.input_psnr_y


def test_limit_takes_the_first_pairs(pairs):
    assert [row.name for row in evaluate_pairs(derainer(), *pairs, limit=2).rows] == ["0.png", "1.png"]


def test_videos_are_scored_frame_by_frame(tmp_path):
    target = [noise(seed=seed) for seed in range(4)]
    rainy = write_video(tmp_path / "rainy.mkv", [picture + RAIN for picture in target])

    evaluation = evaluate_pairs(derainer(-RAIN), rainy, write_video(tmp_path / "target.mkv", target))

    assert evaluation.images == 4
    assert evaluation.psnr_y == EQUAL_DB > evaluation.input_psnr_y


def test_videos_of_different_length_are_refused(tmp_path):
    rainy = write_video(tmp_path / "rainy.mkv", [noise()] * 3)
    target = write_video(tmp_path / "target.mkv", [noise()] * 2)

    with pytest.raises(MediaError, match=r"target\.mkv: ends after 2 frames"):
        evaluate_pairs(derainer(), rainy, target)


@pytest.mark.parametrize(("rate", "is_told"), [(25, False), (50, True)])
def test_other_frame_rate_of_the_target_is_told(tmp_path, caplog, rate, is_told):
    rainy = write_video(tmp_path / "rainy.mkv", [noise()] * 3)
    target = write_video(tmp_path / "target.mkv", [noise()] * 6, rate=rate)

    evaluate_pairs(derainer(), rainy, target, limit=2)

    assert ("25 and 50 frames a second" in caplog.text) == is_told


def test_damaged_video_is_no_success(tmp_path):
    whole = clips.video(tmp_path / "whole.mkv", size=(48, 64), frames=144)
    cut = clips.truncated(whole, tmp_path / "cut.mkv", keep=2 / 3)

    assert measure_harm(derainer(), whole).changed_share == 0
    with pytest.raises(MediaError, match=r"cut\.mkv: damaged, so figures of it would be wrong: ."):
        measure_harm(derainer(), cut)
    assert len(measure_harm(derainer(), cut, limit=3).rows) == 3


def test_windows_keep_the_first_ones_pixels():
    seen = []

    def number(window):
        seen.append(window.shape)
        return window[..., :1, :1].expand_as(window)

    places = torch.arange(10.0).expand(1, 3, 10, 10)

    assert residual_in_windows(places, number, 4)[0, 0, 0].tolist() == [0, 0, 0, 0, 4, 4, 4, 4, 6, 6]
    assert set(seen) == {(1, 3, 4, 4)}


def test_picture_smaller_than_a_window_is_one_window():
    rainy = torch.rand(1, 3, 5, 9)

    assert torch.equal(residual_in_windows(rainy, torch.neg, 16), -rainy)


@torch.inference_mode()
def test_windows_equal_the_papers_protocol(parity_folder):
    shapes = json.loads((parity_folder / "nerd_rain_s_keys.json").read_text())
    net = NerdRain(NetConfig(width=32)).eval()
    net.load_state_dict(from_published({key: published_tensor(key, shape) for key, shape in shapes.items()}))
    data = np.load(parity_folder / "nerd_rain_s.npz")
    rainy = torch.from_numpy(data["window64_rainy"])

    clean = (rainy + residual_in_windows(rainy, net, 64)).clamp(0, 1)

    # These weights give residuals of many times the picture's range, so float32 leaves this much.
    assert (clean - torch.from_numpy(data["window64_clean"])).abs().max() < 2e-3


def test_protocols_differ_where_the_network_sees_its_surroundings(tmp_path):
    rainy = write(tmp_path / "rainy.png", np.hstack((noise(300, 140), noise(300, 140) // 4)))
    target = write(tmp_path / "target.png", noise(300, 280, seed=1))
    backend = FakeBackend(lambda rainy: (rainy.mean((2, 3), keepdim=True) - rainy) / 2)

    full, windows = (
        evaluate_pairs(Derainer(DerainSettings(tile=0), backend=backend), rainy, target, protocol=protocol)
        for protocol in ("full", "windows")
    )

    assert backend.shapes == [(1, 3, 304, 288), *[(1, 3, 256, 256)] * 4]
    assert full.psnr_y != windows.psnr_y
