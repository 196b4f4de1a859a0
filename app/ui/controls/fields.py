"""Fields that are typed into: one line, search, many lines."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent, QPalette, QResizeEvent
from PySide6.QtWidgets import QFrame, QLineEdit, QPlainTextEdit, QSizePolicy, QWidget

from app.ui.controls.buttons import IconButton
from app.ui.controls.painting import Interactive, draw_box
from app.ui.i18n import tr
from app.ui.icons import paint_icon
from app.ui.theme import theme, themes


def field_palette(palette: QPalette) -> QPalette:
    """Return `palette` with a clear base, so that the field's own painted box shows through."""
    look = theme()
    clear = look.color("bg2")
    clear.setAlpha(0)
    palette.setColor(QPalette.ColorRole.Base, clear)
    palette.setColor(QPalette.ColorRole.Window, clear)
    palette.setColor(QPalette.ColorRole.Text, look.color("text"))
    palette.setColor(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text, look.color("text3"))
    palette.setColor(QPalette.ColorRole.PlaceholderText, look.color("text3"))
    palette.setColor(QPalette.ColorRole.Highlight, look.color("accent"))
    palette.setColor(QPalette.ColorRole.HighlightedText, look.color("on_accent"))
    return palette


def draw_field(
    painter: QPainter, widget: QWidget, *, focused: bool, bad: bool = False, radius: int = 6
) -> None:
    """Draw a field's box over the whole widget: err border when bad, 2 px accent when focused."""
    look = theme()
    box = QRectF(widget.rect())
    if bad:
        border, width = look.color("err"), 2.0 if focused else 1.0
    elif focused:
        border, width = look.color("accent"), 2.0
    else:
        border, width = look.color("line2"), 1.0
    fill = look.color("bg2")
    draw_box(painter, box, radius=radius, fill=fill, border=border, border_width=width)


class TextField(Interactive, QLineEdit):
    """One line of text in a painted box. `set_problem` gives it the err border and a sentence."""

    problemChanged = Signal(str)  # noqa: N815 - Qt's naming of signals

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        *,
        placeholder: str = "",
        label: str = "",
        icon_name: str | None = None,
        compact: bool = False,
        mono: bool = False,
    ) -> None:
        super().__init__(text, parent)
        self._icon_name = icon_name
        self._problem = ""
        self.setFrame(False)
        self.setFont(theme().font("code" if mono else "body"))
        self.setFixedHeight(theme().metric("control_compact" if compact else "control"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(label or placeholder)
        self.setTextMargins(30 if icon_name else 10, 0, 8, 0)
        self._take_theme()
        themes().changed.connect(self._take_theme)

    @property
    def problem(self) -> str:
        """What is wrong with the text, empty when nothing is."""
        return self._problem

    def set_problem(self, sentence: str) -> None:
        """Mark the text as refused and say why; an empty sentence clears the mark."""
        if sentence == self._problem:
            return
        self._problem = sentence
        self.setAccessibleDescription(sentence)
        self.problemChanged.emit(sentence)
        self.update()

    def _take_theme(self) -> None:
        self.setPalette(field_palette(self.palette()))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_field(painter, self, focused=self.hasFocus(), bad=bool(self._problem))
        if self._icon_name:
            paint_icon(painter, self._icon_name, QRectF(9, (self.height() - 16) / 2, 16, 16), "text3")
        painter.end()
        super().paintEvent(event)


class SearchField(TextField):
    """A field with a glass, an optional key hint while empty, and a cross that empties it; Esc empties it too."""

    searched = Signal(str)  # after every change of the text

    def __init__(
        self, placeholder: str = "", parent: QWidget | None = None, *, keys: str = "", label: str = ""
    ) -> None:
        super().__init__("", parent, placeholder=placeholder or tr("Search"), label=label, icon_name="search")
        self._keys = keys
        self._clear = IconButton("close", tr("Empty the search"), self, size=24, icon_size=12)
        self._clear.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._clear.hide()
        self._clear.clicked.connect(self.clear)
        right = QFontMetrics(theme().font("caption")).horizontalAdvance(keys) + 14 if keys else 28
        self.setTextMargins(30, 0, max(right, 28), 0)
        self.textChanged.connect(self._text_changed)

    def _text_changed(self, text: str) -> None:
        self._clear.setVisible(bool(text))
        self.searched.emit(text)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._clear.move(self.width() - 28, (self.height() - 24) // 2)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
            return
        super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._keys and not self.text():
            painter = QPainter(self)
            painter.setFont(theme().font("caption"))
            painter.setPen(theme().color("text3"))
            area = QRectF(self.rect()).adjusted(0, 0, -10, 0)
            painter.drawText(
                area, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight), self._keys
            )


class TextArea(Interactive, QPlainTextEdit):
    """Many lines of plain text; grows with its text from `min_height` to `max_height`, then scrolls."""

    submitted = Signal()  # Enter without Shift, when `submits` is on
    heightChanged = Signal(int)  # noqa: N815 - Qt's naming of signals

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        *,
        placeholder: str = "",
        label: str = "",
        min_height: int = 72,
        max_height: int = 240,
        style: str = "body",
        boxed: bool = True,
        submits: bool = False,
    ) -> None:
        super().__init__(parent)
        self._boxed, self._submits = boxed, submits
        self._min_height, self._max_height = min_height, max_height
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFont(theme().font(style))
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(label or placeholder)
        self.setTabChangesFocus(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        margin = 6 if boxed else 0
        self.setViewportMargins(
            margin, margin - 2 if boxed else 0, 2 if boxed else 0, margin - 2 if boxed else 0
        )
        self.viewport().setAutoFillBackground(False)
        self._take_theme()
        themes().changed.connect(self._take_theme)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self.setPlainText(text)
        self._fit()

    def set_height_limits(self, low: int, high: int) -> None:
        """Change between which heights the area grows."""
        self._min_height, self._max_height = low, high
        self._fit()

    def _take_theme(self) -> None:
        self.setPalette(field_palette(self.palette()))

    def _fit(self) -> None:
        # QPlainTextDocumentLayout measures its height in lines, wrapped ones included.
        lines = self.document().documentLayout().documentSize().height()
        margins = self.viewportMargins()
        wanted = round(lines * QFontMetrics(self.font()).lineSpacing() + 2 * self.document().documentMargin())
        wanted += margins.top() + margins.bottom()
        height = min(max(wanted, self._min_height), self._max_height)
        policy = (
            Qt.ScrollBarPolicy.ScrollBarAsNeeded
            if wanted > self._max_height
            else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        self.setVerticalScrollBarPolicy(policy)
        if height != self.height() or self.minimumHeight() != height:
            self.setFixedHeight(height)
            self.heightChanged.emit(height)

    def sizeHint(self) -> QSize:
        return QSize(240, self._min_height)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if self._submits and enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.submitted.emit()
            return
        super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        # The frame of a scroll area paints on the widget itself, not on its viewport.
        if event.type() == QEvent.Type.Paint and self._boxed:
            painter = QPainter(self)
            draw_field(painter, self, focused=self.hasFocus())
            painter.end()
            return True
        return super().event(event)
