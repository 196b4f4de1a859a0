"""Small parts of messages: versions ‹ 2 / 3 ›, the thought's fold head, attachment chips, the inline editor."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.ui.controls import Button, IconButton, Label, TextArea
from app.ui.controls.painting import Interactive, draw_box, draw_inner_ring
from app.ui.i18n import file_size, tr
from app.ui.icons import paint_icon
from app.ui.theme import theme


class Versions(QWidget):
    """‹ 2 / 3 ›: steps between the versions of a message."""

    stepped = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        self.before = IconButton("chevron-left", tr("Previous version"), self, size=24)
        self.words = Label("", "control", "text2")
        self.after = IconButton("chevron-right", tr("Next version"), self, size=24)
        for part in (self.before, self.words, self.after):
            row.addWidget(part)
        self.before.clicked.connect(lambda: self.stepped.emit(-1))
        self.after.clicked.connect(lambda: self.stepped.emit(1))

    def set_place(self, index: int, count: int) -> None:
        """Show which version this is; hidden while there is only one."""
        self.setVisible(count > 1)
        words = tr("{index} / {count}", index=index + 1, count=count)
        self.words.setText(words)
        self.setAccessibleName(tr("Version {index} of {count}", index=index + 1, count=count))
        self.before.setEnabled(index > 0)
        self.after.setEnabled(index + 1 < count)


class ThoughtHead(Interactive, QAbstractButton):
    """The folded thought's row: bulb, words, chevron."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFont(theme().font("body"))
        self.setFixedHeight(28)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._strong = ""
        self._quiet = ""

    def set_words(self, strong: str, quiet: str) -> None:
        """What it says: how long it thought, and how many tokens that took."""
        if (strong, quiet) == (self._strong, self._quiet):
            return
        wider = len(strong) + len(quiet) != len(self._strong) + len(self._quiet)
        self._strong, self._quiet = strong, quiet
        self.setAccessibleName(f"{strong} {quiet}".strip())
        if wider:
            self.resize(self.sizeHint())
        self.update()

    @property
    def words(self) -> str:
        return f"{self._strong} {self._quiet}".strip()

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        width = metrics.horizontalAdvance(self._strong) + metrics.horizontalAdvance(self._quiet)
        return QSize(width + 22 + 8 + 16 + 12, 28)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
            return
        super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        if self.ring_shown:
            draw_inner_ring(painter, QRectF(self.rect()), look.metric("radius.control"))
        paint_icon(painter, "lightbulb", QRectF(0, 6, 16, 16), "text3")
        painter.setFont(self.font())
        metrics = QFontMetrics(self.font())
        baseline = (self.height() + metrics.ascent() - metrics.descent()) // 2
        painter.setPen(look.color("text" if self.hover_level > 0.5 else "text2"))
        painter.drawText(22, baseline, self._strong)
        x = 22 + metrics.horizontalAdvance(self._strong)
        if self._quiet:
            painter.setPen(look.color("text3"))
            painter.drawText(x + 6, baseline, self._quiet)
            x += 6 + metrics.horizontalAdvance(self._quiet)
        name = "chevron-down" if self.isChecked() else "chevron-right"
        paint_icon(painter, name, QRectF(x + 6, 6, 16, 16), "text3")
        painter.end()


class FileChip(QWidget):
    """An attached file: icon, name, size; with a cross where it can be taken off."""

    removed = Signal()

    def __init__(
        self, name: str, text: str, parent: QWidget | None = None, *, removable: bool = False
    ) -> None:
        super().__init__(parent)
        self._name = name
        self._detail = file_size(len(text.encode("utf-8", "surrogatepass")))
        self.setFixedHeight(28)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(tr("Attached file {name}, {size}", name=name, size=self._detail))
        self.setToolTip(text[:400] + ("…" if len(text) > 400 else ""))
        self.cross: IconButton | None = None
        if removable:
            self.cross = IconButton("close", tr("Take {name} off", name=name), self, size=24, icon_size=12)
            self.cross.clicked.connect(self.removed)
        self.resize(self.sizeHint())

    def _shown_name(self) -> str:
        return QFontMetrics(theme().font("secondary")).elidedText(
            self._name, Qt.TextElideMode.ElideMiddle, 200
        )

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(theme().font("secondary"))
        width = metrics.horizontalAdvance(self._shown_name()) + metrics.horizontalAdvance(self._detail)
        return QSize(8 + 16 + 6 + width + 6 + (26 if self.cross is not None else 10), 28)

    def resizeEvent(self, event: object) -> None:
        if self.cross is not None:
            self.cross.move(self.width() - 26, 2)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        draw_box(
            painter,
            QRectF(self.rect()),
            radius=look.metric("radius.control"),
            fill=look.color("bg3"),
            border=look.color("line2"),
        )
        paint_icon(painter, "file", QRectF(8, 6, 16, 16), "text3")
        painter.setFont(look.font("secondary"))
        metrics = QFontMetrics(painter.font())
        baseline = (self.height() + metrics.ascent() - metrics.descent()) // 2
        painter.setPen(look.color("text"))
        name = self._shown_name()
        painter.drawText(30, baseline, name)
        painter.setPen(look.color("text3"))
        painter.drawText(36 + metrics.horizontalAdvance(name), baseline, self._detail)
        painter.end()


class Editor(QWidget):
    """Writes a message anew. `saved(text, in_place)`; Ctrl+Enter is the primary button, Esc gives up."""

    saved = Signal(str, bool)
    cancelled = Signal()
    resized = Signal()

    def __init__(self, text: str, *, question: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._question = question
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        label = tr("Edit your message") if question else tr("Edit the answer")
        self.area = TextArea(text, self, label=label, min_height=72, max_height=400, style="prose")
        column.addWidget(self.area)
        self.problem = Label("", "secondary", "err", wrap=True)
        self.problem.hide()
        column.addWidget(self.problem)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        self.cancel = Button(tr("Cancel"), self, kind="ghost", compact=True)
        other = tr("Save in place") if question else tr("Save as new version")
        self.other = Button(other, self, compact=True)
        first = tr("Send as new branch") if question else tr("Save")
        self.primary = Button(first, self, kind="primary", keys="Ctrl+Enter", compact=True)
        for button in (self.cancel, self.other, self.primary):
            row.addWidget(button)
        column.addLayout(row)
        self.cancel.clicked.connect(self.cancelled)
        self.primary.clicked.connect(lambda: self._save(in_place=not question))
        self.other.clicked.connect(lambda: self._save(in_place=question))
        self.area.heightChanged.connect(lambda _height: self.resized.emit())

    def _save(self, *, in_place: bool) -> None:
        text = self.area.toPlainText()
        if not text.strip():
            self.show_problem(tr("The message is empty. Write something, or delete it instead."))
            return
        self.setEnabled(False)
        self.saved.emit(text, in_place)

    def show_problem(self, sentence: str) -> None:
        """Say why it could not be saved; the text stays."""
        self.setEnabled(True)
        self.problem.setText(sentence)
        self.problem.show()
        self.resized.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.cancelled.emit()
            return
        control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        if control and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._save(in_place=not self._question)
            return
        super().keyPressEvent(event)
