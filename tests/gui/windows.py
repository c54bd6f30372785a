"""What the tests of the window share."""

from PyQt6.QtCore import QMimeData, QPointF, Qt, QUrl
from PyQt6.QtGui import QDropEvent

WITH_GPU = {
    "devices": {"cpu": {"available": True}, "cuda:0": {"available": True}},
    "codecs": {"encoders": {"libx264": True, "h264_nvenc": True, "hevc_nvenc": False}},
}


def drop(window, *paths):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    action, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    window.dropEvent(QDropEvent(QPointF(300, 300), action, mime, button, Qt.KeyboardModifier.NoModifier))


def is_playing(window):
    return window.preview.canvas.picture is not None
