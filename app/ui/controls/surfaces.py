"""Grounds things stand on: plain surfaces, cards, the empty state, the verdict, folding rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from PySide6.QtCore import QEasingCurve, QRectF, QSize, Qt, QVariantAnimation, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.ui.controls.buttons import Button
from app.ui.controls.labels import Badge, ElidedLabel, Label, StatusDot
from app.ui.controls.painting import Interactive, draw_box, draw_inner_ring
from app.ui.icons import paint_icon
from app.ui.theme import theme


class Surface(QWidget):
    """A widget filled with one colour token, optionally with hairlines at its edges: `l`, `t`, `r`, `b`."""

    def __init__(self, color: str = "bg1", parent: QWidget | None = None, *, edges: str = "") -> None:
        super().__init__(parent)
        self._color, self._edges = color, edges

    def set_color(self, token: str) -> None:
        """Change the colour token."""
        self._color = token
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), theme().color(self._color))
        line, width, height = theme().color("line"), self.width(), self.height()
        if "l" in self._edges:
            painter.fillRect(0, 0, 1, height, line)
        if "r" in self._edges:
            painter.fillRect(width - 1, 0, 1, height, line)
        if "t" in self._edges:
            painter.fillRect(0, 0, width, 1, line)
        if "b" in self._edges:
            painter.fillRect(0, height - 1, width, 1, line)


class Card(QWidget):
    """A rounded box for a thing that can be picked up, selected or folded. `body` is its column.

    `marked` gives it the border of the chosen or focused one, `fill` its ground.
    """

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        fill: str | None = "bg2",
        margins: tuple[int, int, int, int] = (16, 12, 16, 12),
        spacing: int = 8,
    ) -> None:
        super().__init__(parent)
        self._fill, self._marked = fill, False
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(*margins)
        self.body.setSpacing(spacing)

    @property
    def marked(self) -> bool:
        return self._marked

    def set_marked(self, marked: bool) -> None:
        """Draw the border of the chosen one, or take it away."""
        if marked != self._marked:
            self._marked = marked
            self.update()

    def set_fill(self, token: str | None) -> None:
        """Change the ground; None leaves the ground below visible."""
        self._fill = token
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        border = look.color("accent_mid" if self._marked else "line2" if look.strong_borders else "line")
        fill = look.color(self._fill) if self._fill else None
        draw_box(painter, QRectF(self.rect()), radius=look.metric("radius.card"), fill=fill, border=border)


class EmptyState(QWidget):
    """What can be done now, with real objects: a title, a sentence and buttons; centred, no picture.

    Actions are (words, what to do); the first is primary.
    """

    def __init__(
        self,
        title: str,
        text: str = "",
        actions: Sequence[tuple[str, Callable[[], object]]] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(8)
        column.addStretch(2)
        self.title = Label(title, "title", wrap=True)
        self.text = Label(text, "body", "text2", wrap=True)
        for label in (self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setMaximumWidth(480)
            label.setMinimumWidth(200)
            column.addWidget(label)
            column.setAlignment(label, Qt.AlignmentFlag.AlignHCenter)
        self.text.setVisible(bool(text))
        self.body = QVBoxLayout()
        self.body.setContentsMargins(0, 8, 0, 0)
        column.addLayout(self.body)
        self._row = QHBoxLayout()
        self._row.setSpacing(8)
        column.addLayout(self._row)
        column.addStretch(3)
        self.buttons: list[Button] = []
        self.set_actions(actions)

    def set_words(self, title: str, text: str = "") -> None:
        """Change title and sentence."""
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))

    def set_actions(self, actions: Sequence[tuple[str, Callable[[], object]]]) -> None:
        """Replace the buttons."""
        while (item := self._row.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self.buttons = []
        self._row.addStretch(1)
        for index, (words, act) in enumerate(actions):
            button = Button(words, kind="primary" if index == 0 else "plain")
            button.clicked.connect(lambda _checked=False, act=act: act())
            self._row.addWidget(button)
            self.buttons.append(button)
        self._row.addStretch(1)


VerdictKind = Literal["ok", "warn", "err"]


class Verdict(QWidget):
    """The forecast's answer: dot and word, what is left, how it was found, and a badge for how sure that is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        head = QHBoxLayout()
        head.setSpacing(8)
        self.dot = StatusDot("ok", size=10)
        self.word = Label("", "verdict")
        self.badge = Badge("", "ok")
        head.addWidget(self.dot)
        head.addWidget(self.word)
        head.addStretch(1)
        head.addWidget(self.badge)
        column.addLayout(head)
        self.headline = Label("", "section", wrap=True)
        self.text = Label("", "secondary", "text3", wrap=True)
        column.addWidget(self.headline)
        column.addWidget(self.text)

    def show_verdict(
        self,
        kind: VerdictKind,
        word: str,
        headline: str,
        text: str = "",
        *,
        badge: str = "",
        badge_kind: Literal["ok", "warn"] = "ok",
    ) -> None:
        """Show a verdict; the parts keep their places whatever it says."""
        self.dot.set_color(kind)
        self.word.setText(word)
        self.headline.setText(headline)
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.badge.set_state(badge, badge_kind)
        self.badge.setVisible(bool(badge))
        self.setAccessibleName(f"{word}. {headline}")


