import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from nerdrain_gui import app as application
from nerdrain_gui.files_page import FilesPage
from PyQt6.lupdate import lupdate
from PyQt6.QtCore import QCoreApplication, QLocale, QTranslator

LANGUAGES = sorted(path.stem.removeprefix("nerdrain_") for path in application.TRANSLATIONS.glob("*.ts"))


def texts(path: Path) -> dict[tuple[str, str], str]:
    """What stands in a translation's source, by context and English words."""
    return {
        (context.findtext("name"), message.findtext("source")): message.findtext("translation")
        for context in ElementTree.parse(path).getroot().iter("context")  # noqa: S314 - our own file
        for message in context.iter("message")
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_the_window_is_translated(language, tmp_path):
    package = Path(application.__file__).parent
    lupdate(sorted(map(str, package.glob("*.py"))), [str(tmp_path / "fresh.ts")])
    translated = texts(application.TRANSLATIONS / f"nerdrain_{language}.ts")
    assert set(translated) == set(texts(tmp_path / "fresh.ts"))
    for (_, source), words in translated.items():
        assert words
        assert sorted(re.findall(r"\{\d\}", words)) == sorted(re.findall(r"\{\d\}", source))


@pytest.fixture
def speaking(app):
    """Has the application speak a language."""
    installed = []

    def speak(language: str) -> None:
        translator = QTranslator()
        assert translator.load(QLocale(language), "nerdrain", "_", str(application.TRANSLATIONS))
        app.installTranslator(translator)
        installed.append(translator)

    yield speak
    for translator in installed:
        app.removeTranslator(translator)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_translation_is_the_one_in_words(speaking, language):
    speaking(language)
    for (context, source), words in texts(application.TRANSLATIONS / f"nerdrain_{language}.ts").items():
        assert QCoreApplication.translate(context, source) == words


def test_the_window_speaks_the_language_that_is_installed(speaking, window):
    speaking("de")
    page = FilesPage(window.queue, window._looker, window._settings)
    assert page.clear_button.text() == "Fertige entfernen"
    assert page.inspector.rain.work_scale.findChildren(type(window.theme_button))[0].text() == "Voll"
    page.deleteLater()
