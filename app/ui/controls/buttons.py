"""Buttons: primary, plain, ghost and danger; icon buttons; the switch; buttons that open a menu."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QMenu, QSizePolicy, QWidget

from app.ui.controls.painting import RING, Fade, Interactive, draw_box, draw_inner_ring
from app.ui.icons import paint_icon
from app.ui.theme import Theme, mix, theme

ButtonKind = Literal["primary", "plain", "ghost", "danger"]


class _Pressable(Interactive, QAbstractButton):
    """A button that Enter presses too, not only Space."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.ArrowCursor)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self.click()
            return
        super().keyPressEvent(event)


class Button(_Pressable):
    """A button with a verb on it, optionally an icon before and the shortcut's keys after the word.

    `compact` is 28 px high, else 32. Primary at most once per region; danger only in a confirmation.
    """

    def __init__(
        self,
        text: str,
        parent: QWidget | None = None,
        *,
        kind: ButtonKind = "plain",
        icon_name: str | None = None,
        keys: str = "",
        compact: bool = False,
    ) -> None:
        super().__init__(parent)
        self._kind = kind
        self._icon_name = icon_name
        self._keys = keys
        self._height = theme().metric("control_compact" if compact else "control")
        self.setFont(theme().font("control"))
        # The keys give way where there is no room; the word does not.
        across = QSizePolicy.Policy.Preferred if keys else QSizePolicy.Policy.Minimum
        self.setSizePolicy(across, QSizePolicy.Policy.Fixed)
        self.setText(text)

    @property
    def kind(self) -> ButtonKind:
        return self._kind

    def set_kind(self, kind: ButtonKind) -> None:
        """Change how much the button asks for attention."""
        self._kind = kind
        self.update()

    def set_icon(self, icon_name: str | None) -> None:
        """Change the icon before the word."""
        self._icon_name = icon_name
        self.updateGeometry()
        self.update()

    def setText(self, text: str) -> None:
        # Qt reads & as the mark of a mnemonic; model names and paths carry real ones.
        super().setText(text.replace("&", "&&"))
        self.setAccessibleName(text)
        self.updateGeometry()
        self.update()

    def text(self) -> str:
        return super().text().replace("&&", "&")

    def _keys_width(self) -> int:
        return QFontMetrics(theme().font("caption")).horizontalAdvance(self._keys) + 8 if self._keys else 0

    def sizeHint(self) -> QSize:
        width = QFontMetrics(self.font()).horizontalAdvance(self.text()) + 24 + self._keys_width()
        if self._icon_name:
            width += 22 if self.text() else 4
        return QSize(width, self._height)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint() - QSize(self._keys_width(), 0)

    @property
    def keys_shown(self) -> bool:
        """Whether there is room for the shortcut after the word."""
        return bool(self._keys) and self.width() >= self.sizeHint().width()

    def _look(self, look: Theme) -> tuple[QColor | None, QColor | None, QColor]:
        """Return fill, border and text colour of the present state."""
        hover, down = self.hover_level, self.isDown() or self.isChecked()
        if not self.isEnabled():
            fill = None if self._kind == "ghost" else look.color("bg3")
            return fill, None, look.color("text3")
        match self._kind:
            case "primary":
                fill = look.color("accent_press") if down else None
                fill = fill or mix(look.color("accent"), look.color("accent_hi"), hover)
                return fill, None, look.color("on_accent")
            case "danger":
                fill = mix(look.color("err_lo"), look.color("bg4"), 0.5 if down else 0.35 * hover)
                return fill, None, look.color("err")
            case "ghost":
                text = mix(look.color("text2"), look.color("text"), 1.0 if down else hover)
                if down:
                    return look.color("bg4"), None, text
                return look.color("bg3", alpha=hover) if hover else None, None, text
            case _:
                fill = look.color("bg2") if down else mix(look.color("bg3"), look.color("bg4"), hover)
                return fill, look.color("line2"), look.color("text")

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        box = QRectF(0, (self.height() - self._height) / 2, self.width(), self._height)
        radius = look.metric("radius.control")
        fill, border, color = self._look(look)
        if self.ring_shown:
            draw_inner_ring(painter, box, radius)
            box = box.adjusted(RING, RING, -RING, -RING)
            draw_box(painter, box, radius=radius - 2, fill=fill, border=border)
        else:
            draw_box(painter, box, radius=radius, fill=fill, border=border)
        text_width = QFontMetrics(self.font()).horizontalAdvance(self.text())
        keys_width = self._keys_width() if self.keys_shown else 0
        content = text_width + keys_width + (22 if self._icon_name and text_width else 0)
        if self._icon_name and not text_width:
            content = 16
        left = (self.width() - content) / 2
        if self._icon_name:
            paint_icon(painter, self._icon_name, QRectF(left, (self.height() - 16) / 2, 16, 16), color)
            left += 22
        painter.setFont(self.font())
        painter.setPen(color)
        vertical = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
        painter.drawText(QRectF(left, 0, text_width + 2, self.height()), vertical, self.text())
        if self.keys_shown:
            quiet = QColor(color)
            quiet.setAlphaF(0.75)
            painter.setPen(quiet)
            painter.setFont(look.font("caption"))
            area = QRectF(left + text_width + 8, 0, keys_width, self.height())
            painter.drawText(area, vertical, self._keys)


