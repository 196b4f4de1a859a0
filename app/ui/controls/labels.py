"""Text that is read, not edited: labels, headings, badges, stages, key hints and hairlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QEvent, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPalette, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from app.ui.controls.painting import draw_box
from app.ui.i18n import mark, tr
from app.ui.icons import paint_icon
from app.ui.theme import theme, themes

if TYPE_CHECKING:
    from app.shared.settings import Stage  # it brings pydantic, which would delay the first paint


class Label(QLabel):
    """Plain text in a type step and a colour token; follows the theme. Markup in the text is shown as it is."""

    def __init__(
        self,
        text: str = "",
        style: str = "body",
        color: str = "text",
        parent: QWidget | None = None,
        *,
        wrap: bool = False,
        selectable: bool = False,
    ) -> None:
        super().__init__(parent)
        self._color = color
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFont(theme().font(style))
        self.setWordWrap(wrap)
        if selectable:
            self.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
        self._paint_color()
        themes().changed.connect(self._paint_color)
        self.setText(text)

    def set_color(self, token: str) -> None:
        """Change the colour token."""
        if token != self._color:
            self._color = token
            self._paint_color()

    def set_style(self, style: str) -> None:
        """Change the type step."""
        self.setFont(theme().font(style))

    def _paint_color(self) -> None:
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.WindowText, theme().color(self._color))
        palette.setColor(QPalette.ColorRole.Text, theme().color(self._color))
        self.setPalette(palette)


class ElidedLabel(Label):
    """One line that is cut with … where it does not fit, its whole text then in the tooltip."""

    def __init__(
        self,
        text: str = "",
        style: str = "body",
        color: str = "text",
        parent: QWidget | None = None,
        *,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    ) -> None:
        self._whole = ""
        self._mode = mode
        super().__init__("", style, color, parent)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(24)
        self.setText(text)

    def setText(self, text: str) -> None:
        """Show the text, elided to the present width."""
        self._whole = " ".join(text.split())
        self.setAccessibleName(self._whole)
        self._fit()
        self.updateGeometry()

    def text(self) -> str:
        """Return the whole text."""
        return self._whole

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        return QSize(metrics.horizontalAdvance(self._whole) + 2, metrics.height())

    def minimumSizeHint(self) -> QSize:
        return QSize(24, QFontMetrics(self.font()).height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._fit()

    def _fit(self) -> None:
        shown = QFontMetrics(self.font()).elidedText(self._whole, self._mode, max(self.width(), 24))
        QLabel.setText(self, shown)
        self.setToolTip(self._whole if shown != self._whole else "")


class Hairline(QWidget):
    """The 1 px line between regions."""

    def __init__(
        self, orientation: Qt.Orientation = Qt.Orientation.Horizontal, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        if orientation == Qt.Orientation.Horizontal:
            self.setFixedHeight(1)
            self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        else:
            self.setFixedWidth(1)
            self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().color("line"))


class SectionHeading(QWidget):
    """A section's title with a quiet note at its right end."""

    def __init__(self, text: str, note: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = Label(text, "section")
        self.note = ElidedLabel(note, "secondary", "text2")
        self.note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(8)
        self._row.addWidget(self.title)
        self._row.addWidget(self.note, 1)

    def set_note(self, note: str) -> None:
        """Change the note."""
        self.note.setText(note)

    def add_widget(self, widget: QWidget) -> None:
        """Put a button or the like at the right end."""
        self._row.addWidget(widget)


BadgeKind = Literal["ok", "warn", "err", "accent", "plain"]
_BADGE_ICONS: dict[str, str] = {"ok": "check", "warn": "info", "err": "close"}


class Badge(QWidget):
    """A small tinted word with an icon: a state, never by colour alone. `plain` is an outlined remark without icon."""

    def __init__(
        self,
        text: str,
        kind: BadgeKind = "plain",
        parent: QWidget | None = None,
        *,
        icon_name: str | None = None,
    ) -> None:
        super().__init__(parent)
        self._text, self._kind, self._icon = text, kind, icon_name
        self.setFont(theme().font("label_strong"))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(text)

    def set_state(self, text: str, kind: BadgeKind, icon_name: str | None = None) -> None:
        """Change word, kind and icon together."""
        self._text, self._kind, self._icon = text, kind, icon_name
        self.setAccessibleName(text)
        self.updateGeometry()
        self.update()

    @property
    def text(self) -> str:
        return self._text

    @property
    def kind(self) -> BadgeKind:
        return self._kind

    def _icon_name(self) -> str | None:
        return self._icon if self._icon is not None else _BADGE_ICONS.get(self._kind)

    def sizeHint(self) -> QSize:
        width = QFontMetrics(self.font()).horizontalAdvance(self._text) + 12
        return QSize(width + (16 if self._icon_name() else 0), theme().metric("badge"))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        radius = look.metric("radius.badge")
        if self._kind == "plain":
            draw_box(painter, box, radius=radius, border=look.color("line2"))
            color = "text2"
        else:
            draw_box(painter, box, radius=radius, fill=look.color(f"{self._kind}_lo"))
            color = self._kind
        left = 6
        name = self._icon_name()
        if name is not None:
            paint_icon(painter, name, QRectF(left - 1, (box.height() - 12) / 2, 12, 12), color)
            left += 14
        painter.setPen(look.color(color))
        painter.setFont(self.font())
        area = QRect(left, 0, self.width() - left, self.height())
        painter.drawText(area, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), self._text)


