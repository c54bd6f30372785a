# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the rows of the queue."""

from __future__ import annotations

from PyQt6.QtCore import QCoreApplication, QModelIndex, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QPainter, QPainterPath
from PyQt6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from nerdrain_gui.file_facts import FileFacts, FileLooker
from nerdrain_gui.icons import paint_icon
from nerdrain_gui.job_queue import JOB_ROLE, Column
from nerdrain_gui.jobs import FileJob, State
from nerdrain_gui.theme import Colors, current_colors
from nerdrain_gui.words import bytes_in_words, rate_in_words, state_in_words, time_in_words

translate = QCoreApplication.translate
ROW = 60
STATE_ICON = 50
"""What the column of states needs beside the words."""
PAD = 20
PICTURE = QSize(71, 40)
ICONS = {
    State.WAITING: "clock",
    State.RUNNING: "play",
    State.PAUSED: "pause",
    State.DONE: "check",
    State.FAILED: "alert",
    State.CANCELLED: "close",
}


def fault_in_words(job: FileJob) -> str:
    """Why a job failed, without the path that stands above it already."""
    words = job.message.removeprefix(f"{job.source}: ")
    return words[:1].upper() + words[1:]


class JobDelegate(QStyledItemDelegate):
    """Thumbnail and name, a bar, figures, and the state in its colour."""

    def __init__(self, looker: FileLooker) -> None:
        super().__init__(looker)
        self._looker = looker

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Room for the thumbnail."""
        return QSize(100, ROW)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw one cell."""
        assert painter is not None
        job: FileJob = index.data(JOB_ROLE)
        colors = current_colors()
        cell = QRectF(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.fillRect(cell, QColor(colors.accent_soft if is_selected else colors.surface))
        painter.fillRect(QRectF(cell.left(), cell.bottom() - 1, cell.width(), 1), QColor(colors.line))
        inside = cell.adjusted(PAD if index.column() == Column.FILE else 8, 0, -8, -1)
        painter.setFont(option.font)
        if index.column() == Column.FILE:
            self._paint_file(painter, inside, job, colors)
        elif index.column() == Column.PROGRESS:
            self._paint_progress(painter, inside, job, colors, colors.surface if is_selected else colors.line)
        elif index.column() == Column.STATE:
            self._paint_state(painter, inside, job, colors)
        else:
            painter.setPen(QColor(colors.muted))
            painter.drawText(inside, Qt.AlignmentFlag.AlignVCenter, _figure(job, Column(index.column())))
        painter.restore()

    def _paint_file(self, painter: QPainter, area: QRectF, job: FileJob, colors: Colors) -> None:
        facts = self._looker.facts(job.source)
        frame = QRectF(area.left(), area.center().y() - PICTURE.height() / 2, PICTURE.width(), PICTURE.height())
        outline = QPainterPath()
        outline.addRoundedRect(frame, 5, 5)
        painter.fillPath(outline, QColor(colors.stage))
        if facts is not None and not facts.image.isNull():
            painter.save()
            painter.setClipPath(outline)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(frame, facts.image)
            painter.restore()
        else:
            paint_icon(painter, "film", QRectF(frame.center().x() - 9, frame.center().y() - 9, 18, 18), colors.faint)
        words = area.adjusted(PICTURE.width() + 12, 0, 0, 0)
        middle = words.center().y()
        painter.setPen(QColor(colors.text))
        bold = QFont(painter.font())
        bold.setWeight(QFont.Weight.Medium)
        painter.save()
        painter.setFont(bold)
        name = painter.fontMetrics().elidedText(job.name, Qt.TextElideMode.ElideMiddle, int(words.width()))
        line = painter.fontMetrics().height()
        painter.drawText(QRectF(words.left(), middle - line - 1, words.width(), line), 0, name)
        painter.restore()
        painter.setPen(QColor(colors.bad if job.state == State.FAILED else colors.muted))
        details = fault_in_words(job) if job.state == State.FAILED else _details(facts)
        details = painter.fontMetrics().elidedText(details, Qt.TextElideMode.ElideRight, int(words.width()))
        painter.drawText(QRectF(words.left(), middle + 2, words.width(), line), 0, details)

    def _paint_progress(self, painter: QPainter, area: QRectF, job: FileJob, colors: Colors, groove: str) -> None:
        share = job.share
        is_begun = job.state.is_active or job.state == State.DONE or (job.state.is_over and job.frames_done)
        text = f"{int(share * 100)} %" if share is not None and is_begun else ""
        if share is None and job.state.is_active:
            text = str(job.frames_done)
        bar = QRectF(area.left(), area.center().y() - 3, max(20.0, area.width() - 46), 6)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(groove))
        painter.drawRoundedRect(bar, 3, 3)
        if share and is_begun:
            color = {State.DONE: colors.good, State.RUNNING: colors.accent}.get(job.state, colors.faint)
            painter.setBrush(QColor(color))
            painter.drawRoundedRect(QRectF(bar.left(), bar.top(), max(6.0, bar.width() * share), 6), 3, 3)
        painter.setPen(QColor(colors.muted))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, text)

    def _paint_state(self, painter: QPainter, area: QRectF, job: FileJob, colors: Colors) -> None:
        color = {
            State.RUNNING: colors.accent,
            State.PAUSED: colors.warn,
            State.DONE: colors.good,
            State.FAILED: colors.bad,
        }.get(job.state, colors.muted)
        paint_icon(painter, ICONS[job.state], QRectF(area.left(), area.center().y() - 8, 16, 16), color)
        painter.setPen(QColor(color))
        painter.drawText(area.adjusted(23, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, state_in_words(job.state))


def _details(facts: FileFacts | None) -> str:
    if facts is None:
        return ""
    parts = [bytes_in_words(facts.bytes)]
    if facts.size != (0, 0):
        parts.insert(0, f"{facts.size[1]} × {facts.size[0]}")
    if facts.seconds:
        parts.insert(1, time_in_words(facts.seconds))
    return "  ·  ".join(parts)


def _figure(job: FileJob, column: Column) -> str:
    if column == Column.SPEED:
        return (
            translate("JobDelegate", "{0} fps").format(rate_in_words(job.fps))
            if job.fps and job.state != State.CANCELLED
            else "–"
        )
    left = job.seconds_left
    return "–" if left is None else time_in_words(left)
