"""What the reading column shows before the first message: what can be done now, with real objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.shared import paths
from app.shared.engine import EngineStatus
from app.ui.controls import Button, Label, ProgressLine
from app.ui.controls.painting import Interactive, draw_box, draw_inner_ring
from app.ui.i18n import mark, percent, tr
from app.ui.icons import paint_icon
from app.ui.theme import mix, theme

if TYPE_CHECKING:
    from app.shared.engine import EngineState

GUIDE_QUESTIONS = (
    mark("Does the number of experts change the speed?"),
    mark("How big is the KV cache?"),
    mark("Should flash attention be on?"),
    mark("How do I see how full the context is?"),
)


class Question(Interactive, QAbstractButton):
    """A question that can be asked with one click."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setText(text.replace("&", "&&"))
        self.setAccessibleName(text)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFont(theme().font("body"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(QFontMetrics(self.font()).horizontalAdvance(self.text()) + 48, 40)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look, box = theme(), QRectF(self.rect())
        radius = look.metric("radius.card")
        fill = mix(look.color("bg2"), look.color("bg3"), 1.0 if self.isDown() else self.hover_level)
        draw_box(painter, box, radius=radius, fill=fill, border=look.color("line2"))
        if self.ring_shown:
            draw_inner_ring(painter, box, radius)
        painter.setFont(self.font())
        painter.setPen(look.color("text"))
        shown = QFontMetrics(self.font()).elidedText(
            self.accessibleName(), Qt.TextElideMode.ElideRight, self.width() - 48
        )
        area = box.adjusted(14, 0, -34, 0)
        painter.drawText(area, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), shown)
        icon = QRectF(box.right() - 28, (box.height() - 16) / 2, 16, 16)
        paint_icon(painter, "arrow-up", icon, "text3")
        painter.end()


class StartView(QWidget):
    """`asked(question)` when a question was clicked; `loadGuide`, `chooseModel` for the buttons."""

    asked = Signal(str)
    loadGuide = Signal()  # noqa: N815 - Qt's naming of signals
    chooseModel = Signal()  # noqa: N815

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(30, 24, 30, 24)
        column.setSpacing(8)
        column.addStretch(2)
        holder = QWidget()
        holder.setMaximumWidth(520)
        inner = QVBoxLayout(holder)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(8)
        self.title = Label("", "display", wrap=True)
        self.text = Label("", "body", "text2", wrap=True)
        self.progress = ProgressLine(tr("Loading"))
        inner.addWidget(self.title)
        inner.addWidget(self.text)
        inner.addWidget(self.progress)
        inner.addSpacing(8)
        row = QHBoxLayout()
        row.setSpacing(8)
        self.guide = Button(tr("Load the guide"), kind="primary")
        self.choose = Button(tr("Choose a model…"), keys="Ctrl+L")
        row.addWidget(self.guide)
        row.addWidget(self.choose)
        row.addStretch(1)
        inner.addLayout(row)
        self.questions = [Question(tr(words)) for words in GUIDE_QUESTIONS]
        for question in self.questions:
            inner.addWidget(question)
            question.clicked.connect(lambda _=False, of=question: self.asked.emit(of.accessibleName()))
        self.guide.clicked.connect(self.loadGuide)
        self.choose.clicked.connect(self.chooseModel)
        line = QHBoxLayout()
        line.addStretch(1)
        line.addWidget(holder, 20)
        line.addStretch(1)
        column.addLayout(line)
        column.addStretch(3)
        self._guide_there = paths.guide_model().is_file()

    def show_engine(self, engine: EngineState | None, *, temporary: bool) -> None:
        """Say what can be done in the engine's present state."""
        model = engine.model if engine is not None else None
        status = engine.status if engine is not None else None
        loading = status == EngineStatus.LOADING
        nothing = model is None and not loading and engine is not None
        guide = model is not None and model.path is not None and model.path == str(paths.guide_model())
        self.progress.setVisible(loading)
        self.guide.setVisible(nothing and self._guide_there)
        self.choose.setVisible(nothing)
        self.choose.set_kind("plain" if self._guide_there else "primary")
        for question in self.questions:
            question.setVisible(guide)
        if engine is None:
            title, text = tr("Starting"), tr("The service is starting; models and chats come with it.")
        elif loading:
            title = tr("Loading {name}", name=engine.loading or "")
            share = engine.progress
            text = percent(share) if share is not None else tr("You can write meanwhile.")
            self.progress.set_share(share)
        elif model is None:
            title = tr("No model is loaded")
            text = tr("Choose a GGUF file, or drop one onto the window.")
            if self._guide_there:
                text = (
                    tr("The guide is a small model that comes with Pult and answers questions about it.")
                    + " "
                    + text
                )
        elif guide:
            title = tr("Ask the guide")
            text = tr("A small model about this program. It answers questions such as these:")
        else:
            title = tr("{name} is ready", name=model.name)
            text = tr("Write the first message below.")
        if temporary and model is not None:
            text = tr("This chat is temporary: it is gone when Pult ends.") + " " + text
        self.title.setText(title)
        self.text.setText(text)
