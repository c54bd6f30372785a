"""Everything is reached and worked by the keyboard, and says what it is."""

import pytest
from nerdrain_gui.jobs import JobOptions
from nerdrain_gui.main_window import DEVICE, FILES, PREVIEW
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QWheelEvent
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

from tests.gui.conftest import wait_until
from tests.gui.windows import WITH_GPU


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
