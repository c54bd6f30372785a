"""The window opens only where there is a display, closes soon and leaves nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from nerdrain_gui.app import why_no_display
from nerdrain_gui.job_queue import JobQueue
from nerdrain_gui.jobs import JobOptions
from nerdrain_gui.main_window import MainWindow
from nerdrain_gui.session import Session
from nerdrain_gui.settings import Settings
from nerdrain_gui.theme import Theme
from PyQt6.QtWidgets import QApplication

from nerdrain_rt.derainer import Derainer
from tests.fakes import FakeBackend
from tests.gui.conftest import flush, wait_until
from tests.gui.windows import is_playing


def test_closing_while_everything_runs_slowly_takes_less_than_two_seconds(app, tmp_path, clip, monkeypatch):
    monkeypatch.setattr("nerdrain_gui.device_page.DevicePage.examine", lambda self: None)
    slow = [FakeBackend(seconds=2.5), FakeBackend(seconds=2.5)]
    session = Session(load=lambda network: Derainer(backend=slow[0]))
    queue = JobQueue(load=lambda network: Derainer(backend=slow[1]), path=tmp_path / "queue.json")
    window = MainWindow(Theme(app, "light"), Settings(), session=session, queue=queue)
    window.show()
    window.open(clip)
    queue.add([clip], JobOptions())
    queue.start()
    wait_until(lambda: slow[0].shapes and slow[1].shapes)
    started = time.monotonic()
    window.close()
    assert time.monotonic() - started < 2
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    flush()
    wait_until(
        lambda: not [thread for thread in threading.enumerate() if thread.name in ("preview", "job-rain.mp4")], 30
    )


@pytest.mark.slow
def test_two_hundred_windows_leave_nothing_behind(app, tmp_path, clip, monkeypatch):
    monkeypatch.setattr("nerdrain_gui.device_page.DevicePage.examine", lambda self: None)
    theme = Theme(app, "dark")

    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    def open_and_close(number):
        session = Session(load=lambda network: Derainer(backend=FakeBackend()))
        queue = JobQueue(load=lambda network: Derainer(backend=FakeBackend()), path=tmp_path / "queue.json")
        window = MainWindow(theme, Settings(), session=session, queue=queue)
        window.show()
        if number % 20 == 0:
            window.open(clip)
            wait_until(lambda: is_playing(window))
        window.show_page(number % 3)
        window.close()
        flush()

    open_and_close(0)
    threads, widgets, files = threading.active_count(), len(QApplication.allWidgets()), open_files()
    for number in range(200):
        open_and_close(number)
    assert threading.active_count() == threads
    assert len(QApplication.allWidgets()) == widgets
    assert open_files() <= files + 2


SHOWN = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever began the tests
from nerdrain_gui.main_window import MainWindow
from nerdrain_rt.__main__ import main

MainWindow.showEvent = lambda window, event: print("shown", flush=True)
sys.argv = ["nerdrain", "gui"]
main()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_the_window_is_closed_with_its_terminal(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    for folder in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        environment.pop(folder, None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", SHOWN], env=environment, text=True, **pipes) as process:
        assert process.stdout.readline() == "shown\n"
        process.send_signal(signal.SIGHUP)
        try:
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "KeyboardInterrupt" not in said


def test_without_a_display_the_command_says_so_and_is_refused():
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment.pop("QT_QPA_PLATFORM", None)
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-m", "nerdrain_gui"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("error: no display")
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY is of X11")
def test_a_display_that_does_not_answer_is_one_line(monkeypatch):
    monkeypatch.delenv("QT_QPA_PLATFORM")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":4242")
    reason = why_no_display()
    assert reason is not None
    assert "\n" not in reason
