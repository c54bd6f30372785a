import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from nerdrain_gui.app import why_no_display
from nerdrain_gui.files_inspector import FilesInspector
from nerdrain_gui.graphics import GraphicsLoad
from nerdrain_gui.job_queue import Column, JobQueue
from nerdrain_gui.jobs import JobOptions, State
from nerdrain_gui.main_window import DEVICE, FILES, PREVIEW, MainWindow
from nerdrain_gui.run import Figures
from nerdrain_gui.session import Session
from nerdrain_gui.settings import Settings
from nerdrain_gui.theme import Theme, current_colors
from PyQt6 import sip
from PyQt6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PyQt6.QtGui import QDropEvent, QWheelEvent
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QApplication,
    QCheckBox,
    QComboBox,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollBar,
)

from nerdrain_rt.derainer import Derainer
from tests import clips
from tests.fakes import FakeBackend
from tests.gui.conftest import flush, wait_until


@pytest.fixture
def clip(tmp_path):
    return str(clips.video(tmp_path / "rain.mp4", size=(48, 64), frames=50, rate=25))


def drop(window, *paths):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    action, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    window.dropEvent(QDropEvent(QPointF(300, 300), action, mime, button, Qt.KeyboardModifier.NoModifier))


def is_playing(window):
    return window.preview.canvas.picture is not None


def test_a_file_dropped_on_the_preview_is_played(window, clip):
    drop(window, clip)
    wait_until(lambda: is_playing(window))
    assert window.preview.title.toolTip() == "rain.mp4"
    window.preview.close_button.click()
    assert window.preview.canvas.picture is None
    assert not window.session.is_open


def test_files_and_folders_dropped_on_files_are_queued(window, clip, tmp_path):
    folder = tmp_path / "trip" / "day 1"
    folder.mkdir(parents=True)
    clips.video(folder / "a.mp4", size=(32, 32), frames=2)
    (tmp_path / "notes.txt").write_text("no video")
    window.show_page(FILES)
    drop(window, clip, tmp_path / "trip", tmp_path / "notes.txt")
    wait_until(lambda: len(window.queue.jobs) == 2)
    assert [job.name for job in window.queue.jobs] == ["rain.mp4", "a.mp4"]
    assert window.banner.text == "notes.txt: neither a video nor a picture"
    window.files.run_button.click()
    wait_until(lambda: all(job.state == State.DONE for job in window.queue.jobs))
    assert "2 done" in window.banner.text


def test_a_folder_that_cannot_be_read_is_told_of(window, tmp_path, monkeypatch):
    (tmp_path / "card" / "locked").mkdir(parents=True)
    scandir = os.scandir

    def scan(path):
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    window._looker.find([str(tmp_path / "card")])
    wait_until(lambda: "locked: the folder cannot be read: Permission denied" in window.banner.text)


def test_files_buttons_act_on_the_marked_job(window, clip, tmp_path):
    other = str(clips.video(tmp_path / "other.mp4", size=(32, 32), frames=2))
    window.show_page(FILES)
    window.queue.add([clip, other], JobOptions())
    files = window.files
    files.table.selectRow(1)
    files.up_button.click()
    assert [job.name for job in window.queue.jobs] == ["other.mp4", "rain.mp4"]
    assert files.selected == [window.queue.jobs[0]]
    files.inspector.rain.strength.set_value(0.4)
    assert [job.options.strength for job in window.queue.jobs] == [0.4, 1.0]
    files.cancel_button.click()
    assert window.queue.jobs[0].state == State.CANCELLED
    QTest.keyClick(files.table, Qt.Key.Key_Delete)
    assert [job.name for job in window.queue.jobs] == ["rain.mp4"]
    assert files.clear_button.isEnabled() is False


def test_the_report_of_a_done_job_names_the_fate_of_each_stream(window, tmp_path):
    clips.need("ffmpeg")
    source = clips.rich_mkv(tmp_path / "rich.mkv")
    window.show_page(FILES)
    window.queue.add([str(source)], JobOptions())
    window.files.run_button.click()
    wait_until(lambda: window.queue.jobs[0].state.is_over)
    window.files.table.selectRow(0)
    flush()
    words = [child.text() for child in window.files.inspector.findChildren(type(window.preview.time))]
    assert {"Video", "Sound", "Subtitles", "derained", "kept"} <= set(words)


