"""A pasted or opened config.json, generation_config.json, tokenizer_config.json or GGUF keys, explained line by line."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QScrollArea, QWidget

from app.shared.errors import BadRequest, PultError
from app.shared.settings import settings
from app.ui.controls import Button, Dialog, Label, RichText, TextArea
from app.ui.forms.words import value_words
from app.ui.i18n import error_sentence, mark, ntr, number, tr
from app.ui.operations import Operations
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.models.hf_config import ExplainedLine, Explanation

WAIT_MS = 300  # after the last letter typed
MOST_SHOWN = 150  # 300 took 13 ms to lay out
MOST_BYTES = 32_000_000
_WORDS = (mark("yes"), mark("no"), mark("none"))


class ExplainDialog(Dialog):
    """`applied` carries the settings that the person takes over into the preset."""

    applied = Signal(dict)

    def __init__(self, operations: Operations, preset: str | None, parent: QWidget) -> None:
        super().__init__(tr("Explain a configuration"), parent, width=720)
        self._operations = operations
        self._values: dict[str, object] = {}
        self._asked = 0
        self.area = TextArea(
            label=tr("Configuration"),
            placeholder=tr(
                "Paste a config.json, generation_config.json or tokenizer_config.json, or GGUF keys"
            ),
            min_height=96,
            max_height=160,
            style="code",
        )
        self.area.textChanged.connect(self._typed)
        self.open_file = Button(tr("Open a file…"), compact=True)
        self.open_file.clicked.connect(self._look_for_file)
        self.summary = Label("", "secondary", "text2", wrap=True)
        self.told = RichText("", "secondary", "text2")
        view = QScrollArea()
        view.setWidgetResizable(True)
        view.setFrameShape(QFrame.Shape.NoFrame)
        view.setMinimumHeight(280)
        view.setWidget(self.told)
        view.viewport().setAutoFillBackground(False)
        row = QHBoxLayout()
        row.addWidget(self.open_file)
        row.addWidget(self.summary, 1)
        self.body.addWidget(self.area)
        self.body.addLayout(row)
        self.body.addWidget(view, 1)
        self.add_button(Button(tr("Close"), kind="ghost"), closes="reject")
        words = tr("Apply to {preset}", preset=preset) if preset is not None else tr("Apply")
        self.apply = self.add_button(Button(words, kind="primary"))
        self.apply.clicked.connect(self._apply)
        self._preset = preset
        self._clock = QTimer(self)
        self._clock.setSingleShot(True)
        self._clock.setInterval(WAIT_MS)
        self._clock.timeout.connect(lambda: self.explain(self.area.toPlainText()))
        self._say_what_applies()
        self.area.setFocus(Qt.FocusReason.OtherFocusReason)

    def explain(self, text: str) -> None:
        """Have this text explained."""
        if not text.strip():
            self._show_problem("")
            return
        self._ask(lambda client: client.explain_config(text))

    def explain_file(self, path: Path) -> None:
        """Have a file explained."""

        def work(client: ServiceClient) -> Explanation:
            try:
                if path.stat().st_size > MOST_BYTES:
                    raise BadRequest(
                        "{path} is too large for a configuration. Choose a config.json.", path=str(path)
                    )
                text = path.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                raise BadRequest(
                    "{path} cannot be read as text: {reason}.", path=str(path), reason=str(error)
                ) from error
            return client.explain_config(text)

        self._ask(work)

    # inside

    def _ask(self, work: Callable[[ServiceClient], Explanation]) -> None:
        self._asked += 1
        asked = self._asked

        def done(found: Explanation) -> None:
            if asked == self._asked:
                self._show(found)

        def failed(error: PultError) -> None:
            if asked == self._asked:
                self._show_problem(error_sentence(error.info()))

        self._operations.run(self, work, done=done, failed=failed)

    def _typed(self) -> None:
        self._clock.start()

    def _look_for_file(self) -> None:
        dialog = QFileDialog(self, tr("Choose a configuration"), "", "JSON (*.json);;*")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.explain_file(Path(path)))
        dialog.open()

    def _show_problem(self, sentence: str) -> None:
        self._values = {}
        self.summary.setText(sentence)
        self.told.set_html("")
        self._say_what_applies()

    def _show(self, found: Explanation) -> None:
        self._values = dict(found.values)
        told = [ntr("{n} line", "{n} lines", len(found.lines) + found.left_out)]
        if found.unknown:
            told.append(ntr("{n} of them not known to Pult", "{n} of them not known to Pult", found.unknown))
        table = settings()
        told += [
            f"{tr(table[key].label)}: {value_words(table[key], value)}" for key, value in found.values.items()
        ]
        self.summary.setText(" · ".join(told))
        self.told.set_html(lambda: _html(found))
        self._say_what_applies()

    def _say_what_applies(self) -> None:
        reason: str | None = None
        if self._preset is None:
            reason = tr("Choose a preset first.")
        elif not self._values:
            reason = tr("Nothing in it is a setting of a preset.")
        self.apply.set_reason(reason)

    def _apply(self) -> None:
        if self._values and self._preset is not None:
            self.applied.emit(self._values)
            self.accept()


def _html(found: Explanation) -> str:
    rows = [_line(line) for line in found.lines[:MOST_SHOWN]]
    rest = len(found.lines) + found.left_out - len(rows)
    if rest:
        rows.append(html.escape(tr("and {count} more", count=number(rest))))
    return "".join(f"<p style='margin: 0 0 8px 0'>{row}</p>" for row in rows)


def _line(line: ExplainedLine) -> str:
    look, table = theme(), settings()
    told = f"<code>{html.escape(line.key)} = {html.escape(line.value)}</code><br>"
    if line.meaning is None:
        quiet = html.escape(tr("Not known to Pult."))
        told += f"<span style='color: {look.hex('text3')}'>{quiet}</span>"
    else:
        values = {
            name: tr(value) if value in _WORDS and isinstance(value, str) else value
            for name, value in line.meaning.values.items()
        }
        told += html.escape(tr(line.meaning.template, **values))
    for key, value in line.values.items():
        words = f"{tr(table[key].label)}: {value_words(table[key], value)}"
        told += f" <span style='color: {look.hex('accent')}'>{html.escape(words)}</span>"
    if line.refused is not None:
        given = line.refused.values
        sentence = html.escape(
            tr(line.refused.template, **{**given, "label": tr(str(given.get("label", "")))})
        )
        told += f" <span style='color: {look.hex('warn')}'>{sentence}</span>"
    return told
