"""Ctrl+K: one field that finds everything: actions, pages, chats by their text, presets, models, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.ui.controls import Hairline, Label, SearchField
from app.ui.i18n import file_size, moment, tr
from app.ui.shell.overlay import Overlay
from app.ui.shell.rows import Row, RowList

if TYPE_CHECKING:
    from app.shared.chats import SearchHit
    from app.ui.context import WindowContext
    from app.ui.shell.loading import Loading
    from app.ui.shortcuts import Actions

SEARCH_AFTER_MS = 120
SNIPPET_MARKS = str.maketrans("", "", "\ue000\ue001")
MOST_PER_GROUP = 7


def matches(query: str, *texts: str) -> int | None:
    """Return how well the words of `query` are found in `texts`, smaller is better; None if one is missing."""
    words = query.casefold().split()
    whole = " ".join(texts).casefold()
    if not all(word in whole for word in words):
        return None
    first = texts[0].casefold()
    if first.startswith(query.casefold().strip()):
        return 0
    if all(any(part.startswith(word) for part in first.split()) for word in words):
        return 1
    return 2 if all(word in first for word in words) else 3


class Palette(Overlay):
    """Finds and does. What is local answers at once; the text of chats is searched by the service."""

    def __init__(
        self,
        window: QWidget,
        context: WindowContext,
        actions: Actions,
        loading: Loading,
        reveal: Callable[[str, str, str], None],
    ) -> None:
        super().__init__(window, width=640, title=tr("Search everything"), top=72)
        self._context, self._actions, self._loading, self._reveal = context, actions, loading, reveal
        self._hits: tuple[SearchHit, ...] = ()
        self._asked = ""
        self.field = SearchField(tr("Search chats, models, presets, settings, actions"))
        self.field.setFixedHeight(40)
        self.list = RowList(tr("Found"))
        self.nothing = Label(
            tr("Nothing found. Chats are searched by their whole text."), "secondary", "text3"
        )
        self.nothing.setContentsMargins(16, 8, 16, 14)
        head = QHBoxLayout()
        head.setContentsMargins(8, 8, 8, 8)
        head.addWidget(self.field)
        self.column.addLayout(head)
        self.column.addWidget(Hairline())
        self.column.addWidget(self.list, 1)
        self.column.addWidget(self.nothing)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SEARCH_AFTER_MS)
        self._timer.timeout.connect(self._search)
        self.field.searched.connect(self._typed)
        self.field.installEventFilter(self)
        self.list.chosen.connect(self._take)

    def open(self) -> None:
        super().open()
        self._fill()
        self.field.setFocus(Qt.FocusReason.OtherFocusReason)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.field and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() == Qt.Key.Key_Escape:
                self.dismiss()
                return True
            return self.list.press(event)
        return super().eventFilter(watched, event)

    def _typed(self, text: str) -> None:
        if not self._asked or not text.strip().startswith(self._asked):
            self._hits = ()  # they answer another question
        self._fill()
        self._timer.start()

    def _search(self) -> None:
        query = self.field.text().strip()
        if len(query) < 2:
            self._hits = ()
            return
        self._asked = query
        self._context.operations.run(
            self,
            lambda client: (query, client.search_chats(query)),
            done=self._found,
            failed=lambda _error: None,
        )

    def _found(self, answer: tuple[str, tuple[SearchHit, ...]]) -> None:
        query, hits = answer
        if query == self.field.text().strip():
            self._hits = hits
            self._fill()

    def _take(self, row: Row) -> None:
        self.forget_focus()
        self.dismiss()
        if row.run is not None:
            row.run()

    def _fill(self) -> None:
        query = self.field.text().strip()
        rows: list[Row] = []
        for title, group in (
            (tr("Actions"), self._action_rows()),
            (tr("Chats"), self._chat_rows() if query else ()),
            (tr("Models"), self._model_rows() if query else ()),
            (tr("Presets"), self._preset_rows() if query else ()),
            (tr("Model settings"), self._setting_rows() if query else ()),
        ):
            chats = title == tr("Chats")
            found = list(group) if chats else best(query, group)
            if found:
                rows += [Row(title=title), *(found[:MOST_PER_GROUP] if query else found)]
        self.list.set_rows(rows)
        self.list.setVisible(bool(rows))
        self.nothing.setVisible(not rows)
        self.list.setFixedHeight(min(self.list.wished_height(), max(120, self.most_height() - 70)))
        self.place()

    def _action_rows(self) -> Iterable[Row]:
        for action in self._actions:
            if action.in_palette and action.possible:
                yield Row(
                    title=tr(action.title),
                    run=action.run,
                    icon=action.icon or "bolt",
                    keys=action.key_text,
                )

    def _chat_rows(self) -> Iterable[Row]:
        for hit in self._hits:
            chat = hit.chat.id
            kind, key = ("chat", chat) if hit.message_id is None else ("message", f"{chat}/{hit.message_id}")
            yield Row(
                title=hit.chat.title or tr("New chat"),
                detail=" ".join(hit.snippet.translate(SNIPPET_MARKS).split()),
                icon="chat",
                right=moment(hit.chat.updated_at),
                run=partial(self._reveal, "chat", kind, key),
            )

    def _model_rows(self) -> Iterable[Row]:
        for card in self._context.state.models:
            yield Row(
                title=tr("Load {name}", name=card.name),
                mono=card.quantisation or "",
                icon="models",
                right=file_size(card.file_bytes) if card.file_bytes is not None else "",
                detail=str(Path(card.path).parent),
                is_path=True,
                run=partial(self._loading.load, str(card.path)),
            )

    def _preset_rows(self) -> Iterable[Row]:
        from app.ui.forms.words import preset_reason

        for preset in self._context.state.presets:
            yield Row(
                title=preset.name,
                detail=preset_reason(preset),
                icon="presets",
                run=partial(self._reveal, "presets", "preset", preset.name),
            )

    def _setting_rows(self) -> Iterable[Row]:
        from app.shared.settings import settings

        for key, knob in settings().items():
            yield Row(
                title=tr(knob.label),
                mono=key,
                detail=tr(knob.changes),
                icon="sliders",
                run=partial(self._reveal, "presets", "setting", key),
            )


def best(query: str, rows: Iterable[Row]) -> Sequence[Row]:
    """Return the rows that match, best first; all of them, in their order, without a query."""
    if not query:
        return list(rows)
    scored = [(matches(query, row.title, row.mono, row.detail), row) for row in rows]
    return [
        row for score, row in sorted(((s, r) for s, r in scored if s is not None), key=lambda pair: pair[0])
    ]