def test_strength_and_work_size_act_on_the_session(window):
    window.preview.inspector.rain.strength.slider.setFocus()
    QTest.keyClick(window.preview.inspector.rain.strength.slider, Qt.Key.Key_PageDown)
    window.preview.inspector.rain.work_scale.findChildren(type(window.theme_button))[2].click()
    assert window.session.settings == (0.9, 0.5)


def test_keys_change_the_view_and_pause(window, clip):
    window.open(clip)
    wait_until(lambda: is_playing(window))
    QTest.keyClick(window.preview, "4")
    wait_until(lambda: window.preview.canvas.picture.view == "removed")
    assert window.preview.views.choice == "removed"
    QTest.keyClick(window.preview, Qt.Key.Key_Space)
    assert window.session.is_paused
    QTest.keyClick(window.preview, Qt.Key.Key_Space)
    assert not window.session.is_paused


def test_clicking_the_position_goes_there(window, clip):
    window.open(clip)
    shown = []
    window.session.figures_changed.connect(lambda figures: shown.append(figures.position))
    wait_until(lambda: shown)
    window.session.toggle_pause()
    slider = window.preview.position
    QTest.mouseClick(slider, Qt.MouseButton.LeftButton, pos=slider.rect().center())
    wait_until(lambda: shown[-1] == pytest.approx(1.0, abs=0.15))


def test_full_screen_shows_the_picture_alone_and_escape_leaves_it(window, clip):
    window.open(clip)
    wait_until(lambda: is_playing(window))
    QTest.mouseDClick(window.preview.canvas, Qt.MouseButton.LeftButton)
    assert window.isFullScreen()
    assert not any(part.isVisible() for part in (window.sidebar, window.preview.bar, window.preview.inspector))
    QTest.keyClick(window.preview, Qt.Key.Key_Escape)
    assert not window.isFullScreen()
    assert window.sidebar.isVisible()


def test_a_paused_file_says_that_its_frame_is_as_in_the_file(window, clip):
    window.open(clip)
    wait_until(lambda: is_playing(window) and window.preview.canvas._figures)
    QTest.keyClick(window.preview, Qt.Key.Key_Space)
    wait_until(lambda: window.preview.canvas._figures == "Paused  ·  frames compared, as in a file")
    assert window.preview.inspector._figures["latency"]._value.text() == "\u2013"
    window.preview.inspector.rain.compares.click()
    wait_until(lambda: window.preview.canvas._figures == "Paused")
    QTest.keyClick(window.preview, Qt.Key.Key_Space)
    wait_until(lambda: "fps" in window.preview.canvas._figures)


WITH_GPU = {
    "devices": {"cpu": {"available": True}, "cuda:0": {"available": True}},
    "codecs": {"encoders": {"libx264": True, "h264_nvenc": True, "hevc_nvenc": False}},
}


def test_decoding_on_the_graphics_card_is_offered_where_there_is_one(window):
    inspector = window.files.inspector
    assert not inspector.decode.isEnabled()
    assert inspector._why_not.text() == "Needs an NVIDIA graphics card."
    window.device.show_facts(WITH_GPU)
    assert inspector.decode.isEnabled()
    assert inspector._why_not.isHidden()
    assert inspector.codec.model().item(inspector.codec.findData("h264_nvenc")).isEnabled()
    assert not inspector.codec.model().item(inspector.codec.findData("hevc_nvenc")).isEnabled()
    preview = window.preview.inspector.device
    preview.setCurrentIndex(preview.findData("cpu"))
    preview.activated.emit(preview.currentIndex())
    assert window.queue.network.device == "cpu"
    assert not inspector.decode.isEnabled()
    assert "network" in inspector._why_not.text()


