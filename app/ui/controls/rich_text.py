"""A block of rich text exactly as high as its lines: QLabel misjudges the height where `line-height` is set."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QSize, Qt, QUrl, Signal
from PySide6.QtGui import (
    QFont,
    QPalette,
    QResizeEvent,
    QTextBlockFormat,
    QTextCursor,
    QTextOption,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextBrowser, QWidget

from app.ui.controls.fields import field_palette
from app.ui.theme import Theme, theme, themes

_PROPORTIONAL = QTextBlockFormat.LineHeightTypes.ProportionalHeight.value
LINE_PERCENT = {"prose": 130, "body": 125, "secondary": 130, "code": 114}


def document_css(look: Theme) -> str:
    """Return the style sheet of rich text: links, inline code, quotes and tables in the theme's colours."""
    mono = look.font("code").families()[0]
    return (
        f"a {{ color: {look.hex('accent')}; text-decoration: none; }}"
        f"code {{ font-family: '{mono}'; font-size: 12px; color: {look.hex('text')};"
        f" background-color: {look.hex('bg3')}; }}"
        f"blockquote {{ color: {look.hex('text2')}; }}"
        "b, strong { font-weight: 600; } h1, h2, h3, h4, h5, h6 { font-weight: 600; }"
    )


class RichText(QTextBrowser):
    """Selectable rich text without a scroll bar; its height follows its width. Links are sent, never opened here.

    `html` may be a function, called again when the theme changes, for text that carries colours itself.
    """

    linkOpened = Signal(str)  # noqa: N815 - Qt's naming of signals
    heightChanged = Signal(int)  # noqa: N815 - Qt's naming of signals

    def __init__(
        self,
        html: str | Callable[[], str] = "",
        style: str = "prose",
        color: str = "text",
        parent: QWidget | None = None,
        *,
        wrap: bool = True,
    ) -> None:
        super().__init__(parent)
        self._html, self._style, self._color = html, style, color
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setOpenLinks(False)
        self.setOpenExternalLinks(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        if wrap:
            self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(
            QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere if wrap else QTextOption.WrapMode.NoWrap
        )
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.viewport().setAutoFillBackground(False)
        self.document().setDocumentMargin(0)
        self.document().setUndoRedoEnabled(False)
        self.setFont(theme().font(style))
        self.document().setDefaultFont(theme().font(style))
        self.anchorClicked.connect(self._link)
        themes().changed.connect(self._take_theme)
        self._take_theme()

    def set_html(self, html: str | Callable[[], str]) -> None:
        """Replace the text, given as Qt's subset of HTML; what it contains must already be escaped."""
        self._html = html
        self._show()

    def set_color(self, token: str) -> None:
        """Change the colour token of plain text."""
        self._color = token
        self._take_theme()

    def plain_text(self) -> str:
        """Return the text without markup."""
        return self.toPlainText()

    def _take_theme(self) -> None:
        palette = field_palette(self.palette())
        palette.setColor(QPalette.ColorRole.Text, theme().color(self._color))
        self.setPalette(palette)
        self.document().setDefaultStyleSheet(document_css(theme()))
        self._show()

    def _show(self) -> None:
        html = self._html if isinstance(self._html, str) else self._html()
        self.document().setHtml(html)
        cursor = QTextCursor(self.document())
        cursor.select(QTextCursor.SelectionType.Document)
        spacing = QTextBlockFormat()
        spacing.setLineHeight(float(LINE_PERCENT.get(self._style, 125)), _PROPORTIONAL)
        cursor.mergeBlockFormat(spacing)
        self._fit()

    def _fit(self) -> None:
        document = self.document()
        if self.wordWrapMode() != QTextOption.WrapMode.NoWrap:
            document.setTextWidth(max(self.viewport().width(), 40))
        height = int(document.size().height() + 0.999)
        bar = self.horizontalScrollBar()
        if (
            self.wordWrapMode() == QTextOption.WrapMode.NoWrap
            and document.idealWidth() > self.viewport().width()
        ):
            height += bar.sizeHint().height()
        if height != self.minimumHeight() or height != self.maximumHeight():
            self.setFixedHeight(max(height, 1))
            self.heightChanged.emit(height)

    def natural_width(self) -> int:
        """Return the width in pixels that the text needs without wrapping."""
        return int(self.document().idealWidth() + 0.999)

    def sizeHint(self) -> QSize:
        return QSize(320, max(self.minimumHeight(), 1))

    def minimumSizeHint(self) -> QSize:
        return QSize(40, max(self.minimumHeight(), 1))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.document().setDefaultFont(QFont(self.font()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        # The page scrolls, not the block: it always shows all of itself. A wide one still moves sideways.
        if event.angleDelta().x() and self.horizontalScrollBar().maximum() > 0:
            super().wheelEvent(event)
        else:
            event.ignore()

    def _link(self, url: QUrl) -> None:
        self.linkOpened.emit(url.toString())
