# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside the live picture: what acts on it while it plays, what it runs on, and how it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from nerdrain_gui.controls import Choice, label
from nerdrain_gui.findings import backend_in_words, device_in_words
from nerdrain_gui.inspector import Inspector
from nerdrain_gui.network import Network
from nerdrain_gui.rain_options import RainOptions
from nerdrain_gui.run import Figures, Opened
from nerdrain_gui.words import graphics_in_words, latency_in_words, rate_in_words


class PreviewInspector(Inspector):
    """Options of the network and the figures of the moment."""

    network_chosen = pyqtSignal(object)
    """The `Network` that the user wants."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.rain = RainOptions(self.tr("Takes longer: without an NVIDIA card only where a file is paused."))
        self.device = Choice(self.tr("Device"), self.tr("What the network runs on, here and for files"))
        self.backend = Choice(
            self.tr("Method"),
            self.tr("The program that runs the network; the best one is measured where there are several"),
        )
        self._in_use = label(name="muted", wraps=True)
        self._figures: dict[str, _Figure] = {
            "fps": _Figure(self.tr("Frames a second")),
            "latency": _Figure(self.tr("Latency")),
            "dropped": _Figure(self.tr("Skipped frames")),
            "size": _Figure(self.tr("Size")),
            "graphics": _Figure(self.tr("Graphics card")),
        }
        self.column.setSpacing(6)
        self._add_section(self.tr("Rain"), self.rain)
        self._add_section(
            self.tr("Runs on"),
            label(self.tr("Device")),
            self.device,
            label(self.tr("Method")),
            self.backend,
            self._in_use,
        )
        self._add_section(self.tr("Figures"), *self._figures.values())
        self.column.addStretch()
        self._offer(self.device, [], network.device)
        self._offer(self.backend, [], network.backend)
        self.device.activated.connect(self._choose)
        self.backend.activated.connect(self._choose)
        self.clear()

    def show_devices(self, facts: dict[str, Any], network: Network) -> None:
        """Offer the devices and backends that there are."""
        devices = [name for name, what in facts.get("devices", {}).items() if what.get("available")]
        backends = [name for name, what in facts.get("backends", {}).items() if what.get("available")]
        self._offer(self.device, [(name, device_in_words(name)) for name in devices], network.device)
        self._offer(self.backend, [(name, backend_in_words(name)) for name in backends], network.backend)

    def show_network(self, network: Network, used: tuple[str, str]) -> None:
        """Show what was asked for, and the (backend, device) that it is."""
        self.device.setCurrentIndex(max(0, self.device.findData(network.device)))
        self.backend.setCurrentIndex(max(0, self.backend.findData(network.backend)))
        backend, device = used
        self._in_use.setText(self.tr("In use: {0} · {1}").format(backend_in_words(backend), device_in_words(device)))

    def show_source(self, opened: Opened) -> None:
        """Show what the source is."""
        height, width = opened.size
        self._figures["size"].show_value(f"{width} × {height}")

    def show_figures(self, figures: Figures, *, is_playing: bool = True) -> None:
        """Show how it goes; a picture that stands still has no rate."""
        self._figures["fps"].show_value(rate_in_words(figures.fps) if is_playing else "–")
        self._figures["latency"].show_value(latency_in_words(figures.latency_ms) if is_playing else "–")
        self._figures["dropped"].show_value(str(figures.dropped))
        self._figures["graphics"].setVisible(figures.graphics is not None)
        if figures.graphics is not None:
            self._figures["graphics"].show_value(graphics_in_words(figures.graphics))

    def clear(self) -> None:
        """Show that nothing plays."""
        for figure in self._figures.values():
            figure.show_value("–")
        self._figures["graphics"].hide()
        self._in_use.setText("")

    def _add_section(self, title: str, *parts: QWidget) -> None:
        if self.column.count():
            self.column.addSpacing(12)
        self.column.addWidget(label(title.upper(), "section"))
        self.column.addSpacing(4)
        for index, part in enumerate(parts):
            if index and isinstance(parts[index - 1], QComboBox):
                self.column.addSpacing(4)
            self.column.addWidget(part)

    def _offer(self, combo: QComboBox, choices: Sequence[tuple[str, str]], chosen: str) -> None:
        combo.clear()
        combo.addItem(self.tr("Best there is"), "auto")
        for name, words in choices:
            combo.addItem(words, name)
        if combo.findData(chosen) < 0:
            combo.addItem(device_in_words(backend_in_words(chosen)), chosen)
        combo.setCurrentIndex(combo.findData(chosen))

    def _choose(self) -> None:
        self.network_chosen.emit(Network(self.backend.currentData(), self.device.currentData()))


class _Figure(QWidget):
    """A figure and what it is of."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._value = label(name="value")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(label(words, "muted"))
        row.addStretch()
        row.addWidget(self._value)

    def show_value(self, text: str) -> None:
        self._value.setText(text)
