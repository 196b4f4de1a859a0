"""F1: every key there is, by group, from the one table of actions."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.ui.controls import IconButton, KeyHint, Label
from app.ui.i18n import tr
from app.ui.shell.overlay import Overlay
from app.ui.shortcuts import Actions


class ShortcutSheet(Overlay):
    """The sheet in two columns."""

    def __init__(self, window: QWidget, actions: Actions) -> None:
        super().__init__(window, width=760, title=tr("Keyboard shortcuts"))
        head = QHBoxLayout()
        head.setContentsMargins(24, 16, 12, 8)
        head.addWidget(Label(tr("Keyboard shortcuts"), "title"))
        head.addStretch(1)
        self.close_button = IconButton("close", tr("Close"))
        self.close_button.clicked.connect(self.dismiss)
        head.addWidget(self.close_button)
        self.column.addLayout(head)
        groups = grouped(actions)
        body = QWidget()
        columns = QHBoxLayout(body)
        columns.setContentsMargins(24, 0, 24, 20)
        columns.setSpacing(40)
        total = sum(len(lines) + 2 for lines in groups.values())
        sides = (QVBoxLayout(), QVBoxLayout())
        filled = 0
        for title, lines in groups.items():
            side = sides[0] if filled < total / 2 else sides[1]
            filled += len(lines) + 2
            side.addWidget(self._group(title, lines))
        for side in sides:
            side.setSpacing(16)
            side.addStretch(1)
            columns.addLayout(side, 1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(body)
        body.setAutoFillBackground(False)
        scroll.viewport().setAutoFillBackground(False)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumHeight(min(body.sizeHint().height() + 4, max(200, window.height() - 160)))
        self.column.addWidget(scroll, 1)

    def open(self) -> None:
        super().open()
        self.close_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_F1:
            self.dismiss()
            return
        super().keyPressEvent(event)

    def _group(self, title: str, lines: list[tuple[str, str]]) -> QWidget:
        box = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(6)
        grid.addWidget(Label(title, "section", "text2"), 0, 0, 1, 2)
        for place, (words, keys) in enumerate(lines, start=1):
            grid.addWidget(Label(words, "body", wrap=True), place, 0)
            grid.addWidget(KeyHint(keys), place, 1, Qt.AlignmentFlag.AlignRight)
        grid.setColumnStretch(0, 1)
        return box


def grouped(actions: Actions) -> dict[str, list[tuple[str, str]]]:
    """Return (words, keys) by group, worded, in the order of the table; only what has keys."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for action in actions:
        for key in action.keys[:1]:
            groups.setdefault(tr(action.group), []).append((tr(action.title), native(key)))
    for known in actions.known:
        groups.setdefault(tr(known.group), []).append((tr(known.title), native(known.keys)))
    return groups


def native(keys: str) -> str:
    """Write keys as this system does: `Ctrl+K`."""
    written = QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
    return written or keys
