"""The model's message on screen, while it is being written and after."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRect, QTimer, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.ui.controls import Banner, ElidedLabel, IconButton, Label, ProgressLine, StatusDot
from app.ui.i18n import clock, full_moment, ntr, percent, tr
from app.ui.pages.chat.conversation.facts import (
    Fact,
    FactsLine,
    all_facts,
    facts_of,
    live_facts,
    seconds_words,
)
from app.ui.pages.chat.conversation.message_view import QUIET_STYLE, ROW_PX, MessageView
from app.ui.pages.chat.conversation.small_parts import ThoughtHead, Versions
from app.ui.pages.chat.prose import ProseView
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.shared.chats import Message
    from app.ui.controls.notices import BannerKind
    from app.ui.pages.chat.live import LiveAnswer

    _StateWords = tuple[BannerKind, str, str, list[tuple[str, str]]]

_THOUGHT_INDENT = 22


class AnswerView(MessageView):
    """The model's message on bare ground: name, thought, text, tool calls, state, one line of facts."""

    thoughtToggled = Signal(str, bool)  # noqa: N815 - Qt's naming of signals

    def __init__(
        self,
        message: Message,
        live: LiveAnswer | None,
        parent: QWidget | None = None,
        *,
        opened: bool = False,
        model_name: str | None = None,
    ) -> None:
        super().__init__(message, parent)
        self._live: LiveAnswer | None = None
        self._model_name = model_name  # of an answer that does not know its model yet
        self._dot = StatusDot("accent", self)
        self._name = ElidedLabel("", "section", "text", self)
        self._time = Label("", "secondary", "text3", self)
        self._thought_head = ThoughtHead(self)
        self._thought_head.setChecked(opened)
        self._thought_head.toggled.connect(self._toggle_thought)
        self._thought: ProseView | None = None
        self._text = ProseView(self)
        self._text.grown.connect(self.resized)
        self._calls: ProseView | None = None
        self._progress = ProgressLine(tr("Reading the prompt"), self)
        self._waiting = Label("", "secondary", "text3", self)
        self._banner: Banner | None = None
        self._banner_words: _StateWords | None = None
        self._facts = FactsLine(self)
        self._versions = Versions(self)
        self._versions.stepped.connect(lambda step: self.stepped.emit(self.message.id, step))
        self._continue = self._button("play", tr("Continue this answer"), "continue")
        self._buttons = [
            self._continue,
            self._button("copy", tr("Copy this answer"), "copy"),
            self._button("reload", tr("Answer again"), "regenerate"),
            self._button("branch", tr("Branch off here"), "branch"),
            self._button("pencil", tr("Edit this answer"), "edit"),
        ]
        self._more = IconButton("more", tr("More"), self, size=ROW_PX)
        self._more.clicked.connect(lambda: self.menu().open_below(self._more))
        self._ticking = QTimer(self)
        self._ticking.setInterval(100)
        self._ticking.timeout.connect(self._tick)
        self.set_message(message, live)

    @property
    def prose(self) -> Sequence[ProseView]:
        if self.editor is not None:
            return ()
        thought = (self._thought,) if self._thought is not None and self._thought_head.isChecked() else ()
        calls = (self._calls,) if self._calls is not None else ()
        return (*thought, self._text, *calls)

    @property
    def text_view(self) -> ProseView:
        """The answer's text."""
        return self._text

    @property
    def facts_words(self) -> str:
        """The facts line as text."""
        return self._facts.words

    def set_message(self, message: Message, live: LiveAnswer | None) -> None:
        self.message = message
        writing = message.state == "writing"
        self._live = live if writing else None
        told = message.facts.model if message.facts is not None else None
        name = told or (self._model_name if writing else None) or tr("Answer")
        self._name.setText(name)
        self._time.setText(clock(message.created_at))
        self._time.setToolTip(full_moment(message.created_at))
        self._text.set_text(message.text, growing=writing)
        self._text.setAccessibleName(tr("Answer"))
        self._show_thought()
        self._show_calls()
        self._show_state()
        self._show_facts()
        self._versions.set_place(message.sibling_index, message.sibling_count)
        if writing and not self._ticking.isActive():
            self._ticking.start()
        elif not writing:
            self._ticking.stop()
        self._show_parts()

    def grow(self, message: Message, live: LiveAnswer) -> None:
        """More text came; everything that does not move with it stays untouched."""
        began = bool(message.text) != bool(self.message.text) or bool(message.thought) != bool(
            self.message.thought
        )
        self.message, self._live = message, live
        self._text.set_text(message.text, growing=True)
        self._show_thought()
        self._show_facts()
        if began or live.prefill_fraction is not None:
            self._show_state()
            self._show_parts()

    def _show_thought(self) -> None:
        thought = self.message.thought
        if not thought:
            return
        if self._thought_head.isChecked():
            if self._thought is None:
                self._thought = ProseView(self, style=QUIET_STYLE)
                self._thought.setAccessibleName(tr("Thought"))
                self._thought.grown.connect(self.resized)
                self._thought.show()
            self._thought.set_text(thought, growing=self._live is not None and self._live.thinking)
        self._word_thought()

    def _word_thought(self) -> None:
        timings = self.message.facts.timings if self.message.facts is not None else None
        quiet = ""
        if self._live is not None:
            seconds = self._live.thought_so_far_seconds(time.monotonic())
            words = tr("Thinking") if self._live.thinking else tr("Thought")
            if seconds is not None:
                told = seconds_words(seconds, decimals=1)
                thinking = self._live.thinking
                words = (
                    tr("Thinking for {time}", time=told) if thinking else tr("Thought for {time}", time=told)
                )
            if self._live.thinking and self._live.tokens:
                quiet = "· " + ntr("{n} token", "{n} tokens", self._live.tokens)
        else:
            seconds = timings.thought_seconds if timings is not None else None
            words = (
                tr("Thought for {time}", time=seconds_words(seconds, decimals=1))
                if seconds is not None
                else tr("Thought")
            )
            if timings is not None and timings.thought_tokens:
                quiet = "· " + ntr("{n} token", "{n} tokens", timings.thought_tokens)
        self._thought_head.set_words(words, quiet)

    def _toggle_thought(self, opened: bool) -> None:
        if opened:
            self._show_thought()
        if self._thought is not None:
            self._thought.setVisible(opened and self.editor is None)
        self.thoughtToggled.emit(self.message.id, opened)
        self.resized.emit()

    def _show_calls(self) -> None:
        calls = self.message.tool_calls
        if not calls:
            if self._calls is not None:
                self._calls.deleteLater()
                self._calls = None
            return
        if self._calls is None:
            self._calls = ProseView(self)
            self._calls.setAccessibleName(tr("Tool calls"))
        self._calls.set_text("\n\n".join(_call_text(call.name, call.arguments) for call in calls))

    def _show_state(self) -> None:
        """The banner of an answer that did not end well; the prefill while there is no text yet."""
        message = self.message
        told = _state_words(message)
        if told != self._banner_words:
            self._banner_words = told
            if self._banner is not None:
                self._banner.deleteLater()
                self._banner = None
            if told is not None:
                kind, title, text, actions = told
                acts = [
                    (words, lambda what=action: self.asked.emit(what, self.message.id))
                    for words, action in actions
                ]
                self._banner = Banner(kind, title, text, acts, self)
                self._banner.show()
        live = self._live
        waiting = live is not None and not message.text and not message.thought
        self._waiting.setVisible(waiting)
        fraction = live.prefill_fraction if live is not None else None
        self._progress.setVisible(waiting and fraction is not None and fraction < 1.0)
        if waiting and live is not None:
            if fraction is not None and fraction < 1.0:
                self._progress.set_share(fraction)
                self._waiting.setText(tr("Reading the prompt, {share}", share=percent(fraction)))
            else:
                self._waiting.setText(tr("Waiting for the first token"))

    def _show_facts(self) -> None:
        if self._live is not None:
            self._facts.set_facts(live_facts(self._live))
            self._facts.setToolTip("")
        elif self.message.facts is not None:
            stopped = [Fact(tr("stopped"))] if self.message.state == "stopped" else []
            self._facts.set_facts([*facts_of(self.message.facts), *stopped])
            self._facts.setToolTip(all_facts(self.message.facts))
        else:
            self._facts.set_facts([])

    def _tick(self) -> None:
        """Ten times a second: the time of the thought moves even while no text comes."""
        if self._live is not None and self._live.thinking:
            self._word_thought()

    def _show_parts(self) -> None:
        editing, writing = self.editor is not None, self._live is not None
        self._thought_head.setVisible(bool(self.message.thought))
        if self._thought is not None:
            self._thought.setVisible(self._thought_head.isChecked() and not editing)
        self._text.setVisible(not editing and bool(self.message.text))
        if self._calls is not None:
            self._calls.setVisible(not editing)
        for button in (*self._buttons, self._more):
            button.setVisible(not editing and not writing)
        self._continue.setVisible(not editing and not writing and _ended_early(self.message))
        self._facts.setVisible(not editing)
        self._versions.setVisible(not editing and self.message.sibling_count > 1)

    def lay_out(self, width: int) -> int:
        self._width = width
        self._dot.move(0, 6)
        time_width = self._time.sizeHint().width()
        self._name.setGeometry(16, 0, max(40, width - 24 - time_width), 20)
        self._time.setGeometry(width - time_width, 0, time_width, 20)
        top = 26
        if self.message.thought:
            size = self._thought_head.sizeHint()
            self._thought_head.setGeometry(0, top, min(size.width(), width), size.height())
            top += size.height() + 4
            if self._thought is not None and self._thought_head.isChecked() and self.editor is None:
                inner = width - _THOUGHT_INDENT
                height = self._thought.height_for(inner)
                self._thought.setGeometry(_THOUGHT_INDENT, top, inner, height)
                top += height + 10
        if self.editor is not None:
            height = self._editor_height(width)
            self.editor.setGeometry(0, top, width, height)
            return top + height
        if self.message.text:
            height = self._text.height_for(width)
            self._text.setGeometry(0, top, width, height)
            top += height + 8
        if self._calls is not None:
            height = self._calls.height_for(width)
            self._calls.setGeometry(0, top, width, height)
            top += height + 8
        if self._live is not None and not self.message.text and not self.message.thought:
            self._waiting.setGeometry(0, top, width, 20)
            self._progress.setGeometry(0, top + 24, min(320, width), self._progress.height())
            top += 32
        if self._banner is not None:
            height = self._banner.heightForWidth(width) if self._banner.hasHeightForWidth() else 0
            height = max(height, self._banner.minimumSizeHint().height())
            self._banner.setGeometry(0, top, width, height)
            top += height + 8
        return self._lay_out_facts(width, top)

    def _lay_out_facts(self, width: int, top: int) -> int:
        x = width
        if self._live is None:
            x = width + 4
            for button in (self._more, *reversed(self._buttons)):
                if button is self._continue and not _ended_early(self.message):
                    continue
                x -= ROW_PX + 4
                button.move(x, top)
        if self.message.sibling_count > 1:
            size = self._versions.sizeHint()
            x -= size.width() + 10
            self._versions.setGeometry(x, top, size.width(), ROW_PX)
        self._facts.setGeometry(0, top, max(0, x - 10), ROW_PX)
        return top + ROW_PX

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._thought is None or not self._thought.isVisible():
            return
        painter = QPainter(self)
        bar = QRect(QPoint(7, self._thought.y()), QPoint(8, self._thought.geometry().bottom()))
        painter.fillRect(bar, QColor(theme().color("line2")))
        painter.end()

    def _actions(self) -> list[tuple[str, str]]:
        if self._live is not None:
            return [("copy", tr("Copy")), ("stop", tr("Stop"))]
        return [
            ("copy", tr("Copy")),
            ("copy_plain", tr("Copy without Markdown")),
            ("regenerate", tr("Answer again")),
            ("continue", tr("Continue")),
            ("edit", tr("Edit…")),
            ("branch", tr("Branch off here")),
            ("", ""),
            ("delete", tr("Delete with what follows")),
        ]


