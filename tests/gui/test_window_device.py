"""The page that says what this computer has and manages."""

import json
from dataclasses import replace

import pytest
from nerdrain_gui.graphics import GraphicsLoad
from nerdrain_gui.main_window import DEVICE
from nerdrain_gui.run import Figures
from PyQt6.QtTest import QTest

from tests.gui.conftest import wait_until


def test_the_graphics_card_is_shown_where_there_is_one(window):
    inspector, figures = window.preview.inspector, Figures(30.0, 12.0, 0)
    card = inspector._figures["graphics"]
    inspector.show_figures(figures)
    assert card.isHidden()
    inspector.show_figures(replace(figures, graphics=GraphicsLoad(1 << 30, 8 << 30, 0.5)))
    assert not card.isHidden()
    assert "GPU 50 %" in window.preview._in_one_line(replace(figures, graphics=GraphicsLoad(1, 2, 0.5)))


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
