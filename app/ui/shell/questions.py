"""A question over the window with two answers: what happens, a verb to do it, and a way back."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.controls import Button, Label
from app.ui.i18n import tr
from app.ui.shell.overlay import Overlay


class Question(Overlay):
    """Asks; Enter takes the focused answer, which is the way back when `danger` is at stake."""

    def __init__(
        self,
        window: QWidget,
        title: str,
        text: str,
        *,
        yes: str,
        done: Callable[[], None],
        danger: bool = False,
    ) -> None:
        super().__init__(window, width=440, title=title)
        self._done_with = done
        inside = QVBoxLayout()
        inside.setContentsMargins(24, 20, 24, 20)
        inside.setSpacing(8)
        inside.addWidget(Label(title, "readout", wrap=True))
        inside.addWidget(Label(text, "body", "text2", wrap=True))
        inside.addSpacing(8)
        row = QHBoxLayout()
        row.addStretch(1)
        self.no = Button(tr("Cancel"))
        self.yes = Button(yes, kind="danger" if danger else "primary")
        row.addWidget(self.no)
        row.addWidget(self.yes)
        inside.addLayout(row)
        self.column.addLayout(inside)
        self.no.clicked.connect(self.dismiss)
        self.yes.clicked.connect(self._accept)
        self._first = self.no if danger else self.yes

    def open(self) -> None:
        super().open()
        self._first.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            (self.yes if self.no.hasFocus() else self.no).setFocus(Qt.FocusReason.TabFocusReason)
            return
        super().keyPressEvent(event)

    def _accept(self) -> None:
        self.dismiss()
        self._done_with()


def ask(
    window: QWidget, title: str, text: str, *, yes: str, done: Callable[[], None], danger: bool = False
) -> Question:
    """Ask a question over `window`; `done` is called if the answer is yes."""
    question = Question(window, title, text, yes=yes, done=done, danger=danger)
    question.open()
    return question
