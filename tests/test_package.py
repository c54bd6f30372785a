"""What `import nerdrain_rt` offers, in a process of its own."""

import subprocess
import sys

import pytest
from PIL import Image

import nerdrain_rt


@pytest.mark.parametrize("name", nerdrain_rt.__all__)
def test_every_public_name_can_be_had(name):
    assert getattr(nerdrain_rt, name).__name__ == name
    assert name in dir(nerdrain_rt)


def test_importing_it_does_not_import_pytorch():
    check = "import sys, nerdrain_rt; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_photograph_goes_through(tmp_path):
    Image.new("RGB", (20, 12), (90, 120, 60)).save(tmp_path / "photo.png")
    derainer = nerdrain_rt.Derainer(nerdrain_rt.DerainSettings(strength=0, device="cpu"))
    report = nerdrain_rt.derain_image(tmp_path / "photo.png", tmp_path / "clean.png", derainer.residual)
    assert report.size == (12, 20)
    assert Image.open(tmp_path / "clean.png").getpixel((0, 0)) == (90, 120, 60)
