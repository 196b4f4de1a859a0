"""What the program says: banners that stay, toasts that pass, dialogs that ask, popovers that open at a place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from PySide6.QtCore import QEvent, QPoint, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QEnterEvent, QHideEvent, QKeyEvent, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.controls.buttons import Button, IconButton
from app.ui.controls.labels import Label
from app.ui.controls.painting import draw_box
from app.ui.i18n import tr
from app.ui.icons import paint_icon
from app.ui.theme import theme, themes

BannerKind = Literal["err", "warn", "accent"]
_BANNER_ICONS = {"err": "warning", "warn": "info", "accent": "info"}


class Banner(QWidget):
    """What happened, the values, and one remedy; stays until it is closed or taken away.

    Actions are (words, what to do); the first is a plain button, the others ghosts. `closed` is sent by the cross.
    """

    closed = Signal()

    def __init__(
        self,
        kind: BannerKind,
        title: str,
        text: str = "",
        actions: Sequence[tuple[str, Callable[[], object]]] = (),
        parent: QWidget | None = None,
        *,
        closable: bool = False,
        icon_name: str | None = None,
    ) -> None:
        super().__init__(parent)
        self._kind = kind
        self._icon_name = icon_name
        row = QHBoxLayout(self)
        row.setContentsMargins(44, 10, 12, 10)
        row.setSpacing(8)
        words = QVBoxLayout()
        words.setSpacing(2)
        self.title = Label(title, "section", wrap=True, selectable=True)
        self.text = Label(text, "secondary", "text2", wrap=True, selectable=True)
        words.addWidget(self.title)
        words.addWidget(self.text)
        row.addLayout(words, 1)
        self._actions = QHBoxLayout()
        self._actions.setSpacing(4)
        row.addLayout(self._actions)
        self.buttons: list[Button] = []
        self._close = IconButton("close", tr("Close"), self, icon_size=12)
        self._close.setVisible(closable)
        self._close.clicked.connect(self.closed)
        row.addWidget(self._close)
        self.show_message(kind, title, text, actions)

    @property
    def kind(self) -> BannerKind:
        return self._kind

    def show_message(
        self,
        kind: BannerKind,
        title: str,
        text: str = "",
        actions: Sequence[tuple[str, Callable[[], object]]] = (),
    ) -> None:
        """Replace everything the banner says."""
        self._kind = kind
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.setAccessibleName(f"{title} {text}".strip())
        while (item := self._actions.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.buttons = []
        for index, (verb, act) in enumerate(actions):
            button = Button(verb, kind="plain" if index == 0 else "ghost", compact=True)
            button.clicked.connect(lambda _checked=False, act=act: act())
            self._actions.addWidget(button)
            self.buttons.append(button)
        self.order_focus()
        self.update()

    def order_focus(self, before: QWidget | None = None) -> None:
        """Let Tab go through buttons and cross as they stand, after `before` if one is given."""
        for stop in (*self.buttons, self._close):
            if before is not None:
                QWidget.setTabOrder(before, stop)
            before = stop

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        draw_box(painter, box, radius=look.metric("radius.badge"), fill=look.color(f"{self._kind}_lo"))
        name = self._icon_name or _BANNER_ICONS[self._kind]
        paint_icon(painter, name, QRectF(15, (box.height() - 16) / 2, 16, 16), self._kind)


class Toast(QWidget):
    """A passing remark at the bottom left of `host`: six seconds, pausing under the pointer, at most one act."""

    acted = Signal()
    gone = Signal()

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = host
        self._act: Callable[[], object] | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(44, 8, 8, 8)
        row.setSpacing(16)
        self._icon_name = "info"
        self.label = Label("", "section")
        self.button = Button("", compact=True)
        self.button.clicked.connect(self._do)
        row.addWidget(self.label)
        row.addWidget(self.button)
        self._clock = QTimer(self)
        self._clock.setSingleShot(True)
        self._clock.timeout.connect(self.dismiss)
        self._left_ms = 0
        host.installEventFilter(self)
        self.hide()

    def show_message(
        self,
        text: str,
        *,
        action: str | None = None,
        on_action: Callable[[], object] | None = None,
        icon_name: str = "info",
    ) -> None:
        """Say something; a former remark makes way."""
        self._act = on_action
        self._icon_name = "undo" if action == tr("Undo") else icon_name
        self.label.setText(text)
        self.button.setText(action or "")
        self.button.setVisible(bool(action))
        self.setAccessibleName(text)
        self._place()
        self.show()
        self.raise_()
        self._left_ms = theme().duration("toast_stay")
        self._clock.start(self._left_ms)

    def dismiss(self) -> None:
        """Take the remark away."""
        self._clock.stop()
        if not self.isHidden():
            self.hide()
            self.gone.emit()

    def _do(self) -> None:
        act, self._act = self._act, None
        self.dismiss()
        if act is not None:
            act()
        self.acted.emit()

    def _place(self) -> None:
        host = self._host
        width = min(self.sizeHint().width(), host.width() - 32)
        height = self.sizeHint().height()
        self.setGeometry(16, host.height() - height - 16, width, height)

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and not self.isHidden():
            self._place()
        return False

    def enterEvent(self, event: QEnterEvent) -> None:
        self._left_ms = max(self._clock.remainingTime(), 1_000)
        self._clock.stop()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        if not self.isHidden():
            self._clock.start(self._left_ms)
        super().leaveEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        radius = look.metric("radius.control")
        draw_box(painter, box, radius=radius, fill=look.color("accent_lo"), border=look.color("accent_mid"))
        paint_icon(painter, self._icon_name, QRectF(15, (box.height() - 16) / 2, 16, 16), "accent")


class Dialog(QDialog):
    """A modal question: title, body, a row of buttons; Esc cancels. `open()` shows it without blocking."""

    def __init__(self, title: str, parent: QWidget | None = None, *, width: int = 440) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setModal(True)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(width)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 20)
        column.setSpacing(12)
        self.heading = Label(title, "title", wrap=True)
        column.addWidget(self.heading)
        self.body = QVBoxLayout()
        self.body.setSpacing(8)
        column.addLayout(self.body)
        self._row = QHBoxLayout()
        self._row.setSpacing(8)
        self._row.addStretch(1)
        column.addLayout(self._row)
        self._take_theme()
        themes().changed.connect(self._take_theme)

    def _take_theme(self) -> None:
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.Window, theme().color("bg2"))
        self.setPalette(palette)

    def add_button(self, button: Button, *, closes: Literal["accept", "reject"] | None = None) -> Button:
        """Put a button at the end of the row; `closes` makes it end the dialog that way."""
        self._row.addWidget(button)
        if closes == "accept":
            button.clicked.connect(self.accept)
        elif closes == "reject":
            button.clicked.connect(self.reject)
        return button


def ask(
    parent: QWidget,
    title: str,
    text: str,
    verb: str,
    *,
    on_yes: Callable[[], object],
    danger: bool = False,
) -> Dialog:
    """Ask before something that cannot be undone; `verb` names the act on the button. Returns the open dialog."""
    dialog = Dialog(title, parent)
    if text:
        dialog.body.addWidget(Label(text, "body", "text2", wrap=True))
    dialog.add_button(Button(tr("Cancel"), kind="ghost"), closes="reject")
    yes = dialog.add_button(Button(verb, kind="danger" if danger else "primary"), closes="accept")
    dialog.accepted.connect(lambda: on_yes())
    dialog.open()
    yes.setFocus(Qt.FocusReason.OtherFocusReason)
    return dialog


class Popover(QWidget):
    """A small panel that opens under a control and closes on Esc or a click beside it. `body` is its column."""

    closed = Signal()

    def __init__(self, parent: QWidget | None = None, *, width: int | None = None) -> None:
        super().__init__(
            parent,
            Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint | Qt.WindowType.NoDropShadowWindowHint,
        )
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(12, 12, 12, 12)
        self.body.setSpacing(8)
        if width is not None:
            self.setFixedWidth(width)

    def open_below(self, widget: QWidget, *, align_right: bool = False) -> None:
        """Open under `widget`, kept on its screen."""
        self.adjustSize()
        corner = widget.mapToGlobal(
            QPoint(widget.width() - self.width() if align_right else 0, widget.height() + 4)
        )
        screen = widget.screen().availableGeometry()
        x = max(screen.left() + 4, min(corner.x(), screen.right() - self.width() - 4))
        y = corner.y()
        if y + self.height() > screen.bottom() - 4:
            above = widget.mapToGlobal(QPoint(0, 0)).y() - self.height() - 4
            y = above if above > screen.top() else max(screen.top() + 4, screen.bottom() - self.height() - 4)
        self.move(x, y)
        self.show()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close()
            return
        super().keyPressEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.closed.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        draw_box(
            painter,
            QRectF(self.rect()),
            radius=look.metric("radius.card"),
            fill=look.color("bg2"),
            border=look.color("line2"),
        )
