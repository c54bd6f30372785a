"""An application without a display, settings in a folder of their own, and parts to put a window together."""

import os
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("PyQt6.QtWidgets", reason="the window needs PyQt6")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
try:
    import nerdrain_gui  # noqa: F401
except ImportError:
    sys.path.insert(0, str(Path(__file__).parents[2] / "gui"))

from nerdrain_gui.app import make_app
from nerdrain_gui.job_queue import JobQueue
from nerdrain_gui.main_window import MainWindow
from nerdrain_gui.network import Network
from nerdrain_gui.settings import Settings
from nerdrain_gui.theme import Theme
from PyQt6 import sip
from PyQt6.QtCore import QCoreApplication, QEvent, QSettings
from PyQt6.QtTest import QTest

from nerdrain_rt.derainer import Derainer
from tests import clips
from tests.fakes import FakeBackend


@pytest.fixture(scope="session")
def app():
    return make_app()


@pytest.fixture(autouse=True)
def quiet_world(app, tmp_path, monkeypatch):
    """Settings and data of the user are left alone; an exception in a slot fails the test instead of the process."""
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))
    monkeypatch.setattr("nerdrain_gui.jobs.platformdirs.user_data_path", lambda _: tmp_path / "data")
    raised = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: raised.append(error))
    yield
    assert not raised, raised


@pytest.fixture
def backend():
    return FakeBackend()


@pytest.fixture
def load(backend):
    """Loads a derainer around the fake backend, whatever is asked for."""

    def load_fake(network: Network) -> Derainer:
        return Derainer(backend=backend)

    return load_fake


@pytest.fixture
def queue(app, load, tmp_path):
    queue = JobQueue(load=load, path=tmp_path / "queue.json")
    yield queue
    if not sip.isdeleted(queue):
        queue.shut_down(5)


@pytest.fixture
def window(app, queue, monkeypatch):
    from nerdrain_gui.session import Session

    monkeypatch.setattr("nerdrain_gui.device_page.DevicePage.examine", lambda self: None)
    window = MainWindow(
        Theme(app, "dark"),
        Settings(),
        session=Session(load=lambda network: Derainer(backend=FakeBackend())),
        queue=queue,
    )
    window.show()
    assert QTest.qWaitForWindowActive(window)
    yield window
    if window.isVisible():
        window.close()
    flush()


def flush():
    """Delete what was to be deleted later, and deliver what is on its way."""
    QCoreApplication.processEvents()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    QCoreApplication.processEvents()


def wait_until(condition, seconds=10.0):
    """Run Qt's loop until the condition holds; fails where it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        QTest.qWait(5)


@pytest.fixture
def clip(tmp_path):
    return str(clips.video(tmp_path / "rain.mp4", size=(48, 64), frames=50, rate=25))
