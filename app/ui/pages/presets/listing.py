"""The list of presets: mine, then shipped; a dot for unsaved changes, a word for the one that is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
)

from app.shared.presets import Preset
from app.ui.controls import IconButton, SearchField, Surface
from app.ui.controls.painting import draw_box
from app.ui.forms.words import preset_reason, summary
from app.ui.i18n import error_sentence, tr
from app.ui.theme import theme, themes

NAME, LINE, LOADED, DIRTY, BROKEN, HEADING = (Qt.ItemDataRole.UserRole + n for n in range(6))


class PresetList(Surface):
    """Presets by group with a search above. `chosen` tells the name; `added` that a new one is wanted."""

    chosen = Signal(str)
    added = Signal()

    def __init__(self) -> None:
        super().__init__("bg1", edges="r")
        self.search = SearchField(tr("Search"), label=tr("Search presets"))
        self.search.searched.connect(lambda _text: self._fill())
        self.add = IconButton("plus", tr("New preset"))
        self.add.clicked.connect(self.added)
        self.list = QListWidget()
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setItemDelegate(_Rows(self.list))
        self.list.setAccessibleName(tr("Presets"))
        self.list.setMouseTracking(True)
        self.list.currentItemChanged.connect(self._current_changed)
        self._presets: Sequence[Preset] = ()
        self._drafts: Mapping[str, object] = {}
        self._loaded: str | None = None
        self._quiet = False
        head = QHBoxLayout()
        head.setContentsMargins(12, 12, 8, 8)
        head.setSpacing(4)
        head.addWidget(self.search, 1)
        head.addWidget(self.add)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 1, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self.list, 1)
        themes().changed.connect(self.list.viewport().update)

    def show_presets(
        self,
        presets: Sequence[Preset],
        *,
        current: str | None,
        drafts: Mapping[str, object],
        loaded: str | None,
    ) -> None:
        """Show these; `drafts` names those with unsaved changes."""
        self._presets, self._drafts, self._loaded = presets, drafts, loaded
        self._fill(current)

    def current(self) -> str | None:
        """Return the chosen preset's name."""
        item = self.list.currentItem()
        return None if item is None or item.data(NAME) is None else str(item.data(NAME))

    def names(self) -> list[str]:
        """Return the names on screen, in order."""
        items = (self.list.item(row) for row in range(self.list.count()))
        return [str(item.data(NAME)) for item in items if item.data(NAME) is not None]

    def _fill(self, current: str | None = None) -> None:
        current = current or self.current()
        words = self.search.text().casefold().split()
        self._quiet = True
        self.list.clear()
        for title, shipped in ((tr("Mine"), False), (tr("Shipped"), True)):
            fitting = [
                preset
                for preset in self._presets
                if preset.shipped is shipped
                and all(word in f"{preset.name} {preset_reason(preset)}".casefold() for word in words)
            ]
            if not fitting:
                continue
            heading = QListWidgetItem(title)
            heading.setFlags(Qt.ItemFlag.NoItemFlags)
            heading.setData(HEADING, True)
            self.list.addItem(heading)
            for preset in fitting:
                item = self._item(preset)
                self.list.addItem(item)
                if preset.name == current:
                    self.list.setCurrentItem(item)
        self._quiet = False

    def _item(self, preset: Preset) -> QListWidgetItem:
        item = QListWidgetItem(preset.name)
        line = summary(preset.values) if preset.problem is None else tr("cannot be loaded")
        item.setData(NAME, preset.name)
        item.setData(LINE, line)
        item.setData(LOADED, preset.name == self._loaded)
        item.setData(DIRTY, preset.name in self._drafts)
        item.setData(BROKEN, preset.problem is not None)
        told = [preset.name, line]
        if preset.name in self._drafts:
            told.append(tr("unsaved changes"))
        if preset.name == self._loaded:
            told.append(tr("loaded"))
        item.setData(Qt.ItemDataRole.AccessibleTextRole, ", ".join(told))
        item.setToolTip(preset_reason(preset) if preset.problem is None else error_sentence(preset.problem))
        return item

    def _current_changed(self, item: QListWidgetItem | None, _before: QListWidgetItem | None) -> None:
        if not self._quiet and item is not None and item.data(NAME) is not None:
            self.chosen.emit(str(item.data(NAME)))


class _Rows(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        height = theme().metric("list_group" if index.data(HEADING) else "list_row")
        return QSize(100, height)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        look = theme()
        box: QRect = option.rect
        state: Any = option.state
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if index.data(HEADING):
            painter.setFont(look.font("label_strong"))
            painter.setPen(look.color("text2"))
            painter.drawText(box.adjusted(20, 0, -12, -4), Qt.AlignmentFlag.AlignBottom, str(index.data()))
            painter.restore()
            return
        card = QRectF(box).adjusted(8, 1, -8, -1)
        if state & QStyle.StateFlag.State_Selected:
            draw_box(painter, card, radius=look.metric("radius.control"), fill=look.color("bg3"))
        elif state & QStyle.StateFlag.State_MouseOver:
            draw_box(painter, card, radius=look.metric("radius.control"), fill=look.color("bg3", alpha=0.5))
        inside = card.adjusted(12, 5, -12, -5)
        right = inside.right()
        name_font, line_font, small = look.font("control"), look.font("secondary"), look.font("label_strong")
        if index.data(LOADED):
            word = tr("loaded")
            width = QFontMetrics(small).horizontalAdvance(word)
            painter.setFont(small)
            painter.setPen(look.color("ok"))
            painter.drawText(
                QRectF(right - width, inside.top(), width, 18), Qt.AlignmentFlag.AlignVCenter, word
            )
            right -= width + 8
        dot = 14 if index.data(DIRTY) else 0
        name = QFontMetrics(name_font).elidedText(
            str(index.data(NAME)), Qt.TextElideMode.ElideRight, int(right - inside.left() - dot)
        )
        painter.setFont(name_font)
        painter.setPen(look.color("text"))
        painter.drawText(
            QRectF(inside.left(), inside.top(), right - inside.left(), 18),
            Qt.AlignmentFlag.AlignVCenter,
            name,
        )
        if dot:
            painter.setBrush(look.color("accent"))
            painter.setPen(Qt.PenStyle.NoPen)
            left = inside.left() + QFontMetrics(name_font).horizontalAdvance(name) + 7
            painter.drawEllipse(QRectF(left, inside.top() + 6, 6, 6))
        painter.setFont(line_font)
        painter.setPen(look.color("err" if index.data(BROKEN) else "text3"))
        line = QFontMetrics(line_font).elidedText(
            str(index.data(LINE)), Qt.TextElideMode.ElideRight, int(inside.width())
        )
        painter.drawText(
            QRectF(inside.left(), inside.bottom() - 17, inside.width(), 18),
            Qt.AlignmentFlag.AlignVCenter,
            line,
        )
        painter.restore()