def _call_text(name: str, arguments: str) -> str:
    import json

    try:
        shown = json.dumps(json.loads(arguments), indent=2, ensure_ascii=False)
    except ValueError:
        shown = arguments  # a model may write what is no JSON: shown as it is
    longest = max((len(run) for run in shown.split() if set(run) == {"`"}), default=0)
    fence = "`" * max(3, longest + 1)
    return tr("Calls the tool") + f" `{name}`\n\n{fence}json\n{shown}\n{fence}"


def _ended_early(message: Message) -> bool:
    """Whether going on makes sense at once: stopped by hand, or by the token limit."""
    limited = message.facts is not None and message.facts.finish_reason == "length"
    return bool(message.text) and (message.state == "stopped" or limited)


def _state_words(message: Message) -> _StateWords | None:
    """Return kind, title, text and buttons of an answer that did not end well; None for the others."""
    go_on = [(tr("Continue"), "continue")] if message.text else []
    again = [(tr("Answer again"), "regenerate")]
    match message.state:
        case "failed":
            sentence = message.facts.error if message.facts is not None else None
            return ("err", tr("The answer failed"), sentence or tr("The log has the details."), again)
        case "cut_off":
            text = tr("Pult ended while this was being written. What had arrived is kept.")
            return ("warn", tr("Cut off"), text, go_on or again)
        case _:
            return None