class _FoldHead(Interactive, QAbstractButton):
    def __init__(self, title: str, icon_name: str | None, style: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.summary = ""
        self.turn = 0.0
        self._icon_name, self._style = icon_name, style
        self.setText(title)
        self.setAccessibleName(title)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(theme().metric("control"))

    def sizeHint(self) -> QSize:
        width = QFontMetrics(theme().font(self._style)).horizontalAdvance(self.text()) + 48
        return QSize(width, self.height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
            return
        super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        if self.ring_shown:
            draw_inner_ring(painter, box, look.metric("radius.control"))
        color = "text" if self.hover_level > 0.5 else "text2"
        left = 0.0
        vertical = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
        if self._icon_name:
            paint_icon(painter, self._icon_name, QRectF(left, (box.height() - 16) / 2, 16, 16), color)
            left += 22
        font = look.font(self._style)
        width = min(QFontMetrics(font).horizontalAdvance(self.text()), int(box.width() - left - 24))
        painter.setFont(font)
        painter.setPen(look.color(color))
        shown = QFontMetrics(font).elidedText(self.text(), Qt.TextElideMode.ElideRight, width + 1)
        painter.drawText(QRectF(left, 0, width + 2, box.height()), vertical, shown)
        left += width + 6
        if self.summary:
            font = look.font("secondary")
            space = int(box.width() - left - 24)
            words = QFontMetrics(font).elidedText(self.summary, Qt.TextElideMode.ElideRight, max(space, 0))
            painter.setFont(font)
            painter.setPen(look.color("text3"))
            painter.drawText(QRectF(left, 0, space, box.height()), vertical, words)
            left += QFontMetrics(font).horizontalAdvance(words) + 6
        painter.save()
        painter.translate(left + 6, box.height() / 2)
        painter.rotate(90 * self.turn)
        paint_icon(painter, "chevron-right", QRectF(-6, -6, 12, 12), "text3")
        painter.restore()


class FoldRow(QWidget):
    """A 32 px row that unfolds a widget under it. `toggled` tells whether it is open."""

    toggled = Signal(bool)

    def __init__(
        self,
        title: str,
        summary: str = "",
        parent: QWidget | None = None,
        *,
        icon_name: str | None = None,
        opened: bool = False,
        style: str = "body",
    ) -> None:
        super().__init__(parent)
        self._opened = opened
        self._head = _FoldHead(title, icon_name, style, self)
        self._head.summary = summary
        self._head.turn = 1.0 if opened else 0.0
        self._head.clicked.connect(lambda: self.set_open(not self._opened, tell=True))
        self._content: QWidget | None = None
        self._motion = QVariantAnimation(self)
        self._motion.setEasingCurve(QEasingCurve.Type.OutCubic)
        self._motion.valueChanged.connect(self._step)
        self._motion.finished.connect(self._arrived)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.addWidget(self._head)

    @property
    def head(self) -> QAbstractButton:
        """The row itself, for focus and tests."""
        return self._head

    @property
    def opened(self) -> bool:
        return self._opened

    def set_words(self, title: str, summary: str = "") -> None:
        """Change title and summary."""
        if (title, summary) != (self._head.text(), self._head.summary):
            self._head.setText(title)
            self._head.setAccessibleName(f"{title} {summary}".strip())
            self._head.summary = summary
            self._head.update()

    def set_content(self, content: QWidget) -> None:
        """Give the widget that is unfolded."""
        self._content = content
        content.setVisible(self._opened)
        self._column.addWidget(content)

    def set_open(self, opened: bool, *, tell: bool = False) -> None:
        """Fold or unfold; `tell` sends `toggled`."""
        if opened == self._opened:
            return
        self._opened = opened
        self._motion.stop()
        content, duration = self._content, theme().duration("fold")
        if content is None or duration == 0 or not self.isVisible():
            self._head.turn = 1.0 if opened else 0.0
            self._arrived()
        else:
            full = content.sizeHint().height()
            if content.hasHeightForWidth():
                full = content.heightForWidth(self.width())
            start = content.height() if content.isVisible() else 0
            content.setMaximumHeight(max(start, 0))
            content.setVisible(True)
            self._full = max(full, 1)
            self._motion.setStartValue(float(start))
            self._motion.setEndValue(float(full if opened else 0))
            self._motion.setDuration(duration)
            self._motion.start()
        if tell:
            self.toggled.emit(opened)

    def _step(self, height: object) -> None:
        if self._content is not None and isinstance(height, float):
            self._content.setMaximumHeight(round(height))
            self._head.turn = min(height / self._full, 1.0)
            self._head.update()

    def _arrived(self) -> None:
        if self._content is not None:
            self._content.setMaximumHeight(16_777_215)  # Qt's own "no limit"
            self._content.setVisible(self._opened)
        self._head.turn = 1.0 if self._opened else 0.0
        self._head.update()


class ValueRow(QWidget):
    """A quiet label at the left, its value at the right, the unit one step smaller; values never elide."""

    def __init__(self, label: str, value: str = "", unit: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.label = ElidedLabel(label, "secondary", "text2")
        self.value = Label(value, "control", selectable=False)
        self.unit = Label(unit, "caption", "text3")
        row.addWidget(self.label, 1)
        row.addWidget(self.value)
        row.addWidget(self.unit)
        self.unit.setVisible(bool(unit))
        self.set_value(value, unit)

    def set_value(self, value: str, unit: str = "") -> None:
        """Change value and unit."""
        self.value.setText(value)
        self.unit.setText(unit)
        self.unit.setVisible(bool(unit))
        self.setAccessibleName(f"{self.label.text()}: {value} {unit}".strip())
