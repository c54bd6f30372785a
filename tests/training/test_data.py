import numpy as np
import pytest
import torch
from PIL import Image

from nerdrain_rt.errors import MediaError
from nerdrain_rt.training.data import CleanImages, ImagePairs, streakiness


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def noise(height=40, width=60, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def ramp(height=40, width=60):
    """Red tells the row, green the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack((rows, columns, np.zeros_like(rows)), -1).astype(np.uint8)


def test_images_are_found_in_all_folders_and_kinds(tmp_path):
    for name in ("a.png", "b.jpg", "deep/er/c.webp", "deep/D.PNG"):
        write(tmp_path / name, noise())
    (tmp_path / "notes.txt").write_text("not an image")

    assert len(CleanImages(tmp_path)) == 4


def test_excluded_names_are_left_out(tmp_path):
    for name in ("A_1.png", "C-test_1.png", "sub/C-test_2.png"):
        write(tmp_path / name, noise())

    assert len(CleanImages(tmp_path, exclude=["C-test*"])) == 1
    with pytest.raises(MediaError, match="excluded"):
        CleanImages(tmp_path, exclude=["*"])


@pytest.mark.parametrize("size", [16, 40, 100])
def test_crops_have_their_size_and_range(tmp_path, size):
    write(tmp_path / "a.png", noise())
    write(tmp_path / "b.png", noise(70, 50))

    crops = CleanImages(tmp_path).crops(5, size, seeded())

    assert crops.shape == (5, 3, size, size)
    assert crops.dtype == torch.float32
    assert 0 <= crops.min() < crops.max() <= 1


def test_same_generator_state_gives_the_same_crops(tmp_path):
    write(tmp_path / "a.png", noise())
    images = CleanImages(tmp_path)

    assert torch.equal(images.crops(4, 16, seeded(1)), images.crops(4, 16, seeded(1)))
    assert not torch.equal(images.crops(4, 16, seeded(1)), images.crops(4, 16, seeded(2)))


def test_image_smaller_than_the_crop_is_mirrored(tmp_path):
    write(tmp_path / "a.png", np.full((1, 5, 3), 51, dtype=np.uint8))

    crops = CleanImages(tmp_path).crops(3, 16, seeded())

    torch.testing.assert_close(crops, torch.full((3, 3, 16, 16), 0.2))


def test_pairs_are_cut_and_turned_alike(tmp_path):
    for name, seed in (("one", 1), ("sub/two", 2)):
        write(tmp_path / "rainy" / f"{name}.png", noise(seed=seed) // 2 + 100)
        write(tmp_path / "target" / f"{name}.bmp", noise(seed=seed) // 2)

    rainy, target = ImagePairs(tmp_path / "rainy", tmp_path / "target").crops(16, 24, seeded())

    torch.testing.assert_close(rainy - target, torch.full_like(rainy, 100 / 255))


def test_crops_are_turned_in_all_eight_ways(tmp_path):
    write(tmp_path / "rainy" / "a.png", ramp())
    write(tmp_path / "target" / "a.png", ramp())

    crops = ImagePairs(tmp_path / "rainy", tmp_path / "target").crops(100, 16, seeded()).rainy

    slopes = {tuple(((crop[:2, 0, 15] - crop[:2, 0, 0]) * 255).round().int().tolist()) for crop in crops}
    assert slopes == {(0, 15), (0, -15), (15, 0), (-15, 0)}
    corners = {tuple((crop[:2, 15, 15] - crop[:2, 0, 0]).sign().int().tolist()) for crop in crops}
    assert corners == {(1, 1), (1, -1), (-1, 1), (-1, -1)}


def test_pair_without_partner_is_named(tmp_path):
    write(tmp_path / "rainy" / "a.png", noise())
    write(tmp_path / "target" / "a.png", noise())
    lonely = write(tmp_path / "target" / "b.png", noise())

    with pytest.raises(MediaError) as raised:
        ImagePairs(tmp_path / "rainy", tmp_path / "target")

    assert str(lonely) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_pair_of_two_sizes_is_named(tmp_path):
    write(tmp_path / "rainy" / "a.png", noise(40, 60))
    write(tmp_path / "target" / "a.png", noise(40, 61))

    with pytest.raises(MediaError, match=r"a\.png.*60x40 and 61x40"):
        ImagePairs(tmp_path / "rainy", tmp_path / "target")


def test_two_images_of_one_name_are_refused(tmp_path):
    for name in ("rainy/a.png", "rainy/a.jpg", "target/a.png"):
        write(tmp_path / name, noise())

    with pytest.raises(MediaError, match="same name"):
        ImagePairs(tmp_path / "rainy", tmp_path / "target")


def test_empty_and_missing_folders_are_named(tmp_path):
    with pytest.raises(MediaError, match="no images"):
        CleanImages(tmp_path)
    with pytest.raises(MediaError, match="no such folder"):
        CleanImages(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n cut short"])
def test_corrupt_image_is_named_in_one_line(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)

    with pytest.raises(MediaError, match=r"broken\.png: not a readable image") as raised:
        CleanImages(tmp_path)

    assert "\n" not in str(raised.value)


def test_what_images_lose_is_told_once_for_all(tmp_path, caplog):
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / name, noise(channels=4 if name != "c.png" else 3))

    CleanImages(tmp_path)

    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"{tmp_path / 'a.png'}: has alpha, which is left out, as 1 more"
    ]


def stripes(step, height=64, width=64):
    return (np.arange(width) // step % 2 * 60 + 80).astype(np.uint8)[None, :, None].repeat(height, 0).repeat(3, 2)


def test_stripes_are_more_streaky_than_noise_one_edge_and_a_checkerboard():
    edge = stripes(32)
    checkerboard = np.bitwise_xor(stripes(4) > 100, stripes(4).transpose(1, 0, 2) > 100).astype(np.uint8) * 60 + 80
    images = torch.from_numpy(np.stack((stripes(4), noise(64, 64), edge, checkerboard))).permute(0, 3, 1, 2) / 255

    fine, *others = streakiness(images).tolist()

    assert fine > 5 * max(others)
    assert streakiness(images.transpose(2, 3))[0].item() == pytest.approx(fine, rel=1e-4)


def test_streaky_share_prefers_streaky_images_and_none_draws_as_before(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.png", noise(64, 64, seed=ord(name)))
    write(tmp_path / "d.png", stripes(4))
    images = CleanImages(tmp_path)

    def striped(**options):
        return int((streakiness(images.crops(64, 16, seeded(), **options)) > 8e-4).sum())

    assert 4 <= striped() <= 32
    assert striped(streaky=0.5) > 1.4 * striped()
    assert striped(streaky=1.0) > 48
    one, other = seeded(), seeded()
    images.crops(2, 16, one)
    torch.rand(12, generator=other)
    assert torch.equal(one.get_state(), other.get_state()), "six numbers for each crop, as ever"
