# SPDX-License-Identifier: GPL-3.0-or-later
"""The window: a slim bar with three pages, messages over them, and an end that waits for nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from PyQt6.QtCore import QEvent, QObject, QSize, Qt
from PyQt6.QtGui import (
    QAction,
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QKeySequence,
    QResizeEvent,
)
from PyQt6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QMainWindow,
    QStackedWidget,
    QSystemTrayIcon,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from nerdrain_gui.banner import Banner
from nerdrain_gui.controls import FOOTER, INSPECTOR, dropped_files
from nerdrain_gui.device_page import DevicePage
from nerdrain_gui.file_facts import FileLooker
from nerdrain_gui.files_page import FilesPage
from nerdrain_gui.icons import app_icon, icon
from nerdrain_gui.job_queue import JobQueue
from nerdrain_gui.network import Network
from nerdrain_gui.preview_page import PreviewPage
from nerdrain_gui.session import Session
from nerdrain_gui.settings import Settings
from nerdrain_gui.theme import CHOICES, Choice, Theme

_log = logging.getLogger(__name__)
SIDEBAR = 84
PATIENCE_SECONDS = 1.0
"""How long closing waits for threads; one inside a slow network takes longer and is left behind."""
THEME_ICONS = {"system": "system", "light": "sun", "dark": "moon"}
PREVIEW, FILES, DEVICE = range(3)


class MainWindow(QMainWindow):
    """Puts session, queue and pages together."""

    def __init__(
        self,
        theme: Theme,
        settings: Settings,
        *,
        session: Session | None = None,
        queue: JobQueue | None = None,
        keeps_settings: bool = True,
    ) -> None:
        super().__init__()
        self._keeps_settings = keeps_settings
        self._tray: QSystemTrayIcon | None = None
        self.setWindowTitle("NeRD-Rain RT")
        self.setWindowIcon(app_icon())
        self.setAcceptDrops(True)
        self.setMinimumSize(900, 560)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._theme = theme
        self._settings = settings
        self.session = session or Session()
        self.queue = queue or JobQueue()
        self._looker = FileLooker(self)
        for worker in (self.session, self.queue):
            worker.setParent(self)
        self.queue.network = Network(settings.backend, settings.device)
        self.preview = PreviewPage(self.session, settings)
        self.files = FilesPage(self.queue, self._looker, settings)
        self.device = DevicePage()
        self.pages = QStackedWidget()
        for page in (self.preview, self.files, self.device):
            page.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            self.pages.addWidget(page)
        self.sidebar = self._make_sidebar()
        content = QWidget()
        row = QHBoxLayout(content)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.sidebar)
        row.addWidget(self.pages, 1)
        self.setCentralWidget(content)
        self.banner = Banner(content)
        self.banner.installEventFilter(self)
        self._make_actions()
        self._connect()
        self.show_page(settings.page)
        if settings.geometry.isEmpty() or not self.restoreGeometry(settings.geometry):
            self.resize(1240, 780)

    def show_page(self, page: int) -> None:
        """Bring a page to the front."""
        self.pages.setCurrentIndex(page)
        self._place_banner()
        shown = self.pages.currentWidget()
        if shown is not None:
            shown.setFocus()
        button = self._tabs.button(self.pages.currentIndex())
        if button is not None:
            button.setChecked(True)

    def open(self, source: str) -> None:
        """Show a camera, an address or a file in the preview."""
        self.show_page(PREVIEW)
        self.preview.open(source)

    def take_files(self, paths: list[str]) -> None:
        """Take what was dropped: into the queue, or one file into the preview where that is in front."""
        if self.pages.currentIndex() == PREVIEW and len(paths) == 1 and Path(paths[0]).is_file():
            self.preview.open(paths[0])
            return
        self.show_page(FILES)
        self._looker.find(paths)

    def toggle_full_screen(self) -> None:
        """The picture alone on the whole screen, and back."""
        is_bare = not self.isFullScreen()
        self.show_page(PREVIEW)
        self.sidebar.setVisible(not is_bare)
        self.preview.set_bare(is_bare)
        self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen)

    def tell_of_fault(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        """An error of ours that nothing caught: a message in place of Qt's abort."""
        _log.error("unexpected error", exc_info=(kind, error, traceback))
        self._fail(self.tr("Unexpected {0}: {1}").format(kind.__name__, error))

    def _leave_full_screen(self) -> None:
        if self.isFullScreen():
            self.toggle_full_screen()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Go at once; then end what runs, waiting no longer than is polite."""
        if not self.isFullScreen():
            self._settings.geometry = self.saveGeometry()
        self._settings.page = self.pages.currentIndex()
        if self._keeps_settings:
            self._settings.write()
        self.hide()
        self._looker.shut_down()
        until = time.monotonic() + PATIENCE_SECONDS
        is_ended = [
            worker.shut_down(max(0.0, until - time.monotonic())) for worker in (self.session, self.queue, self.device)
        ]
        if not all(is_ended):
            self.queue.discard_leftovers()
        super().closeEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Welcome files."""
        if event is not None and dropped_files(event.mimeData()):
            event.acceptProposedAction()
            self._show_target(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent | None) -> None:
        """As before."""
        self._show_target(False)

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Take files."""
        self._show_target(False)
        if event is not None and (paths := dropped_files(event.mimeData())):
            event.acceptProposedAction()
            self.take_files(paths)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the message in its place."""
        super().resizeEvent(event)
        self._place_banner()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Place the message when it comes."""
        if event is not None and event.type() in (QEvent.Type.Show, QEvent.Type.LayoutRequest):
            self._place_banner()
        return False

    def _make_sidebar(self) -> QWidget:
        sidebar = QFrame()
        sidebar.setObjectName("sidebar")
        sidebar.setFixedWidth(SIDEBAR)
        self._tabs = QButtonGroup(self)
        column = QVBoxLayout(sidebar)
        column.setContentsMargins(8, 14, 8, 12)
        column.setSpacing(6)
        column.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        for index, (name, words) in enumerate(
            (
                ("preview", self.tr("Preview")),
                ("files", self.tr("Files")),
                ("device", self.tr("Device")),
            )
        ):
            button = _side_button(name, words)
            button.setCheckable(True)
            button.setToolTip(self.tr("{0} (Ctrl+{1})").format(words, index + 1))
            self._tabs.addButton(button, index)
            column.addWidget(button)
        column.addStretch()
        self.theme_button = _side_button("system", "")
        column.addWidget(self.theme_button)
        self._show_theme()
        return sidebar

    def _make_actions(self) -> None:
        def add(key: str | QKeySequence.StandardKey, run: Callable[..., object]) -> None:
            action = QAction(self)
            action.setShortcut(QKeySequence(key))
            action.triggered.connect(run)
            self.addAction(action)

        for page in (PREVIEW, FILES, DEVICE):
            add(f"Ctrl+{page + 1}", lambda _=False, page=page: self.show_page(page))
        add("Ctrl+O", self._ask_for_files)
        add("F11", self.toggle_full_screen)
        add("Ctrl+Shift+T", self._next_theme)
        add("Ctrl+Q", self.close)
        leave = QAction(self)
        leave.setShortcut(QKeySequence("Esc"))
        leave.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        leave.triggered.connect(self._leave_full_screen)
        self.preview.addAction(leave)

    def _connect(self) -> None:
        self._tabs.idClicked.connect(self.show_page)
        self.theme_button.clicked.connect(self._next_theme)
        self._theme.changed.connect(self.update)
        self.preview.opening.connect(self.banner.hide)
        self.preview.file_wanted.connect(self._ask_for_file)
        self.preview.full_screen_wanted.connect(self.toggle_full_screen)
        self.files.files_wanted.connect(self._ask_for_files)
        self.files.folder_wanted.connect(self._ask_for_folder)
        self.device.examined.connect(self.preview.show_devices)
        self.device.examined.connect(lambda _: self._take_network(self.queue.network))
        self.preview.inspector.network_chosen.connect(self._choose_network)
        self.device.failed.connect(self._fail)
        self.session.failed.connect(self._fail)
        self.session.warned.connect(lambda text: self.banner.tell(text, "warning"))
        self.session.told.connect(self.banner.tell)
        self.session.network_changed.connect(lambda network, _: self._take_network(network))
        self.queue.failed.connect(self._fail)
        self.queue.finished.connect(self._tell_of_end)
        self._looker.refused.connect(lambda text: self.banner.tell(text, "warning"))

    def _choose_network(self, network: Network) -> None:
        """Where something plays, files follow when it could be loaded."""
        if not self.session.is_open:
            self._take_network(network)

    def _take_network(self, network: Network) -> None:
        self.queue.network = network
        self.files.inspector.show_devices(self.device.facts, network)

    def _fail(self, text: str) -> None:
        self.banner.tell(text, "error")

    def _tell_of_end(self, done: int, failures: int) -> None:
        text = self.tr("Finished: {0} done, {1} failed") if failures else self.tr("Finished: {0} done")
        text = text.format(done, failures)
        self.banner.tell(text, "warning" if failures else "info")
        if not self.isActiveWindow():
            QApplication.alert(self)
            if QSystemTrayIcon.isSystemTrayAvailable():
                if self._tray is None:
                    self._tray = QSystemTrayIcon(app_icon(), self)
                    self._tray.activated.connect(self.activateWindow)
                self._tray.show()
                self._tray.showMessage("NeRD-Rain RT", text, app_icon())

    def _ask_for_file(self) -> None:
        dialog = self._dialog(self.tr("Open a video"), QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self.open)
        dialog.open()

    def _ask_for_files(self) -> None:
        if self.pages.currentIndex() == PREVIEW:
            self._ask_for_file()
            return
        dialog = self._dialog(self.tr("Add videos and pictures"), QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(self._add)
        dialog.open()

    def _ask_for_folder(self) -> None:
        dialog = self._dialog(self.tr("Add a folder"), QFileDialog.FileMode.Directory)
        dialog.filesSelected.connect(self._add)
        dialog.open()

    def _add(self, paths: list[str]) -> None:
        self.show_page(FILES)
        self._looker.find(paths)

    def _dialog(self, title: str, mode: QFileDialog.FileMode) -> QFileDialog:
        dialog = QFileDialog(self, title, self._settings.last_folder)
        dialog.setFileMode(mode)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.directoryEntered.connect(lambda folder: setattr(self._settings, "last_folder", folder))
        return dialog

    def _next_theme(self) -> None:
        choice: Choice = CHOICES[(CHOICES.index(self._theme.choice) + 1) % len(CHOICES)]
        self._settings.theme = choice
        self._theme.choose(choice)
        self._show_theme()

    def _show_theme(self) -> None:
        words = {"system": self.tr("Auto"), "light": self.tr("Light"), "dark": self.tr("Dark")}
        self.theme_button.setText(words[self._theme.choice])
        self.theme_button.setIcon(icon(THEME_ICONS[self._theme.choice]))
        self.theme_button.setToolTip(self.tr("Light or dark (Ctrl+Shift+T)"))
        self.theme_button.setAccessibleName(self.tr("Light or dark: {0}").format(words[self._theme.choice]))

    def _show_target(self, is_target: bool) -> None:
        for page in (self.preview, self.files):
            page.empty.set_target(is_target)

    def _place_banner(self) -> None:
        beside = 0 if self.pages.currentIndex() == DEVICE else INSPECTOR
        area = self.pages.width() - beside
        width = min(600, area - 48)
        self.banner.setFixedWidth(width)
        height = max(46, self.banner.heightForWidth(width))
        left = SIDEBAR * self.sidebar.isVisible() + (area - width) // 2
        self.banner.setGeometry(left, self.pages.height() - FOOTER - 18 - height, width, height)
        self.banner.raise_()


def _side_button(name: str, words: str) -> QToolButton:
    button = QToolButton()
    button.setIcon(icon(name))
    button.setIconSize(QSize(24, 24))
    button.setText(words)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
    button.setFixedWidth(SIDEBAR - 16)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button
