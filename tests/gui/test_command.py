import json

import pytest
from nerdrain_gui import app as application
from nerdrain_gui.findings import backend_in_words, benchmark_rows, findings, verdict
from nerdrain_gui.settings import Settings
from nerdrain_gui.source_menu import cameras_of

from nerdrain_rt import gui_command
from nerdrain_rt.doctor import examine
from nerdrain_rt.errors import UsageError


def test_the_command_names_the_extra_where_the_window_is_not_installed(monkeypatch):
    monkeypatch.setattr(gui_command, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "nerdrain-rt\[gui\]"'):
        gui_command.gui_command()


def test_the_command_opens_what_it_is_given(monkeypatch):
    given = []
    monkeypatch.setattr(application, "main", given.append)
    monkeypatch.setattr(gui_command, "find_spec", lambda name: True)
    for source in (None, "rain.mp4"):
        gui_command.gui_command(source)
    assert given == [[], ["rain.mp4"]]


def test_a_live_source_is_shown_with_the_derainer_that_is_there(app, tmp_path, monkeypatch):
    from nerdrain_rt.derainer import Derainer, DerainSettings
    from nerdrain_rt.live import LiveSettings
    from nerdrain_rt.media.live_source import LiveSourceSettings
    from tests.clips import video
    from tests.fakes import FakeBackend
    from tests.gui.conftest import flush, wait_until

    def run(app, window, name):
        window.open(name)
        wait_until(lambda: backend.shapes and window.preview.canvas.picture is not None)
        assert window.session.settings == (0.5, 0.5)
        assert not window._settings.compares_frames
        window.close()
        flush()
        raise SystemExit

    backend = FakeBackend()
    derainer = Derainer(DerainSettings(strength=0.5, work_scale=0.5), backend=backend)
    monkeypatch.setattr(application, "_run", run)
    monkeypatch.setattr("nerdrain_gui.device_page.DevicePage.examine", lambda self: None)
    clip = video(tmp_path / "rain.mp4", size=(32, 32), frames=25)
    with pytest.raises(SystemExit):
        application.show_live(
            str(clip), LiveSourceSettings(loop=True), derainer, live_settings=LiveSettings(temporal=False)
        )
    assert set(backend.shapes) == {(1, 3, 16, 16)}
    assert Settings.read().strength == 1, "what was asked for once is not remembered"


def test_cameras_are_offered_by_what_opens_them():
    camera = {"address": "Camera (NVIDIA Broadcast)", "name": "Camera (NVIDIA Broadcast)", "modes": []}
    assert cameras_of({"cameras": [camera]}) == [(camera["address"], camera["name"])]


def test_a_file_named_by_its_url_is_a_path():
    assert application._source("file:///media/card/a%20b.mp4") == "/media/card/a b.mp4"
    assert application._source("rtsp://camera/1") == "rtsp://camera/1"


def test_importing_the_window_loads_no_network():
    import subprocess
    import sys

    code = (
        f"import sys; sys.path[:0] = {json.dumps(sys.path)}; import nerdrain_gui.app; "
        "print([name for name in ('torch', 'av', 'nerdrain_rt', 'cv2') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_findings_say_everything_that_doctor_knows_in_words():
    facts = examine()
    said = {finding.title: finding for finding in findings(facts)}
    assert len(said["Processors"].lines) == len(facts["devices"])
    assert {line.text for line in said["Methods"].lines} == {backend_in_words(name) for name in facts["backends"]}
    for finding in said.values():
        assert finding.lines
        assert all("None" not in line.text + line.detail or line.text == "None found" for line in finding.lines)


def test_the_verdict_names_the_graphics_card_where_there_is_one():
    gpu = {"available": True, "name": "NVIDIA RTX 4090"}
    title, _ = verdict({"devices": {"cpu": {"available": True}, "cuda:0": gpu}})
    assert title == "Rain is removed on NVIDIA RTX 4090"
    title, text = verdict({"devices": {"cpu": {"available": True, "name": "Ryzen", "cores": 8}}})
    assert title == "Rain is removed on the processor"
    assert "Ryzen with 8 cores" in text


@pytest.mark.parametrize("result", [None, [], {}, {"real_time": []}, "text", 3])
def test_a_benchmark_without_answers_is_an_empty_table(result):
    assert benchmark_rows(result) == []
