import errno
import os
from pathlib import Path

import pytest
from nerdrain_gui.job_queue import Column
from nerdrain_gui.jobs import JobOptions, State
from nerdrain_gui.main_window import DEVICE, FILES, PREVIEW
from PyQt6.QtCore import Qt
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication

from tests import clips
from tests.gui.conftest import flush, wait_until
from tests.gui.windows import WITH_GPU, drop, is_playing


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


def test_errors_are_messages_in_the_window(window, tmp_path):
    window.open(str(tmp_path / "missing.mp4"))
    wait_until(lambda: window.banner.text)
    assert "no such file" in window.banner.text
    assert QApplication.activeModalWidget() is None
    window.tell_of_fault(ValueError, ValueError("odd"), None)
    assert window.banner.text == "Unexpected ValueError: odd"


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


def test_a_second_source_is_shown_in_place_of_the_first(window, tmp_path):
    clip = str(clips.video(tmp_path / "rain.mp4", size=(48, 64), frames=50, rate=25))
    for name, title in ((clip, "rain.mp4"), ("test", "Test picture")):
        window.open(name)
        assert window.preview.canvas.isVisible()
        assert window.preview.title.text() == title
        assert window.preview.close_button.isVisible()


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
