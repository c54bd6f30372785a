# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the application: one window, shown before the network is loaded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from PyQt6.QtCore import QLibraryInfo, QLocale, QTimer, QTranslator, QUrl
from PyQt6.QtWidgets import QApplication

from nerdrain_gui.icons import app_icon
from nerdrain_gui.main_window import MainWindow
from nerdrain_gui.network import Network
from nerdrain_gui.session import Session
from nerdrain_gui.settings import Settings
from nerdrain_gui.theme import CHOICES, Theme

if TYPE_CHECKING:
    from nerdrain_rt.derainer import Derainer
    from nerdrain_rt.live import LiveSettings
    from nerdrain_rt.media.live_source import LiveSourceSettings
    from nerdrain_rt.media.sinks import Sink

SIGNAL_MILLISECONDS = 100
TRANSLATIONS = Path(__file__).parent / "translations"
"""`pylupdate6 *.py --ts translations/nerdrain_de.ts` brings new texts in, `lrelease` makes what is loaded."""
WITHOUT_DISPLAY = ("offscreen", "minimal", "vnc")
PROBE = "from PyQt6.QtGui import QGuiApplication; QGuiApplication([])"
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Show the window, with what the only argument names in the preview; then end the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if reason := why_no_display():
        print(f"error: {reason}", file=sys.stderr)  # noqa: T201 - the entry point's own line
        sys.exit(2)
    app = make_app()
    settings = Settings.read()
    window = MainWindow(_theme(app, settings), settings)
    _run(app, window, _source(arguments[0]) if arguments else None)


def show_live(
    name: str,
    source_settings: LiveSourceSettings,
    derainer: Derainer,
    sinks: Sequence[Sink] = (),
    live_settings: LiveSettings | None = None,
) -> NoReturn:
    """Show a live source with a derainer that is loaded already, until the window is closed; then end the process.

    Raises UsageError where no window can be shown.
    """
    from nerdrain_rt.derainer import Derainer
    from nerdrain_rt.errors import UsageError
    from nerdrain_rt.media.live_source import open_source

    if reason := why_no_display():
        raise UsageError(reason)
    app = make_app()
    settings = Settings.read()
    settings.page = 0
    settings.strength, settings.work_scale = derainer.settings.strength, derainer.settings.work_scale
    settings.device, settings.backend = derainer.settings.device, derainer.settings.backend
    if live_settings is not None and live_settings.temporal is not None:
        settings.compares_frames = live_settings.temporal
    given = Network(settings.backend, settings.device)

    def load(network: Network) -> Derainer:
        if network == given:
            return derainer
        return Derainer(replace(derainer.settings, backend=network.backend, device=network.device))

    session = Session(
        load=load,
        source=lambda name: open_source(name, replace(source_settings, has_stills=True)),
        sinks=sinks,
        settings=live_settings,
    )
    _run(app, MainWindow(_theme(app, settings), settings, session=session, keeps_settings=False), name)


def _source(name: str) -> str:
    """A file that the desktop names by its URL, as a path; else the name as it is."""
    return QUrl(name).toLocalFile() if name.startswith("file:") else name


def _theme(app: QApplication, settings: Settings) -> Theme:
    return Theme(app, settings.theme if settings.theme in CHOICES else "system")


def _run(app: QApplication, window: MainWindow, source: str | None) -> NoReturn:
    """Qt's loop until the window is closed, and the end of the process."""
    from nerdrain_rt.ending import INTERRUPTED, end_signals

    received: list[int] = []

    def close(number: int, _: object) -> None:
        received.append(number)
        window.close()

    sys.excepthook = window.tell_of_fault
    for number in (signal.SIGINT, *end_signals()):
        signal.signal(number, close)
    waker = QTimer()
    waker.start(SIGNAL_MILLISECONDS)  # Python looks at signals only between its own instructions
    waker.timeout.connect(lambda: None)
    window.show()
    QTimer.singleShot(0, window.device.examine)
    if source is not None:
        QTimer.singleShot(0, lambda: window.open(source))
    code = app.exec()
    # The window has put everything away. To unwind PyTorch would take a second more, and where a thread is inside the
    # network on a slow processor, the interpreter cannot and would abort.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as in a program without a console on Windows
            stream.flush()
    os._exit(INTERRUPTED if received else code)


def make_app() -> QApplication:
    """Qt's application with our name, icon and the user's language."""
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    app.setOrganizationName("nerdrain-rt")
    app.setApplicationName("nerdrain-rt")
    app.setApplicationDisplayName("NeRD-Rain RT")
    app.setDesktopFileName("nerdrain")
    app.setWindowIcon(app_icon())
    for name, folder in (
        ("qtbase", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)),
        ("nerdrain", str(TRANSLATIONS)),
    ):
        translator = QTranslator(app)
        if translator.load(QLocale(), name, "_", folder):
            app.installTranslator(translator)
    return app


def why_no_display() -> str | None:
    """Why no window can be shown here; None where one can. Asked in a process of its own, because Qt aborts its own."""
    if os.environ.get("QT_QPA_PLATFORM") in WITHOUT_DISPLAY:
        return None
    if sys.platform.startswith(("linux", "freebsd")) and not any(map(os.environ.get, DISPLAYS)):
        return "no display: neither DISPLAY nor WAYLAND_DISPLAY is set; use 'nerdrain live' or 'nerdrain video' here"
    probe = subprocess.run(  # noqa: S603 - nothing in it comes from outside
        [sys.executable, "-c", PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if probe.returncode == 0:
        return None
    told = [line for line in probe.stderr.splitlines() if line.strip()]
    return f"no window can be shown: {told[0] if told else 'Qt does not start here'}"
