"""What the window remembers, and the colours it follows."""

from nerdrain_gui.files_inspector import FilesInspector
from nerdrain_gui.jobs import JobOptions
from nerdrain_gui.main_window import DEVICE, FILES
from nerdrain_gui.settings import Settings
from nerdrain_gui.theme import Theme, current_colors
from PyQt6 import sip
from PyQt6.QtCore import Qt

from tests.gui.windows import WITH_GPU


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
