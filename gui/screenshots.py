# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the documentation's pictures of the window from the samples: `python gui/screenshots.py FOLDER [THEME]...`.

Needs a display, Xvfb for example; on a slow processor it takes minutes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nerdrain_gui.app import make_app
from nerdrain_gui.job_queue import JobQueue
from nerdrain_gui.jobs import JobOptions, State
from nerdrain_gui.main_window import DEVICE, FILES, PREVIEW, MainWindow
from nerdrain_gui.settings import Settings
from nerdrain_gui.theme import Theme
from PIL import Image
from PyQt6.QtCore import QSettings
from PyQt6.QtGui import QFont, QFontDatabase
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication

SAMPLES = Path(__file__).parents[1] / "samples"
SIZE = (1240, 780)
PATIENCE_SECONDS = 400
FONTS = ("Inter", "Segoe UI", "SF Pro Text", "Cantarell", "Noto Sans")


def main() -> None:
    """Every page in each theme, as PNG with a palette."""
    folder, themes = Path(sys.argv[1]), sys.argv[2:] or ["dark", "light"]
    folder.mkdir(parents=True, exist_ok=True)
    app = make_app()
    font = next((name for name in FONTS if name in QFontDatabase.families()), None)
    if font:
        app.setFont(QFont(font, 10))
    with tempfile.TemporaryDirectory() as scratch:
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, scratch)
        for theme in themes:
            clips = make_clips(Path(scratch) / theme)
            shoot(app, theme, clips, folder)
    sys.stdout.flush()
    os._exit(0)  # a thread may be inside the network still


def make_clips(folder: Path) -> list[Path]:
    """Names as a person's files have them; the last one is broken."""
    folder.mkdir()
    street, walk = SAMPLES / "rain_street.mp4", SAMPLES / "gopro_walk.mp4"
    names = {
        "Walk to the lake.mp4": walk,
        "Street in the rain.mp4": street,
        "Front camera 2026-03-14 08-12.mp4": street,
        "Rear camera 2026-03-14 08-12.mp4": street,
    }
    paths = [Path(shutil.copy(source, folder / name)) for name, source in names.items()]
    broken = folder / "Card recovered 0003.mp4"
    broken.write_bytes(b"nothing that FFmpeg knows")
    return [paths[0], broken, *paths[1:]]


def shoot(app: QApplication, theme: str, clips: list[Path], folder: Path) -> None:
    """All pages in one theme."""
    settings = Settings(theme=theme, work_scale=0.5)
    queue = JobQueue(path=clips[0].parent / "queue.json")
    window = MainWindow(Theme(app, theme), settings, queue=queue)
    window.resize(*SIZE)
    window.show()

    def save(name: str) -> None:
        QTest.qWait(400)
        path = folder / f"gui-{name}-{theme}.png"
        window.grab().save(str(path))
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)

    save("empty")
    window.show_page(FILES)
    save("files-empty")
    window.show_page(DEVICE)
    wait(lambda: bool(window.device.facts))
    save("device")
    window.show_page(PREVIEW)
    shown = []
    window.session.figures_changed.connect(shown.append)
    window.open(str(clips[2]))
    wait(lambda: len(shown) > 10)
    save("preview")
    window.preview.play_button.click()
    wait(lambda: shown[-1].is_still)
    save("paused")
    window.preview.play_button.click()
    for view in ("side", "clean", "removed"):
        window.preview._set_view(view)
        wait(lambda view=view: window.preview.canvas.picture is not None and window.preview.canvas.picture.view == view)
        save(view)
    window.session.close()
    window.show_page(FILES)
    queue.add([str(clips[0])], JobOptions(work_scale=0.1))
    queue.add([str(clip) for clip in clips[1:]], JobOptions(work_scale=0.5))
    queue.start()
    wait(lambda: queue.jobs[2].frames_done > 8 or queue.jobs[2].state.is_over)
    assert queue.jobs[0].state == State.DONE, queue.jobs[0].message
    save("files")
    window.files.table.selectRow(0)
    save("report")
    window.banner.tell("Card recovered 0003.mp4: not a media file, or damaged at its beginning", "error")
    save("message")
    window.close()


def wait(condition: Callable[[], bool]) -> None:
    """Run Qt's loop until the condition holds."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("nothing came to be photographed")
        QTest.qWait(50)


if __name__ == "__main__":
    main()
