"""The list of presets: mine, shipped; what differs from loaded has a dot, what is loaded says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from app.shared.engine import SettingValue
from app.shared.presets import Preset
from app.shared.settings import settings
from app.ui.controls import IconButton, Label, SearchField, Surface
from app.ui.controls.painting import draw_box
from app.ui.forms.row import value_words
from app.ui.i18n import error_sentence, tr
from app.ui.theme import theme, themes

PRESET = Qt.ItemDataRole.UserRole + 1
DETAIL = Qt.ItemDataRole.UserRole + 2
EDITED = Qt.ItemDataRole.UserRole + 3
LOADED = Qt.ItemDataRole.UserRole + 4
Index = QModelIndex | QPersistentModelIndex


def summary(values: Mapping[str, SettingValue]) -> str:
    """Return a preset in a few words: context, then what is unusual about it."""
    table = settings()
    words = [value_words(table["context"], values.get("context"))]
    if values.get("rope_scaling") == "yarn":
        words.append(
            "YaRN ×" + value_words(table["yarn_factor"], values.get("yarn_factor")).removesuffix("0")
        )
    if "experts" in values:
        words.append(tr("{count} experts", count=values["experts"]))
    if values.get("moe_cpu_layers"):
        count = value_words(table["moe_cpu_layers"], values["moe_cpu_layers"])
        words.append(tr("{count} MoE layers on CPU", count=count))
    if "gpu_layers" in values:
        words.append(tr("{count} GPU layers", count=values["gpu_layers"]))
    if "kv_k" in values or "kv_v" in values:
        kinds = {str(values.get("kv_k", "f16")), str(values.get("kv_v", "f16"))}
        words.append("/".join(sorted(kinds)))
    if values.get("thinking") is False:
        words.append(tr("no thinking"))
    if "temperature" in values:
        words.append(tr("temp {value}", value=value_words(table["temperature"], values["temperature"])))
    return " · ".join(words)


class _Delegate(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        heading = index.data(PRESET) is None
        return QSize(80, theme().metric("list_group") if heading else theme().metric("list_row"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        look = theme()
        painter.save()
        box = QRectF(option.rect)
        state = option.state
        preset = index.data(PRESET)
        text = str(index.data(Qt.ItemDataRole.DisplayRole))
        left = box.left() + 12
        vertical = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        if preset is None:
            painter.setFont(look.font("label_strong"))
            painter.setPen(look.color("text3"))
            painter.drawText(QRectF(left, box.top() + 4, box.width(), box.height() - 4), vertical, text)
            painter.restore()
            return
        chosen = bool(state & QStyle.StateFlag.State_Selected)
        over = bool(state & QStyle.StateFlag.State_MouseOver)
        if chosen or over:
            draw_box(
                painter, box.adjusted(0, 1, 0, -1), radius=6, fill=look.color("bg3" if chosen else "bg2")
            )
        right = box.right() - 10
        if index.data(LOADED):
            painter.setFont(look.font("label_strong"))
            painter.setPen(look.color("ok"))
            words = tr("loaded")
            width = QFontMetrics(look.font("label_strong")).horizontalAdvance(words)
            painter.drawText(QRectF(right - width, box.top() + 5, width + 1, 20), vertical, words)
            right -= width + 8
        if index.data(EDITED):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(look.color("accent"))
            painter.drawEllipse(QRectF(right - 6, box.top() + 12, 6, 6))
            right -= 12
        painter.setFont(look.font("control"))
        painter.setPen(look.color("text" if not index.data(PRESET).problem else "err"))
        room = int(right - left - 4)
        name = QFontMetrics(look.font("control")).elidedText(text, Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRectF(left, box.top() + 5, room + 2, 20), vertical, name)
        painter.setFont(look.font("caption"))
        painter.setPen(look.color("text3"))
        room = int(box.right() - 8 - left)
        metrics = QFontMetrics(look.font("caption"))
        detail = metrics.elidedText(str(index.data(DETAIL)), Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRectF(left, box.top() + 23, room + 2, 18), vertical, detail)
        painter.restore()


class _View(QListView):
    deletePressed = Signal()  # noqa: N815
    renamePressed = Signal()  # noqa: N815

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Delete:
            self.deletePressed.emit()
        elif event.key() == Qt.Key.Key_F2:
            self.renamePressed.emit()
        else:
            super().keyPressEvent(event)


class PresetList(Surface):
    """The left column. `chosen` tells a preset's name, `wanted` an act by name: new, delete, rename, menu."""

    chosen = Signal(str)
    newWanted = Signal()  # noqa: N815
    deleteWanted = Signal()  # noqa: N815
    renameWanted = Signal()  # noqa: N815
    menuWanted = Signal(str, QPoint)  # noqa: N815

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("bg1", parent, edges="r")
        self._presets: tuple[Preset, ...] = ()
        self._edited: frozenset[str] = frozenset()
        self._loaded: str | None = None
        self._current: str | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 8)
        layout.setSpacing(8)
        head = QHBoxLayout()
        head.setSpacing(8)
        self.search = SearchField(placeholder=tr("Search"))
        self.search.searched.connect(lambda _: self._fill())
        head.addWidget(self.search, 1)
        new = IconButton("plus", tr("New preset"), size=28)
        new.clicked.connect(self.newWanted)
        head.addWidget(new)
        layout.addLayout(head)
        self._model = QStandardItemModel(self)
        self.view = _View()
        self.view.setModel(self._model)
        self.view.setItemDelegate(_Delegate(self.view))
        self.view.setFrameShape(QListView.Shape.NoFrame)
        self.view.setMouseTracking(True)
        self.view.setAccessibleName(tr("Presets"))
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._menu)
        self.view.deletePressed.connect(self.deleteWanted)
        self.view.renamePressed.connect(self.renameWanted)
        self.view.selectionModel().currentChanged.connect(self._moved)
        layout.addWidget(self.view, 1)
        self._nothing = Label(tr("No preset matches."), "secondary", "text3")
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        layout.addWidget(self._nothing)
        self._nothing.hide()
        themes().changed.connect(self.view.viewport().update)

    def show_presets(
        self, presets: Sequence[Preset], *, edited: frozenset[str], loaded: str | None, current: str | None
    ) -> None:
        """Show these presets; the scroll position and the selection stay where they can."""
        told = (tuple(presets), edited, loaded, current)
        if told == (self._presets, self._edited, self._loaded, self._current):
            return
        self._presets, self._edited, self._loaded, self._current = told
        self._fill()

    def _fill(self) -> None:
        wanted = self.search.text().strip().casefold()
        shown = [p for p in self._presets if not wanted or wanted in f"{p.name} {p.description}".casefold()]
        selection = self.view.selectionModel()
        selection.blockSignals(True)
        place = self.view.verticalScrollBar().value()
        self._model.clear()
        for title, group in (
            (tr("Mine"), [p for p in shown if not p.shipped]),
            (tr("Shipped"), [p for p in shown if p.shipped]),
        ):
            if not group:
                continue
            heading = QStandardItem(title)
            heading.setFlags(Qt.ItemFlag.NoItemFlags)
            self._model.appendRow(heading)
            for preset in group:
                self._model.appendRow(self._item(preset))
        selection.blockSignals(False)
        self.view.verticalScrollBar().setValue(place)
        self._select()
        self._nothing.setVisible(not shown and bool(self._presets))

    def _item(self, preset: Preset) -> QStandardItem:
        item = QStandardItem(preset.name)
        item.setData(preset, PRESET)
        detail = error_sentence(preset.problem) if preset.problem is not None else summary(preset.values)
        item.setData(detail, DETAIL)
        item.setData(preset.name in self._edited, EDITED)
        item.setData(preset.name == self._loaded, LOADED)
        lines = [tr(preset.description) if preset.description else "", detail]
        item.setToolTip("\n".join(line for line in lines if line))
        item.setData(f"{preset.name}, {detail}", Qt.ItemDataRole.AccessibleTextRole)
        return item

    def _select(self) -> None:
        selection = self.view.selectionModel()
        selection.blockSignals(True)
        for row in range(self._model.rowCount()):
            if (item := self._model.item(row)).data(PRESET) is not None and item.text() == self._current:
                self.view.setCurrentIndex(item.index())
        selection.blockSignals(False)
        self.view.viewport().update()

    def _moved(self, index: QModelIndex, _: QModelIndex) -> None:
        preset = index.data(PRESET)
        if preset is not None and preset.name != self._current:
            self._current = preset.name
            self.chosen.emit(preset.name)

    def _menu(self, place: QPoint) -> None:
        preset = self.view.indexAt(place).data(PRESET)
        if preset is not None:
            self.menuWanted.emit(preset.name, self.view.viewport().mapToGlobal(place))