def test_options_for_new_files_are_remembered(window):
    window.device.show_facts(WITH_GPU)
    inspector = window.files.inspector
    inspector.rain.compares.click()
    inspector.decode.click()
    inspector.rain.strength.set_value(0.7)
    window._settings.write()
    again = FilesInspector(Settings.read())
    assert again.defaults == JobOptions("", "", 0.7, 1.0, compares_frames=False, decodes_on_gpu=True)
    assert not again.rain.compares.isChecked()
    assert again.decode.isChecked()
    again.deleteLater()


def test_what_is_chosen_for_several_files_leaves_their_other_options(window, clip, tmp_path):
    window.show_page(FILES)
    window.queue.add([clip], JobOptions(codec="ffv1"))
    window.queue.add([str(tmp_path / "other.mp4")], JobOptions(strength=0.5))
    window.files.table.selectAll()
    window.files.inspector.rain.compares.click()
    options = [job.options for job in window.queue.jobs]
    assert options == [
        JobOptions(codec="ffv1", compares_frames=False),
        JobOptions(strength=0.5, compares_frames=False),
    ]


def test_a_comparison_is_chosen_for_the_marked_files_alone(window, clip, tmp_path):
    window.show_page(FILES)
    window.queue.add([clip, str(tmp_path / "other.mp4")], JobOptions())
    window.files.table.selectRow(1)
    window.files.inspector.rain.compares.click()
    assert [job.options.compares_frames for job in window.queue.jobs] == [True, False]
    assert window.files.inspector.defaults.compares_frames


def test_a_file_that_failed_is_done_again_with_other_options(window, clip, tmp_path):
    (tmp_path / "file").write_text("no folder")
    window.show_page(FILES)
    window.queue.add([clip], JobOptions(output_folder=str(tmp_path / "file")))
    window.files.run_button.click()
    wait_until(lambda: window.queue.jobs[0].state == State.FAILED)
    window.files.table.selectRow(0)
    folder = window.files.inspector.folder
    folder.setCurrentIndex(0)
    folder.activated.emit(0)
    window.files.retry_button.click()
    wait_until(lambda: window.queue.jobs[0].state == State.DONE)


def test_keys_are_of_the_control_that_has_the_focus(window, clip):
    window.open(clip)
    wait_until(window.preview.play_button.isEnabled)
    rain = window.preview.inspector.rain
    rain.compares.setFocus()
    QTest.keyClick(rain.compares, Qt.Key.Key_Space)
    assert not rain.compares.isChecked()
    assert not window.session.is_paused
    rain.strength.slider.setFocus()
    before = rain.strength.slider.value()
    QTest.keyClick(rain.strength.slider, Qt.Key.Key_Left)
    assert rain.strength.slider.value() == before - 1
    QTest.keyClick(rain.strength.slider, Qt.Key.Key_Space)
    assert window.session.is_paused


@pytest.mark.parametrize("page", [PREVIEW, FILES, DEVICE])
def test_tab_goes_round_through_all_that_can_be_done(window, clip, page):
    window.device.show_facts(WITH_GPU)
    window.queue.add([clip], JobOptions())
    window.show_page(page)
    reached = []
    while (focused := QApplication.focusWidget()) not in reached:
        reached.append(focused)
        QTest.keyClick(focused, Qt.Key.Key_Tab)
    shown = window.pages.currentWidget()
    kinds = (QPushButton, QCheckBox, QComboBox)
    wanted = {control for kind in kinds for control in shown.findChildren(kind)}
    assert {control for control in wanted if control.isVisible() and control.isEnabled()} <= set(reached)
    assert window.theme_button in reached


def test_the_only_file_is_marked_when_the_keyboard_comes_to_the_queue(window, clip):
    window.queue.add([clip], JobOptions())
    window.show_page(FILES)
    window.files.table.setFocus(Qt.FocusReason.TabFocusReason)
    assert window.files.selected == window.queue.jobs
    QTest.keyClick(window.files.table, Qt.Key.Key_Delete)
    assert window.queue.jobs == []