class IconButton(_Pressable):
    """A square button with an icon alone; `label` is its tooltip and its name to screen readers."""

    def __init__(
        self,
        icon_name: str,
        label: str,
        parent: QWidget | None = None,
        *,
        size: int | None = None,
        icon_size: int = 16,
        color: str = "text2",
        boxed: bool = False,
    ) -> None:
        super().__init__(parent)
        self._icon_name, self._icon_size, self._color, self._boxed = icon_name, icon_size, color, boxed
        side = size if size is not None else theme().metric("icon_button")
        self.setFixedSize(side, side)
        self.set_label(label)

    def set_label(self, label: str) -> None:
        """Change tooltip and accessible name."""
        self.setAccessibleName(label)
        self._usual_tip = label
        if not self.reason:
            self.setToolTip(label)

    def set_icon(self, icon_name: str, color: str | None = None) -> None:
        """Change the icon, and its colour token if given."""
        self._icon_name = icon_name
        self._color = color or self._color
        self.update()

    @property
    def icon_name(self) -> str:
        return self._icon_name

    def sizeHint(self) -> QSize:
        return self.size()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        radius = look.metric("radius.control")
        enabled = self.isEnabled()
        if self._boxed:
            fill = look.color("bg2" if self.isDown() else "bg3")
            fill = fill if self.isDown() or not enabled else mix(fill, look.color("bg4"), self.hover_level)
            draw_box(painter, box, radius=radius, fill=fill, border=look.color("line2"))
        elif self.isDown():
            draw_box(painter, box, radius=radius, fill=look.color("bg4"))
        elif self.hover_level:
            draw_box(painter, box, radius=radius, fill=look.color("bg3", alpha=self.hover_level))
        if self.ring_shown:
            draw_inner_ring(painter, box, radius)
        if not enabled:
            color = look.color("text3", alpha=0.55)
        elif self.isChecked():
            color = look.color("accent")
        else:
            color = mix(look.color(self._color), look.color("text"), self.hover_level)
        inset = (self.width() - self._icon_size) / 2
        area = QRectF(inset, inset, self._icon_size, self._icon_size)
        paint_icon(painter, self._icon_name, area, color)


class Switch(_Pressable):
    """On or off, 32×18, optionally with words beside it that belong to the hit area."""

    def __init__(self, label: str = "", parent: QWidget | None = None, *, show_label: bool = False) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self._shown = label if show_label else ""
        self._knob = Fade(self, "switch")
        self.setFont(theme().font("body"))
        self.setAccessibleName(label)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.toggled.connect(lambda on: self._knob.to(1.0 if on else 0.0))

    def sizeHint(self) -> QSize:
        width, height = theme().pair("switch")
        words = QFontMetrics(self.font()).horizontalAdvance(self._shown) + 8 if self._shown else 0
        return QSize(width + 2 * RING + words, max(24, height + 2 * RING))

    def set_label(self, label: str, *, show: bool = True) -> None:
        """Change the words beside it and its accessible name."""
        self._shown = label if show else ""
        self.setAccessibleName(label)
        self.updateGeometry()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        width, height = look.pair("switch")
        box = QRectF(RING, (self.height() - height) / 2, width, height)
        radius = look.metric("radius.switch")
        level = self._knob.level
        if self.ring_shown:
            draw_box(
                painter,
                box.adjusted(-RING, -RING, RING, RING),
                radius=radius + RING,
                border=look.color("accent_hi"),
                border_width=2,
            )
        if self.isEnabled():
            fill = mix(look.color("bg3"), look.color("accent"), level)
            border = mix(look.color("edge"), look.color("accent"), level)
            knob = mix(look.color("text2"), look.color("on_accent"), level)
        else:
            fill, border, knob = look.color("bg3"), look.color("line2"), look.color("text3")
        draw_box(painter, box, radius=radius, fill=fill, border=border)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(knob)
        size = 10 + 2 * level
        inset = (height - size) / 2
        x = box.left() + inset + level * (width - size - 2 * inset)
        painter.drawEllipse(QRectF(x, box.top() + inset, size, size))
        if self._shown:
            painter.setFont(self.font())
            painter.setPen(look.color("text" if self.isEnabled() else "text3"))
            area = QRectF(box.right() + 8, 0, self.width() - box.right() - 8, self.height())
            vertical = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
            painter.drawText(area, vertical, self._shown)


class Menu(QMenu):
    """A menu with rounded corners in the theme's colours."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowFlags(
            self.windowFlags() | Qt.WindowType.FramelessWindowHint | Qt.WindowType.NoDropShadowWindowHint
        )
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        self.setToolTipsVisible(True)

    def open_below(self, widget: QWidget) -> None:
        """Open under a widget, left edges aligned; Qt keeps it on the screen."""
        self.popup(widget.mapToGlobal(QPoint(0, widget.height() + 4)))


class MenuButton(Button):
    """A button that opens a menu; the chevron says so."""

    def __init__(
        self,
        text: str,
        menu: QMenu,
        parent: QWidget | None = None,
        *,
        kind: ButtonKind = "plain",
        icon_name: str | None = None,
        compact: bool = False,
    ) -> None:
        super().__init__(text, parent, kind=kind, icon_name=icon_name, compact=compact)
        self.menu = menu
        self.clicked.connect(self.open_menu)

    def open_menu(self) -> None:
        """Open the menu under the button."""
        self.menu.popup(self.mapToGlobal(QPoint(0, self.height() + 4)))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self.open_menu()
            return
        super().keyPressEvent(event)

    def _keys_width(self) -> int:
        return 18  # the chevron's

    @property
    def keys_shown(self) -> bool:
        """The chevron always stands after the word, which moves left for it."""
        return True

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        right = self.width() - 12
        color = "text2" if self.isEnabled() else "text3"
        center = QPointF(right - 5, self.height() / 2)
        paint_icon(painter, "chevron-down", QRectF(center.x() - 6, center.y() - 6, 12, 12), color)
