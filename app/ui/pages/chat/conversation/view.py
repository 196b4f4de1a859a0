"""The scrolling column of messages. Only messages near the screen are widgets; the others are heights.

The place a person reads stays where it is: while heights change above it, the first visible message keeps its
distance to the top; at the end the column follows the answer until the person scrolls away from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QMouseEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QAbstractScrollArea, QAbstractSlider, QApplication, QFrame, QWidget

from app.ui.controls import Button
from app.ui.i18n import tr
from app.ui.pages.chat.conversation.answer_view import AnswerView
from app.ui.pages.chat.conversation.message_view import MessageView, NoteView
from app.ui.pages.chat.conversation.question_view import QuestionView
from app.ui.pages.chat.conversation.selection import Anchor, Selection
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.shared.chats import Message
    from app.ui.pages.chat.session import ChatSession

GAP_PX = 18
TOP_PX = 12
BOTTOM_PX = 12
MARGIN_PX = 30
KEPT_SCREENS = 2.5  # farther from the screen than this a message is only a height again
AHEAD_PX = 400
_NEAR_END_PX = 24
_DRAG_SCROLL_MS = 30


@dataclass(slots=True)
class Entry:
    """A message, its height (guessed until it was laid out at `width`), its widget while it has one."""

    message: Message
    height: int
    width: int = 0
    view: MessageView | None = None


class ConversationView(QAbstractScrollArea):
    """Shows a session's messages. Buttons of messages come out as `asked(action, id)`."""

    asked = Signal(str, str)
    stepped = Signal(str, int)
    edited = Signal(str, str, bool)
    followingChanged = Signal(bool)  # noqa: N815 - Qt's naming of signals

    def __init__(self, session: ChatSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.entries: list[Entry] = []
        self._tops: list[int] = []
        self._following = True
        self._moving = False
        self._opened_thoughts: set[str] = set()
        self._selection = Selection()
        self._pressed: QPoint | None = None
        self._drag_step = 0
        self._drag_timer = QTimer(self)
        self._drag_timer.setInterval(_DRAG_SCROLL_MS)
        self._drag_timer.timeout.connect(self._drag_scroll)
        self._found: tuple[str, str, int] | None = None  # words, message id, which occurrence
        self._words = ""
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.viewport().setAutoFillBackground(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(tr("Conversation"))
        bar = self.verticalScrollBar()
        bar.setSingleStep(44)
        bar.valueChanged.connect(self._scrolled)
        bar.actionTriggered.connect(self._scrolled_by_hand)
        self.to_end = Button(tr("To the newest"), self, icon_name="arrow-down", compact=True)
        self.to_end.clicked.connect(self.follow)
        self.to_end.hide()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self.relayout)
        session.opened.connect(self._reset)
        session.pathChanged.connect(self._replace_from)
        session.messageChanged.connect(self._refresh)
        session.grew.connect(self._grow)

    # Messages

    def _reset(self) -> None:
        for entry in self.entries:
            self._drop(entry)
        self._selection.clear()
        self.entries = [self._entry(message) for message in self._session.messages]
        self._set_following(True)
        self.relayout()

    def _entry(self, message: Message) -> Entry:
        return Entry(message, _guessed_height(message))

    def _replace_from(self, first: int) -> None:
        messages = self._session.messages
        for entry in self.entries[first:]:
            self._drop(entry)
        self._selection.clear()
        self.entries = [*self.entries[:first], *(self._entry(message) for message in messages[first:])]
        for entry, message in zip(self.entries[:first], messages, strict=False):
            if entry.message is not message:
                self._update(entry, message)
        self.relayout()

    def _update(self, entry: Entry, message: Message) -> None:
        entry.message = message
        entry.width = 0
        if entry.view is not None:
            entry.view.set_message(message, self._session.live_of(message.id))

    def _entry_of(self, message_id: str) -> Entry | None:
        return next((entry for entry in reversed(self.entries) if entry.message.id == message_id), None)

    def _refresh(self, message_id: str) -> None:
        entry, message = self._entry_of(message_id), self._session.message(message_id)
        if entry is not None and message is not None:
            self._update(entry, message)
            self.relayout()

    def _grow(self, message_id: str) -> None:
        entry, message = self._entry_of(message_id), self._session.message(message_id)
        live = self._session.live_of(message_id)
        if entry is None or message is None or live is None:
            return
        entry.message = message
        entry.width = 0
        if isinstance(entry.view, AnswerView):
            entry.view.grow(message, live)
        self.relayout()

    def view_of(self, message_id: str) -> MessageView | None:
        """Return a message's widget if it is near the screen."""
        entry = self._entry_of(message_id)
        return entry.view if entry is not None else None

    def edit(self, message_id: str) -> None:
        """Open the editor of a message."""
        self.show_message(message_id)
        view = self.view_of(message_id)
        if view is not None:
            view.start_editing()

    # Layout

    @property
    def column_width(self) -> int:
        """The reading column's width in pixels."""
        return reading_width(self.width())

    @property
    def column_left(self) -> int:
        """Where the column starts; counted over the whole width, so that it lines up with the composer."""
        return (self.width() - self.column_width) // 2

    def relayout(self) -> None:
        """Make, lay out and place what is near the screen; keep the reader's place."""
        if self._moving:
            return
        self._moving = True
        try:
            self._lay_out()
        finally:
            self._moving = False

    def _lay_out(self) -> None:
        width = self.column_width
        bar = self.verticalScrollBar()
        self._measure_tops()
        anchor, distance = self._anchor(bar.value())
        height = self.viewport().height()
        # What is made may be higher than guessed and push others in or out: a second pass settles it.
        for _ in range(4):
            self._set_range(height)
            if self._following:
                bar.setValue(bar.maximum())
            elif anchor is not None:
                bar.setValue(self._tops[anchor] - distance)
            if not self._make_visible(width, bar.value(), height):
                break
            self._measure_tops()
        self._place(width, bar.value())
        self._forget_far(bar.value(), height)
        self._show_to_end()

    def _measure_tops(self) -> None:
        heights = (entry.height + GAP_PX for entry in self.entries)
        self._tops = list(accumulate(heights, initial=TOP_PX))

    @property
    def _total(self) -> int:
        return self._tops[-1] - (GAP_PX if self.entries else 0) + BOTTOM_PX if self._tops else 0

    def _anchor(self, value: int) -> tuple[int | None, int]:
        for index, entry in enumerate(self.entries):
            if self._tops[index] + entry.height > value:
                return index, self._tops[index] - value
        return None, 0

    def _set_range(self, height: int) -> None:
        bar = self.verticalScrollBar()
        bar.setPageStep(height)
        bar.setRange(0, max(0, self._total - height))

    def _make_visible(self, width: int, value: int, height: int) -> bool:
        """Lay out the messages near the screen; return whether a height changed."""
        changed = made = False
        for index, entry in enumerate(self.entries):
            if (
                self._tops[index] + entry.height < value - AHEAD_PX
                or self._tops[index] > value + height + AHEAD_PX
            ):
                continue
            if entry.view is None:
                entry.view = self._make(index, entry.message)
                entry.width = 0
                made = True
            if entry.width != width:
                entry.width = width
                laid_out = entry.view.lay_out(width)
                if laid_out != entry.height:
                    entry.height = laid_out
                    changed = True
        if made:
            self._order_focus()
        return changed

    def _order_focus(self) -> None:
        """Tab goes from the column through its messages from top to bottom, then on to the composer."""
        before: QWidget = self
        for entry in self.entries:
            for stop in entry.view.focus_stops() if entry.view is not None else ():
                QWidget.setTabOrder(before, stop)
                before = stop

    def _make(self, index: int, message: Message) -> MessageView:
        view: MessageView
        if message.role == "user":
            view = QuestionView(message, self.viewport())
        elif message.role == "assistant":
            opened = message.id in self._opened_thoughts
            answer = AnswerView(
                message,
                self._session.live_of(message.id),
                self.viewport(),
                opened=opened,
                model_name=self._session.model_name,
            )
            answer.thoughtToggled.connect(self._keep_thought)
            view = answer
        else:
            view = NoteView(message, self.viewport())
        view.asked.connect(self.asked)
        view.stepped.connect(self.stepped)
        view.edited.connect(self.edited)
        view.resized.connect(lambda made=view: self._resized(made))
        if self._words:
            for text in view.prose:
                text.find_words(self._words)
        self._selection.apply(index, tuple(view.prose))
        view.show()
        return view

    def _keep_thought(self, message_id: str, opened: bool) -> None:
        if opened:
            self._opened_thoughts.add(message_id)
        else:
            self._opened_thoughts.discard(message_id)

    def _resized(self, view: MessageView) -> None:
        entry = self._entry_of(view.message.id)
        if entry is not None:
            entry.width = 0
            self._later.start()

    def _place(self, width: int, value: int) -> None:
        left = self.column_left
        for index, entry in enumerate(self.entries):
            if entry.view is not None:
                entry.view.setGeometry(left, self._tops[index] - value, width, entry.height)

    def _forget_far(self, value: int, height: int) -> None:
        focused = QApplication.focusWidget()
        far = int(height * KEPT_SCREENS) + AHEAD_PX
        for index, entry in enumerate(self.entries):
            view = entry.view
            if (
                view is None
                or view.editor is not None
                or (focused is not None and view.isAncestorOf(focused))
            ):
                continue
            if self._tops[index] + entry.height < value - far or self._tops[index] > value + height + far:
                self._drop(entry)

    def _drop(self, entry: Entry) -> None:
        if entry.view is not None:
            entry.view.hide()
            entry.view.deleteLater()
            entry.view = None
            entry.width = 0

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        size = self.to_end.sizeHint()
        self.to_end.setGeometry(
            (self.width() - size.width()) // 2, self.height() - size.height() - 8, size.width(), size.height()
        )
        self.relayout()

    # Scrolling

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._set_following(True)
        self.relayout()

    @property
    def following(self) -> bool:
        """Whether the column stays at the end while it grows."""
        return self._following

    def _set_following(self, following: bool) -> None:
        if following != self._following:
            self._following = following
            self.followingChanged.emit(following)

    def _show_to_end(self) -> None:
        bar = self.verticalScrollBar()
        self.to_end.setVisible(not self._following and bar.maximum() - bar.value() > self.height() // 2)
        if self.to_end.isVisible():
            self.to_end.raise_()

    def _scrolled(self, value: int) -> None:
        if self._moving:
            return
        bar = self.verticalScrollBar()
        self._set_following(value >= bar.maximum() - _NEAR_END_PX)
        self.relayout()

    def _scrolled_by_hand(self, action: int) -> None:
        """Before the value changes: pulling upward ends following even within the last pixels."""
        bar = self.verticalScrollBar()
        if bar.sliderPosition() < bar.value() or action == QAbstractSlider.SliderAction.SliderToMinimum.value:
            self._set_following(False)

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Widgets are placed by `relayout`; nothing is shifted here."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        bar = self.verticalScrollBar()
        before = bar.value()
        if event.pixelDelta().y():
            bar.setValue(before - event.pixelDelta().y())
        else:
            bar.setValue(before - event.angleDelta().y() * 66 // 120)
        if event.angleDelta().y() > 0 and bar.value() < bar.maximum():
            self._set_following(False)
        self._show_to_end()
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        bar = self.verticalScrollBar()
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_selection()
            return
        action = {
            Qt.Key.Key_Up: QAbstractSlider.SliderAction.SliderSingleStepSub,
            Qt.Key.Key_Down: QAbstractSlider.SliderAction.SliderSingleStepAdd,
            Qt.Key.Key_PageUp: QAbstractSlider.SliderAction.SliderPageStepSub,
            Qt.Key.Key_PageDown: QAbstractSlider.SliderAction.SliderPageStepAdd,
            Qt.Key.Key_Home: QAbstractSlider.SliderAction.SliderToMinimum,
            Qt.Key.Key_End: QAbstractSlider.SliderAction.SliderToMaximum,
        }.get(Qt.Key(event.key()))
        if action is None:
            super().keyPressEvent(event)
            return
        bar.triggerAction(action)

    def show_message(self, message_id: str) -> None:
        """Bring a message onto the screen."""
        index = next((i for i, entry in enumerate(self.entries) if entry.message.id == message_id), None)
        if index is None:
            return
        bar = self.verticalScrollBar()
        top, bottom = self._tops[index], self._tops[index] + self.entries[index].height
        if top < bar.value() or bottom > bar.value() + self.viewport().height():
            self._set_following(False)
            bar.setValue(max(0, top - TOP_PX))
            self.relayout()
            # Heights above were guesses until now.
            bar.setValue(max(0, self._tops[index] - TOP_PX))

    # Finding

    def mark_words(self, words: str) -> None:
        """Mark every occurrence of `words`; empty takes the marks away."""
        self._words = words
        for entry in self.entries:
            if entry.view is not None:
                for text in entry.view.prose:
                    text.find_words(words)

    def show_occurrence(self, message_id: str, number: int) -> None:
        """Bring the `number`-th occurrence (from 0) of the marked words in a message onto the screen."""
        for entry in self.entries:
            for text in entry.view.prose if entry.view is not None else ():
                text.show_found(None)
        self.show_message(message_id)
        view = self.view_of(message_id)
        if view is None:
            return
        for text in view.prose:
            hits = text.find_words(self._words)
            if number < len(hits) or (hits and text is view.prose[-1]):
                place = text.show_found(hits[min(number, len(hits) - 1)])
                at = text.mapTo(self.viewport(), place.topLeft().toPoint()).y()
                if not 40 <= at <= self.viewport().height() - 60:
                    bar = self.verticalScrollBar()
                    bar.setValue(bar.value() + at - self.viewport().height() // 3)
                return
            number -= len(hits)

    # Selection

    def selected_text(self) -> str:
        """Return what is selected over all messages."""
        return self._selection.text(self.entries)

    def copy_selection(self) -> bool:
        """Copy the selection; False if there is none."""
        text = self.selected_text()
        if text:
            QGuiApplication.clipboard().setText(text)
        return bool(text)

    def _anchor_at(self, point: QPoint) -> Anchor | None:
        """Return the text place nearest to a point of the viewport."""
        best: tuple[int, Anchor] | None = None
        for index, entry in enumerate(self.entries):
            if entry.view is None:
                continue
            for part, text in enumerate(entry.view.prose):
                inside = text.mapFrom(self.viewport(), point)
                away = max(0, -inside.y(), inside.y() - text.height())
                if best is None or away < best[0]:
                    best = (away, Anchor(index, part, text.place_at(inside)))
        return best[1] if best is not None else None

    def _apply_selection(self) -> None:
        for index, entry in enumerate(self.entries):
            if entry.view is not None:
                self._selection.apply(index, tuple(entry.view.prose))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        point = event.position().toPoint()
        anchor = self._anchor_at(point)
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and self._selection.first is not None:
            self._selection.second = anchor
        else:
            self._selection.clear()
            self._selection.first = anchor
        self._pressed = point
        self._apply_selection()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._pressed is None or not event.buttons() & Qt.MouseButton.LeftButton:
            event.ignore()
            return
        point = event.position().toPoint()
        if self._selection.second is None and (point - self._pressed).manhattanLength() < 4:
            return
        self._selection.second = self._anchor_at(point)
        self._apply_selection()
        beyond = min(point.y(), 0) or max(point.y() - self.viewport().height(), 0)
        self._drag_step = max(-60, min(60, beyond))
        if self._drag_step and not self._drag_timer.isActive():
            self._drag_timer.start()
        elif not self._drag_step:
            self._drag_timer.stop()

    def _drag_scroll(self) -> None:
        bar = self.verticalScrollBar()
        bar.setValue(bar.value() + self._drag_step)
        edge = 0 if self._drag_step < 0 else self.viewport().height()
        self._selection.second = self._anchor_at(QPoint(self.column_left, edge)) or self._selection.second
        self._apply_selection()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._drag_timer.stop()
        pressed, self._pressed = self._pressed, None
        if pressed is None or not self._selection.empty:
            return
        point = event.position().toPoint()
        for entry in self.entries:
            for text in entry.view.prose if entry.view is not None else ():
                if text.open_link(text.mapFrom(self.viewport(), point)):
                    return

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        anchor = self._anchor_at(event.position().toPoint())
        view = self.entries[anchor.message].view if anchor is not None else None
        if anchor is None or view is None:
            return
        first, second = view.prose[anchor.part].select_word(anchor.place)
        self._selection.first = Anchor(anchor.message, anchor.part, first)
        self._selection.second = Anchor(anchor.message, anchor.part, second)
        self._apply_selection()

    def viewportEvent(self, event: QEvent) -> bool:
        # Focus by a click belongs to the column: copying needs the keyboard there.
        if event.type() == QEvent.Type.MouseButtonPress:
            self.setFocus(Qt.FocusReason.MouseFocusReason)
        return super().viewportEvent(event)


def reading_width(room: int) -> int:
    """Return the width of the reading column in a region `room` pixels wide."""
    return max(200, min(theme().metric("reading_column_max"), room - 2 * MARGIN_PX))


def _guessed_height(message: Message) -> int:
    """A height until the message is laid out: about 90 characters a line."""
    lines = message.text.count("\n") + len(message.text) // 90 + 1
    return 60 + 22 * lines if message.role == "assistant" else 20 + 19 * lines
