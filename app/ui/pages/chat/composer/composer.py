"""The composer: what is typed, its files, and the one button that sends or stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.ui.controls import Button, ContextRing, IconButton, Label
from app.ui.controls.painting import draw_box
from app.ui.i18n import error_sentence, tr
from app.ui.pages.chat.composer.chip_row import ChipRow
from app.ui.pages.chat.composer.field import MessageField
from app.ui.pages.chat.conversation.small_parts import FileChip
from app.ui.theme import theme, themes

if TYPE_CHECKING:
    from app.shared.chats import Attachment
    from app.shared.errors import PultError
    from app.ui.operations import Operations


class Composer(QWidget):
    """`submitted` asks for sending; the text stays until `clear_sent`. `stopAsked` while an answer is being written."""

    submitted = Signal()
    stopAsked = Signal()  # noqa: N815 - Qt's naming of signals
    textEdited = Signal()  # noqa: N815
    thinkingChosen = Signal(bool)  # noqa: N815
    branchDropped = Signal()  # noqa: N815
    editLast = Signal()  # noqa: N815

    def __init__(self, operations: Operations, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._operations = operations
        self.attachments: list[Attachment] = []
        self._chips: list[FileChip] = []
        self._pastes = 0
        self._writing = self._sending = False
        self._reason: str | None = None
        self._branch = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 6, 6)
        column.setSpacing(4)
        self._notes = QHBoxLayout()
        self._notes.setSpacing(6)
        self._notes.setContentsMargins(0, 0, 6, 0)
        self.branch_words = Label("", "secondary", "accent")
        self._branch_cross = IconButton(
            "close", tr("Answer at the end of the chat instead"), self, size=24, icon_size=12
        )
        self._branch_cross.clicked.connect(self.branchDropped)
        self._notes.addWidget(self.branch_words)
        self._notes.addWidget(self._branch_cross)
        self._notes.addStretch(1)
        column.addLayout(self._notes)
        self._files = ChipRow(self)
        column.addWidget(self._files)
        self.problem = Label("", "secondary", "err", wrap=True)
        column.addWidget(self.problem)
        self.field = MessageField(self)
        column.addWidget(self.field)
        row = QHBoxLayout()
        row.setSpacing(4)
        self.attach = IconButton("attach", tr("Attach text files…"), self)
        self.attach.clicked.connect(self._choose_files)
        self.thinking = Button(tr("Thinking"), self, kind="ghost", icon_name="lightbulb", compact=True)
        self.thinking.setCheckable(True)
        self.thinking.clicked.connect(self.thinkingChosen)
        self.ring = ContextRing(self)
        self.send = Button(tr("Send"), self, kind="primary", icon_name="arrow-up")
        self.send.clicked.connect(self._pressed)
        row.addWidget(self.attach)
        row.addWidget(self.thinking)
        row.addStretch(1)
        row.addWidget(self.ring)
        row.addSpacing(8)
        row.addWidget(self.send)
        column.addLayout(row)
        self.problem.hide()
        self.field.submitted.connect(self._submit)
        self.field.textChanged.connect(self._edited)
        self.field.filesGiven.connect(self.add_files)
        self.field.longPaste.connect(self._take_paste)
        self.field.editLast.connect(self.editLast)
        self.field.focusMoved.connect(self.update)
        themes().changed.connect(self.update)
        self.set_branch("")
        self._show_button()

    # What is written

    @property
    def text(self) -> str:
        return self.field.toPlainText()

    def set_text(self, text: str) -> None:
        """Put a draft in place, caret at its end."""
        if text != self.text:
            self.field.setPlainText(text)
            cursor = self.field.textCursor()
            cursor.movePosition(cursor.MoveOperation.End)
            self.field.setTextCursor(cursor)

    def set_attachments(self, attachments: Sequence[Attachment]) -> None:
        """Replace the attached files."""
        self.attachments = list(attachments)
        self._chips = []
        for index, each in enumerate(self.attachments):
            chip = FileChip(each.name, each.text, self, removable=True)
            chip.removed.connect(lambda at=index: self._take_off(at))
            self._chips.append(chip)
        self._files.set_chips(self._chips)
        self._edited()
        self.updateGeometry()

    def _take_off(self, index: int) -> None:
        self.set_attachments([each for at, each in enumerate(self.attachments) if at != index])

    def add_files(self, paths: Sequence[str]) -> None:
        """Read text files in the background and attach them; what cannot be read is said under the field."""
        from app.ui.pages.chat.composer.files import read_text_files

        chosen = list(paths)
        self._operations.run(
            self,
            lambda _client: read_text_files(chosen),
            done=lambda read: self.set_attachments([*self.attachments, *read]),
            failed=self.show_error,
        )

    def _take_paste(self, text: str) -> None:
        from app.shared.chats import Attachment

        self._pastes += 1
        name = tr("Pasted text {number}.txt", number=self._pastes)
        self.set_attachments([*self.attachments, Attachment(name=name, text=text)])

    def _choose_files(self) -> None:
        dialog = QFileDialog(self, tr("Attach text files"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(self.add_files)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def clear_sent(self) -> None:
        """What was written has been sent."""
        self._sending = False
        self._pastes = 0
        self.field.setReadOnly(False)
        self.field.clear()
        self.set_attachments(())
        self._show_button()

    def _edited(self) -> None:
        if self.problem.isVisible():
            self.problem.hide()
        self._show_button()
        self.textEdited.emit()

    # State

    def set_writing(self, writing: bool) -> None:
        """While an answer is being written the button stops it."""
        self._writing = writing
        self._show_button()

    def set_reason(self, reason: str | None) -> None:
        """Why nothing can be sent now; None when it can."""
        self._reason = reason
        self._show_button()

    def set_sending(self, sending: bool) -> None:
        """While a message is on its way it cannot be changed; it stays in view until it has arrived."""
        self._sending = sending
        self.field.setReadOnly(sending)
        self._show_button()

    def show_error(self, error: PultError) -> None:
        """Say what went wrong; everything typed is still there."""
        self.set_sending(False)
        self.problem.setText(error_sentence(error.info()))
        self.problem.show()

    def set_thinking(self, on: bool, reason: str | None) -> None:
        """Show the thinking switch as it is in force."""
        self.thinking.setChecked(on)
        self.thinking.set_reason(reason)
        self.thinking.set_icon("lightbulb")

    def set_branch(self, words: str) -> None:
        """Say that the next message branches off an earlier one; empty: it goes to the end."""
        self._branch = words
        self.branch_words.setText(words)
        self.branch_words.setVisible(bool(words))
        self._branch_cross.setVisible(bool(words))

    @property
    def can_send(self) -> bool:
        """Whether pressing Enter would send."""
        something = bool(self.text.strip()) or bool(self.attachments)
        return something and self._reason is None and not self._sending and not self._writing

    def _show_button(self) -> None:
        if self._writing:
            self.send.setText(tr("Stop"))
            self.send.set_icon("stop")
            self.send.set_kind("plain")
            self.send.set_reason(None)
            self.send.setToolTip(tr("Stop the answer (Esc)"))
            return
        self.send.setText(tr("Send"))
        self.send.set_icon("arrow-up")
        self.send.set_kind("primary")
        if self._reason is not None:
            self.send.set_reason(self._reason)
        elif self._sending:
            self.send.set_reason(tr("The message is on its way"))
        elif not self.text.strip() and not self.attachments:
            self.send.set_reason(tr("Write a message first"))
        else:
            self.send.set_reason(None)

    def _pressed(self) -> None:
        if self._writing:
            self.stopAsked.emit()
        else:
            self._submit()

    def _submit(self) -> None:
        if self.can_send:
            self.submitted.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme()
        focused = self.field.hasFocus()
        draw_box(
            painter,
            QRectF(self.rect()),
            radius=look.metric("radius.composer"),
            fill=look.color("bg1"),
            border=look.color("accent" if focused else "line2"),
        )
        painter.end()