def test_a_click_on_a_button_leaves_the_keys_to_the_page(window):
    window.show_page(FILES)
    compares = window.files.inspector.rain.compares
    QTest.mouseClick(compares, Qt.MouseButton.LeftButton, pos=QPoint(8, compares.height() // 2))
    assert not compares.isChecked()
    QTest.keyClick(window.focusWidget(), Qt.Key.Key_Space)
    assert not compares.isChecked()


def test_the_wheel_over_a_list_of_choices_changes_nothing(window):
    combo = window.files.inspector.codec
    turn = QPoint(0, -120)
    where = QPointF(combo.rect().center())
    no_button, no_key = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    event = QWheelEvent(where, where, turn, turn, no_button, no_key, Qt.ScrollPhase.NoScrollPhase, False)
    QApplication.sendEvent(combo, event)
    assert combo.currentIndex() == 0
    assert not event.isAccepted()


def test_every_control_has_a_name_and_says_what_it_does(window, clip):
    window.open(clip)
    kinds = (QAbstractButton, QComboBox, QAbstractSlider, QProgressBar)
    controls = [control for kind in kinds for control in window.findChildren(kind)]
    ours = [control for control in controls if not isinstance(control, QScrollBar) and not is_part_of_qt(control)]
    assert len(ours) > 40
    for control in ours:
        text = control.text() if isinstance(control, QAbstractButton) else ""
        assert control.accessibleName() or text, control
        assert len(control.toolTip()) > 5, text or control.accessibleName()


def is_part_of_qt(control):
    """What Qt makes within a table, a list or a line."""
    return isinstance(control.parent(), QAbstractItemView | QLineEdit)


def test_errors_are_messages_in_the_window(window, tmp_path):
    window.open(str(tmp_path / "missing.mp4"))
    wait_until(lambda: window.banner.text)
    assert "no such file" in window.banner.text
    assert QApplication.activeModalWidget() is None
    window.tell_of_fault(ValueError, ValueError("odd"), None)
    assert window.banner.text == "Unexpected ValueError: odd"


def test_the_graphics_card_is_shown_where_there_is_one(window):
    inspector, figures = window.preview.inspector, Figures(30.0, 12.0, 0)
    card = inspector._figures["graphics"]
    inspector.show_figures(figures)
    assert card.isHidden()
    inspector.show_figures(replace(figures, graphics=GraphicsLoad(1 << 30, 8 << 30, 0.5)))
    assert not card.isHidden()
    assert "GPU 50 %" in window.preview._in_one_line(replace(figures, graphics=GraphicsLoad(1, 2, 0.5)))


def test_a_recording_makes_its_folder(window, clip, tmp_path, monkeypatch):
    folder = tmp_path / "home" / "Videos"
    monkeypatch.setattr("nerdrain_gui.preview_page.QStandardPaths.writableLocation", lambda _: str(folder))
    window.open(clip)
    wait_until(window.preview.record_button.isEnabled)
    window.preview.record_button.click()
    wait_until(lambda: list(folder.glob("nerdrain *.mp4")))
    assert str(folder) in window.banner.text


def test_a_message_goes_when_the_next_source_is_opened(window, tmp_path, clip):
    window.open(str(tmp_path / "missing.mp4"))
    wait_until(lambda: "no such file" in window.banner.text)
    window.preview.open(clip)
    assert window.banner.text == ""
    wait_until(lambda: is_playing(window))
    assert window.banner.text == ""


def test_theme_button_changes_the_colours_and_is_remembered(window):
    assert current_colors().window == "#15181d"
    window.theme_button.click()
    window.theme_button.click()
    assert current_colors().window == "#f7f8fa"
    window.close()
    assert Settings.read().theme == "light"


def test_the_window_follows_the_system_while_it_is_told_to(app):
    for other in app.findChildren(Theme):
        sip.delete(other)
    theme, hints = Theme(app, "system"), app.styleHints()
    for scheme, window_color in ((Qt.ColorScheme.Dark, "#15181d"), (Qt.ColorScheme.Light, "#f7f8fa")):
        hints.colorSchemeChanged.emit(scheme)
        assert current_colors().window == window_color
    theme.choose("dark")
    hints.colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert current_colors().window == "#15181d"
    sip.delete(theme)


def test_settings_survive_a_restart(window, clip):
    window.preview.inspector.rain.strength.set_value(0.3)
    window.preview._set_view("side")
    window.show_page(DEVICE)
    window.open(clip)
    window.show_page(FILES)
    window.close()
    settings = Settings.read()
    assert (settings.strength, settings.view, settings.page, settings.recent) == (0.3, "side", FILES, [clip])
    assert not settings.geometry.isEmpty()


def test_damaged_settings_fall_back_to_the_defaults(app):
    from PyQt6.QtCore import QSettings

    for name, value in (("strength", "much"), ("page", "x"), ("recent", "one.mp4"), ("is_looping", "false")):
        QSettings().setValue(name, value)
    settings = Settings.read()
    assert (settings.strength, settings.page, settings.recent, settings.is_looping) == (1.0, 0, ["one.mp4"], False)


def test_the_device_page_tells_what_doctor_found(window):
    from nerdrain_rt.doctor import examine

    window.show_page(DEVICE)
    window.device.show_facts(examine())
    words = " ".join(child.text() for child in window.device.findChildren(type(window.preview.time)))
    assert "Rain is removed on" in words
    assert "H.264" in words
    assert window.preview.inspector.device.findData("cpu") >= 0


BENCHED = {
    "real_time": [
        {"goal": "1080p at 30 fps", "real_time": False, "fps": 12.34, "backend": "eager", "work_scale": 0.5},
        {"goal": "480p at 30 fps", "real_time": True, "fps": 61.0, "backend": "eager", "work_scale": 1},
    ]
}


@pytest.mark.parametrize(
    ("code", "message", "table"),
    [
        (f"print('warming up'); print({json.dumps(BENCHED)!r})", "", ["12.3", "at work size 50 %", "yes"]),
        ("import sys; sys.exit('error: no weights')", "error: no weights", []),
        ("print('nonsense')", "The benchmark gave no result.", []),
    ],
)
def test_the_benchmark_ends_in_a_table_or_in_one_line(window, monkeypatch, code, message, table):
    monkeypatch.setattr("nerdrain_gui.device_page.BENCHMARK", ("-c", code))
    window.show_page(DEVICE)
    window.device.benchmark_button.click()
    assert window.device.benchmark_button.text() == "Stop"
    wait_until(lambda: window.device.benchmark_button.text() != "Stop", seconds=30)
    assert window.banner.text == message
    words = [child.text() for child in window.device.findChildren(type(window.preview.time))]
    assert set(table) <= set(words)


def test_the_benchmark_can_be_stopped(window, monkeypatch):
    monkeypatch.setattr("nerdrain_gui.device_page.BENCHMARK", ("-c", "import time; time.sleep(60)"))
    window.device.run_benchmark()
    QTest.qWait(50)
    window.device.benchmark_button.click()
    wait_until(lambda: window.device.benchmark_button.text() != "Stop")
    assert window.banner.text == ""


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


def test_a_second_source_is_shown_in_place_of_the_first(window, tmp_path):
    clip = str(clips.video(tmp_path / "rain.mp4", size=(48, 64), frames=50, rate=25))
    for name, title in ((clip, "rain.mp4"), ("test", "Test picture")):
        window.open(name)
        assert window.preview.canvas.isVisible()
        assert window.preview.title.text() == title
        assert window.preview.close_button.isVisible()


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


def test_a_small_window_squeezes_neither_options_nor_names(window, clip):
    window.queue.add([clip], JobOptions())
    window.resize(window.minimumSize())
    for page, inspector in ((PREVIEW, window.preview.inspector), (FILES, window.files.inspector)):
        window.show_page(page)
        flush()
        assert inspector.rain.height() >= inspector.rain.minimumSizeHint().height()
    assert window.files.table.columnWidth(Column.FILE) >= 180
    assert window.files.table.isColumnHidden(Column.SPEED)
    window.resize(1240, 780)
    flush()
    assert not window.files.table.isColumnHidden(Column.SPEED)


def test_preview_is_in_front_when_something_is_opened(window, clip):
    window.show_page(DEVICE)
    window.open(clip)
    assert window.pages.currentIndex() == PREVIEW