# By the values of `Stage`, which are strings.
_STAGE_WORDS = {
    "reload": (mark("reload"), "reload"),
    "new_context": (mark("new context"), "context"),
    "next_answer": (mark("next answer"), "bolt"),
}
_STAGE_TIPS = {
    "reload": mark("Acts when the model is loaded again"),
    "new_context": mark("Builds the KV cache anew; the weights stay"),
    "next_answer": mark("Acts on the next answer"),
}


class StageBadge(QWidget):
    """When a changed value acts: icon and two words; tinted when the value differs from what is loaded."""

    def __init__(self, stage: Stage, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stage = stage
        self._changed = self._short = False
        self.setFont(theme().font("caption"))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._name()

    def set_short(self, short: bool) -> None:
        """Show the icon alone where there is no room; the words stay in tooltip and accessible name."""
        if short != self._short:
            self._short = short
            self.updateGeometry()
            self.update()

    @property
    def changed(self) -> bool:
        return self._changed

    def set_changed(self, changed: bool) -> None:
        """Say whether this value differs from what is loaded."""
        if changed != self._changed:
            self._changed = changed
            self._name()
            self.update()

    def set_stage(self, stage: Stage) -> None:
        """Change the stage."""
        self._stage = stage
        self._name()
        self.updateGeometry()
        self.update()

    def _name(self) -> None:
        self.setToolTip(tr(_STAGE_TIPS[self._stage]))
        self.setAccessibleName(
            tr("{stage}, differs from what is loaded", stage=self.text()) if self._changed else self.text()
        )

    def text(self) -> str:
        """Return the words shown."""
        return tr(_STAGE_WORDS[self._stage][0])

    def sizeHint(self) -> QSize:
        if self._short:
            return QSize(24, theme().metric("badge"))
        metrics = QFontMetrics(theme().font("label_strong"))
        return QSize(metrics.horizontalAdvance(self.text()) + 28, theme().metric("badge"))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        color = "accent" if self._changed else "text3"
        if self._changed:
            draw_box(painter, box, radius=look.metric("radius.badge"), fill=look.color("accent_lo"))
        paint_icon(painter, _STAGE_WORDS[self._stage][1], QRectF(6, (box.height() - 12) / 2, 12, 12), color)
        if self._short:
            return
        painter.setPen(look.color(color))
        painter.setFont(look.font("label_strong" if self._changed else "caption"))
        area = QRect(22, 0, self.width() - 22, self.height())
        painter.drawText(area, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), self.text())


class KeyHint(QWidget):
    """Keys of a shortcut as small caps side by side: `Ctrl` `K`."""

    def __init__(self, keys: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keys = [key for key in keys.replace("+", " ").split(" ") if key] or [keys]
        self.setFont(theme().font("caption"))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(keys)

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        widths = [max(20, metrics.horizontalAdvance(key) + 10) for key in self._keys]
        return QSize(sum(widths) + 4 * (len(widths) - 1), theme().metric("badge"))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        painter.setFont(self.font())
        metrics = QFontMetrics(self.font())
        left = 0
        for key in self._keys:
            width = max(20, metrics.horizontalAdvance(key) + 10)
            box = QRectF(left, 0, width, self.height())
            draw_box(
                painter,
                box,
                radius=look.metric("radius.badge"),
                fill=look.color("bg3"),
                border=look.color("line2"),
            )
            painter.setPen(look.color("text2"))
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), key)
            left += width + 4


class StatusDot(QWidget):
    """An 8 px dot in a state's colour; always beside the word that says the same."""

    def __init__(self, color: str = "text3", parent: QWidget | None = None, *, size: int = 8) -> None:
        super().__init__(parent)
        self._color = color
        self.setFixedSize(size, size)

    def set_color(self, token: str) -> None:
        """Change the colour token."""
        if token != self._color:
            self._color = token
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme().color(self._color))
        painter.drawEllipse(QRectF(self.rect()))
