"""What the preview costs: CPU time of the window's thread for each 1080p frame at 60 frames a second, as one JSON line.

`python benchmarks/gui.py [--seconds 5]`, with a display (Xvfb for example) or QT_QPA_PLATFORM=offscreen; needs the
extra `[gui]`. The goal is under 5 ms of the window's thread a frame.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from fractions import Fraction

import av
import numpy as np
from nerdrain_gui.app import make_app
from nerdrain_gui.canvas import Canvas
from nerdrain_gui.picture import VIEWS
from nerdrain_gui.screen import Pair, Screen
from PyQt6.QtCore import QObject, Qt, pyqtSignal
from PyQt6.QtTest import QTest

from nerdrain_rt.frame import Frame

SIZE = (1080, 1920)
RATE = 60


class Bell(QObject):
    """Brings the news of a picture from the screen's thread to the window's."""

    rung = pyqtSignal()


def main() -> None:
    """Each view, and a picture enlarged to twice its size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    app = make_app()
    pairs = [Pair(make_frame(index), make_frame(index + 50)) for index in range(8)]
    rows = [measure(view, pairs, seconds) for view in VIEWS]
    rows.append(measure("wipe", pairs, seconds, zoom=2.0))
    print(json.dumps({"size": list(SIZE), "rate": RATE, "platform": app.platformName(), "rows": rows}))
    sys.exit(0 if all(row["window_thread_ms"] < 5 for row in rows) else 1)


def make_frame(index: int) -> Frame:
    """Noise on a gradient in yuv420p."""
    random = np.random.default_rng(index)
    planes = random.integers(16, 235, (SIZE[0] * 3 // 2, SIZE[1]), np.uint8)
    return Frame(av.VideoFrame.from_ndarray(planes, format="yuv420p"), index, Fraction(1, RATE))


def measure(view: str, pairs: list[Pair], seconds: float, zoom: float = 1.0) -> dict[str, object]:
    """Feed pairs at the rate and take the CPU time of this thread, with all of Qt that runs in it."""
    canvas, bell = Canvas(), Bell()
    screen = Screen(bell.rung.emit)
    shown = 0

    def show() -> None:
        nonlocal shown
        picture = screen.take()
        if picture is not None:
            canvas.show_picture(picture)
            shown += 1

    bell.rung.connect(show)
    canvas.setWindowFlag(Qt.WindowType.FramelessWindowHint)
    canvas.resize(SIZE[1], SIZE[0])
    canvas.wanted_changed.connect(screen.want)
    canvas.set_view(view)
    canvas.show_figures("60.0 fps  ·  18 ms  ·  0 skipped")
    canvas.show()
    canvas.set_zoom(zoom)
    is_running = threading.Event()
    is_running.set()

    def feed() -> None:
        index, due = 0, time.monotonic()
        while is_running.is_set():
            screen.show(pairs[index % len(pairs)])
            index, due = index + 1, due + 1 / RATE
            time.sleep(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=feed, name="feed", daemon=True)
    thread.start()
    QTest.qWait(500)
    shown, cpu, started = 0, time.thread_time(), time.monotonic()
    QTest.qWait(round(seconds * 1000))
    cpu, elapsed = time.thread_time() - cpu, time.monotonic() - started
    is_running.clear()
    thread.join()
    screen.shut_down(5)
    canvas.close()
    return {
        "view": view,
        "zoom": zoom,
        "window_thread_ms": round(1000 * cpu / max(1, shown), 2),
        "shown_fps": round(shown / elapsed, 1),
    }


if __name__ == "__main__":
    main()
