"""A panel over the window: palette, picker, sheets, questions. Esc and a click beside it close it; focus goes back."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from app.ui.controls.painting import draw_box
from app.ui.theme import theme, themes


class Overlay(QWidget):
    """Covers its window and holds one panel. It deletes itself when closed.

    `at`: the panel's top left corner hangs there; without it the panel stands in the middle, `top` from the edge.
    """

    closed = Signal()

    def __init__(
        self,
        window: QWidget,
        *,
        width: int,
        title: str,
        top: int | None = None,
        at: QPoint | None = None,
        dim: bool = True,
    ) -> None:
        super().__init__(window)
        self._host = window
        self._wanted_width, self._top, self._at, self._dim = width, top, at, dim
        self._done = False
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setAccessibleName(title)
        self.panel = _Panel(self)
        self.panel.setAccessibleName(title)
        self.column = QVBoxLayout(self.panel)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(0)
        self._before = QApplication.focusWidget()
        window.installEventFilter(self)
        themes().changed.connect(self.update)

    def open(self) -> None:
        """Show it over everything else in the window."""
        self.setGeometry(self._host.rect())
        self.show()
        self.raise_()
        self.place()

    def dismiss(self) -> None:
        """Close it and give the focus back."""
        if self._done:
            return
        self._done = True
        self._host.removeEventFilter(self)
        before = self._before
        self.closed.emit()
        self.close()
        if before is not None and before.isVisible():
            before.setFocus(Qt.FocusReason.OtherFocusReason)

    def forget_focus(self) -> None:
        """What was chosen moves the focus itself: do not give it back."""
        self._before = None

    def most_height(self) -> int:
        """The height that the panel may take at most."""
        top = self._at.y() if self._at is not None else (self._top if self._top is not None else 48)
        return self.height() - top - 24

    def place(self) -> None:
        """Lay the panel out anew after its contents changed."""
        width = min(self._wanted_width, self.width() - 32)
        self.panel.setFixedWidth(width)
        wished = self.panel.sizeHint().height()
        if self.panel.hasHeightForWidth():
            wished = max(wished, self.panel.heightForWidth(width))
        height = min(wished, self.most_height())
        if self._at is not None:
            x = min(max(self._at.x(), 8), self.width() - width - 8)
            y = self._at.y()
        else:
            x = (self.width() - width) // 2
            y = self._top if self._top is not None else max(32, (self.height() - height) // 3)
        self.panel.setGeometry(x, y, width, height)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._host and event.type() == QEvent.Type.Resize:
            self.setGeometry(self._host.rect())
            self.place()
        return False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.panel.geometry().contains(event.position().toPoint()):
            self.dismiss()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.dismiss()
            return
        event.accept()

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Keep the keyboard inside: what lies under the panel cannot be seen to have the focus."""
        inside = [
            child
            for child in self.panel.findChildren(QWidget)
            if child.isVisible() and child.isEnabled() and child.focusPolicy() & Qt.FocusPolicy.TabFocus
        ]
        if not inside:
            return True
        now = QApplication.focusWidget()
        place = inside.index(now) if now in inside else (-1 if forward else 0)
        reason = Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason
        inside[(place + (1 if forward else -1)) % len(inside)].setFocus(reason)
        return True

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._dim:
            painter = QPainter(self)
            painter.fillRect(self.rect(), QColor(0, 0, 0, 110 if theme().dark else 50))


class _Panel(QWidget):
    def paintEvent(self, event: QPaintEvent) -> None:
        painter, look = QPainter(self), theme()
        draw_box(
            painter,
            QRectF(self.rect()),
            radius=look.metric("radius.card"),
            fill=look.color("bg2"),
            border=look.color("line2"),
        )

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()
