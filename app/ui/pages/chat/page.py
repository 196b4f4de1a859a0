"""The chat page: list, conversation with composer, inspector."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.shared import paths
from app.shared.engine import EngineStatus
from app.ui.context import Page, WindowContext
from app.ui.controls import Banner, Menu
from app.ui.i18n import error_sentence, mark, tr
from app.ui.pages.chat.composer.composer import Composer
from app.ui.pages.chat.conversation.view import ConversationView, reading_width
from app.ui.pages.chat.drafts import Drafts
from app.ui.pages.chat.header import ChatHeader, FindBar
from app.ui.pages.chat.inspector.counter import ContextCounter
from app.ui.pages.chat.inspector.panel import Inspector
from app.ui.pages.chat.listing.column import ChatColumn
from app.ui.pages.chat.markdown.plain import plain_text
from app.ui.pages.chat.session import ChatSession
from app.ui.pages.chat.start import StartView
from app.ui.theme import theme

if TYPE_CHECKING:
    from app.shared.chats import Attachment, Chat, ChatView, Message
    from app.shared.engine import EngineState, TokenCounts
    from app.shared.errors import PultError
    from app.shared.events import State

WIDE_WINDOW_PX = 1500
FOLD_UNDER_PX = 1100
_RAIL_PX = 72


class ChatPage(Page):
    """Talks to the loaded model; what a person types is never lost."""

    page_id = "chat"
    title = mark("Chat")
    icon_name = "chat"

    def __init__(self, context: WindowContext) -> None:
        super().__init__(context)
        self.session = ChatSession(context, self)
        self.drafts = Drafts(context, self)
        self.column = ChatColumn(context)
        self.header = ChatHeader()
        self.find_bar = FindBar()
        self.conversation = ConversationView(self.session)
        self.start = StartView()
        self.composer = Composer(context.operations)
        self.notice: Banner | None = None
        self.inspector = Inspector(context)
        self.counter = ContextCounter(context, self._subject, self)
        self._branch_from: str | None = None
        self._temporary = False
        self._reveal_message = ""
        self._panel_wanted = True
        self._was_folded: bool | None = None
        self._placing_draft = False
        self._attached: dict[
            str | None, tuple[Attachment, ...]
        ] = {}  # files of drafts, while the window is open
        self._just_begun: str | None = None
        self._build()
        self._connect()
        self._engine_changed(context.state.engine)
        self._open_changed()
        if context.state.connected:
            self.column.fetch()

    # Building

    def _build(self) -> None:
        self._stack = QStackedWidget()
        self._stack.addWidget(self.start)
        self._stack.addWidget(self.conversation)
        self.find_bar.hide()
        self._bottom = QWidget()
        self._bottom_column = QVBoxLayout(self._bottom)
        self._bottom_column.setContentsMargins(30, 0, 30, 16)
        self._bottom_column.setSpacing(8)
        self._bottom_column.addWidget(self.composer)
        work = QWidget()
        column = QVBoxLayout(work)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for part in (self.header, self.find_bar):
            column.addWidget(part)
        column.addWidget(self._stack, 1)
        column.addWidget(self._bottom)
        self._work = work
        work.installEventFilter(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.column)
        row.addWidget(work, 1)
        row.addWidget(self.inspector)
        self.setTabOrder(self.column, self.composer)
        self.setTabOrder(self.composer, self.inspector)

    def _connect(self) -> None:
        session, composer, conversation = self.session, self.composer, self.conversation
        session.opened.connect(self._open_changed)
        session.pathChanged.connect(lambda _first: self._path_changed())
        session.messageChanged.connect(lambda _id: self.counter.schedule())
        session.headingChanged.connect(self._heading_changed)
        session.writingChanged.connect(self._writing_changed)
        session.grew.connect(self._show_live_context)
        session.failed.connect(self._say_problem)
        composer.submitted.connect(self._send)
        composer.stopAsked.connect(session.stop)
        composer.textEdited.connect(self._draft_edited)
        composer.thinkingChosen.connect(lambda on: self.inspector.set_values({"thinking": on}))
        composer.branchDropped.connect(lambda: self._branch(None))
        composer.editLast.connect(self._edit_last)
        conversation.asked.connect(self._act)
        conversation.stepped.connect(self._step)
        conversation.edited.connect(self._edited)
        column = self.column
        column.opened.connect(self.open_chat)
        column.newAsked.connect(self.new_chat)
        column.temporaryChosen.connect(lambda on: self.new_chat(temporary=on))
        header = self.header
        header.search.clicked.connect(self.open_find)
        header.pin.clicked.connect(lambda: self._for_open(self.column.pin))
        header.more.clicked.connect(lambda: self._for_open(self._open_menu))
        header.panel.clicked.connect(self._toggle_panel)
        self.find_bar.closed.connect(self.close_find)
        self.find_bar.wordsChanged.connect(self._find)
        self.find_bar.moved.connect(
            lambda _words, message, number: conversation.show_occurrence(message, number)
        )
        self.start.asked.connect(self._ask)
        self.start.loadGuide.connect(self.load_guide)
        self.start.chooseModel.connect(self._choose_model)
        self.counter.counted.connect(self._take_counts)
        self.context.state.engineChanged.connect(self._engine_changed)
        self.context.bridge.stateReplaced.connect(self._state_replaced)
        find = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.activated.connect(self.open_find)

    # The page in the window

    def focus_main(self) -> None:
        self.composer.field.setFocus(Qt.FocusReason.OtherFocusReason)

    def regions(self) -> list[QWidget]:
        regions: list[QWidget] = [self.column.view, self.conversation, self.composer.field]
        if self.inspector.isVisible():
            regions.append(self.inspector.sampling.pencil)
        return regions

    def stop_work(self) -> bool:
        return self.session.stop()

    def accept_files(self, paths: list[str]) -> bool:
        """Dropped text files become attachments."""
        self.composer.add_files(paths)
        self.focus_main()
        return True

    def reveal(self, kind: str, key: str) -> bool:
        match kind:
            case "new":
                self.new_chat()
            case "chat":
                self.open_chat(key, "")
            case "message":
                chat_id, _, message_id = key.partition("/")
                self.open_chat(chat_id, message_id)
            case _:
                return False
        return True

    def hidden(self) -> None:
        self.drafts.save()

    def save_layout(self) -> None:
        settings = self.context.settings
        settings.put("chat.panel", self._panel_wanted)
        settings.put("chat.open", self.session.chat_id)
        self.drafts.keep(self.session.chat_id, self.composer.text)
        self.drafts.save()

    def restore_layout(self) -> None:
        settings = self.context.settings
        self._panel_wanted = settings.get("chat.panel", True)
        if self.context.state.connected:
            # Made after the service spoke, as after a change of language: its first word will not come again.
            self._state_replaced()
        self._fold(force=True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fold()
        self._align_bottom()

    @property
    def _wide(self) -> bool:
        return self.width() + _RAIL_PX >= WIDE_WINDOW_PX

    def _fold(self, *, force: bool = False) -> None:
        """Give the side columns their widths; a narrow window folds the panel away."""
        narrow = self.width() + _RAIL_PX < FOLD_UNDER_PX
        wide = self._wide
        self.column.setFixedWidth(theme().width("list_width", "chat", wide=wide))
        self.inspector.setFixedWidth(theme().width("panel_width", "inspector", wide=wide))
        if force or narrow != self._was_folded:
            self._was_folded = narrow
            self._show_panel(self._panel_wanted and not narrow)

    def _show_panel(self, shown: bool) -> None:
        self.inspector.setVisible(shown)
        self.header.panel.setChecked(shown)
        self.header.panel.set_label(tr("Hide the panel") if shown else tr("Show the panel"))

    def _toggle_panel(self) -> None:
        self._panel_wanted = not self.inspector.isVisible()
        self._show_panel(self._panel_wanted)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._work and event.type() == QEvent.Type.Resize:
            self._align_bottom()  # also when the panel beside it came or went
        return super().eventFilter(watched, event)

    def _align_bottom(self) -> None:
        """Composer and messages share their edges."""
        left = max(0, (self._work.width() - reading_width(self._work.width())) // 2)
        self._bottom_column.setContentsMargins(left, 0, left, 16)

    # Which chat is open

    def open_chat(self, chat_id: str, message_id: str = "") -> None:
        """Show a chat, and bring one of its messages onto the screen."""
        if chat_id == self.session.chat_id:
            self._reveal(message_id)
            return
        self.drafts.keep(self.session.chat_id, self.composer.text)

        def shown() -> None:
            self._reveal(message_id)
            self.focus_main()

        self.session.open(chat_id, then=shown)

    def _reveal(self, message_id: str) -> None:
        if not message_id:
            return
        if self.session.message(message_id) is not None:
            self.conversation.show_message(message_id)
            return

        def chosen(_view: object) -> None:
            self.session.refresh()
            self._reveal_message = message_id

        self.context.operations.run(self, lambda client: client.choose_message(message_id), done=chosen)

    def new_chat(self, *, temporary: bool = False) -> None:
        """Begin a chat; it comes to be with its first message."""
        self.drafts.keep(self.session.chat_id, self.composer.text)
        self._temporary = temporary
        self.session.open(None)
        self.column.temporary.setChecked(temporary)
        self.focus_main()

    def _state_replaced(self, _state: State | None = None) -> None:
        wanted = self.context.settings.text("chat.open")
        if self.session.chat_id is None and wanted is not None and not self.session.messages:
            self.context.settings.put("chat.open", None)
            self.context.operations.run(
                self, lambda client: client.chat(wanted), done=self._open_again, failed=self._gone
            )

    def _open_again(self, view: ChatView) -> None:
        if self.session.chat_id is None and not self.composer.text:
            self.session.open(view.chat.id)

    def _gone(self, error: PultError) -> None:
        # The chat open last time was removed since: an empty page says enough.
        if error.status != 404:
            self._say_problem(error_sentence(error.info()))

    def _open_changed(self) -> None:
        chat = self.session.chat
        self._branch(None)
        if chat is not None and chat.id == self._just_begun:
            # What was typed while the first message was on its way belongs to the chat that it began.
            self.drafts.keep(None, "")
            self.drafts.keep(chat.id, self.composer.text)
        self._just_begun = None
        if chat is not None:
            self._temporary = chat.temporary
        self._heading_changed()
        self._show_stack()
        self._placing_draft = True
        self.composer.set_attachments(self._attached.get(self.session.chat_id, ()))
        self.composer.problem.hide()
        self.composer.set_text(self.drafts.text_of(chat))
        self._placing_draft = False
        self.close_find()
        self.counter.schedule()

    def _heading_changed(self) -> None:
        self.header.show_chat(self.session.chat)
        self.column.set_current(self.session.chat)

    def _path_changed(self) -> None:
        self._show_stack()
        self.counter.schedule()
        if self._reveal_message:
            message_id, self._reveal_message = self._reveal_message, ""
            self.conversation.show_message(message_id)

    def _show_stack(self) -> None:
        empty = not self.session.messages
        self._stack.setCurrentWidget(self.start if empty else self.conversation)
        self._show_notice()
        self._align_bottom()

    def _writing_changed(self, writing: bool) -> None:
        self.composer.set_writing(writing)
        if self.session.chat_id is not None:
            self.column.set_answering(self.session.chat_id, writing)
        if writing:
            self.conversation.follow()
        else:
            self.counter.schedule()

    # The engine

    def _engine_changed(self, engine: EngineState | None) -> None:
        self.start.show_engine(engine, temporary=self._temporary)
        self.composer.set_reason(_reason_of(engine))
        model = engine.model if engine is not None else None
        if model is None:
            self.composer.set_thinking(False, tr("No model is loaded"))
            self.composer.ring.set_tokens(None, None)
        else:
            can = model.can_think
            on = can and model.values.get("thinking", True) is not False
            self.composer.set_thinking(on, None if can else tr("This model's template knows no thinking"))
        self._show_notice()

    def _show_notice(self) -> None:
        """Above the composer of a chat that cannot go on: why, and what helps."""
        engine = self.context.state.engine
        missing = (
            bool(self.session.messages)
            and engine is not None
            and engine.model is None
            and engine.status in (EngineStatus.EMPTY, EngineStatus.FAILED)
        )
        if not missing:
            if self.notice is not None:
                self._bottom_column.removeWidget(self.notice)
                self.notice.hide()
                self.notice.deleteLater()
                self.notice = None
            return
        actions: list[tuple[str, Callable[[], object]]] = [(tr("Choose a model…"), self._choose_model)]
        error = engine.error if engine is not None else None
        if error is not None and "choose_model" not in error.remedies:
            actions.insert(0, (tr("Load again"), self._load_again))
        if paths.guide_model().is_file():
            actions.append((tr("Load the guide"), self.load_guide))
        title, text = tr("No model is loaded"), tr("The chat and what you write are kept.")
        if self.notice is None:
            self.notice = Banner("accent", title, text, actions)
            self._bottom_column.insertWidget(0, self.notice)
        elif len(self.notice.buttons) != len(actions):
            self.notice.show_message("accent", title, text, actions)

    def _load_again(self) -> None:
        self.context.operations.run(self, lambda client: client.reload())

    def load_guide(self) -> None:
        """Load the model that comes with Pult."""
        path = str(paths.guide_model())
        self.context.operations.run(self, lambda client: client.load(path))

    def _choose_model(self) -> None:
        self.context.choose_model()

    def _subject(self) -> tuple[str | None, str]:
        return self.session.chat_id, self.composer.text

    def _take_counts(self, counts: TokenCounts | None) -> None:
        self.inspector.ledger.show_counts(counts)
        writing = self.session.writing
        live = self.session.live_of(writing.id) if writing is not None else None
        if live is None or live.context_used_tokens is None:
            used = counts.total if counts is not None else None
            self.composer.ring.set_tokens(used, counts.context if counts is not None else None)

    def _show_live_context(self, message_id: str) -> None:
        live = self.session.live_of(message_id)
        if live is not None and live.context_used_tokens is not None:
            self.composer.ring.set_tokens(live.context_used_tokens, live.context_size_tokens)

    # Writing

    def _draft_edited(self) -> None:
        if not self._placing_draft:
            self.drafts.keep(self.session.chat_id, self.composer.text)
            self._attached[self.session.chat_id] = tuple(self.composer.attachments)
            self.counter.schedule()

    def _ask(self, question: str) -> None:
        self.composer.set_text(question)
        if self.composer.can_send:
            self._send()

    def _send(self) -> None:
        chat_id = self.session.chat_id
        composer = self.composer
        composer.set_sending(True)

        def failed(error: PultError) -> None:
            composer.show_error(error)
            self.focus_main()

        def sent(target: str) -> None:
            composer.clear_sent()
            self._branch(None)
            self.drafts.keep(chat_id, "")
            if chat_id is None:
                self._just_begun = target
            self.conversation.follow()
            self.focus_main()

        self.session.send(
            composer.text,
            tuple(composer.attachments),
            parent_id=self._branch_from,
            temporary=self._temporary,
            folder_id=self.column.folder_id,
            sent=sent,
            failed=failed,
        )

    def _branch(self, message: Message | None) -> None:
        """The next message branches off after `message`; None: it goes to the end."""
        self._branch_from = message.id if message is not None else None
        words = ""
        if message is not None:
            beginning = " ".join(message.text.split())[:48]
            words = tr("Branches off after “{beginning}…”", beginning=beginning)
        self.composer.set_branch(words)

    def _edit_last(self) -> None:
        for message in reversed(self.session.messages):
            if message.role == "user":
                self.conversation.edit(message.id)
                return

    # What the buttons of messages do

    def _act(self, action: str, message_id: str) -> None:
        message = self.session.message(message_id)
        if message is None:
            return
        match action:
            case "copy":
                QGuiApplication.clipboard().setText(message.text)
                self.context.toast(tr("Copied"))
            case "copy_plain":
                QGuiApplication.clipboard().setText(plain_text(message.text))
                self.context.toast(tr("Copied"))
            case "regenerate":
                self.session.regenerate(message)
            case "continue":
                self.session.continue_answer(message)
            case "edit":
                self.conversation.edit(message_id)
            case "branch":
                self._branch_at(message)
            case "delete":
                self.session.remove(message)
            case "stop":
                self.session.stop()

    def _branch_at(self, message: Message) -> None:
        if message.role == "user":
            self.conversation.edit(message.id)  # another question in its place is a branch
            return
        self._branch(message)
        self.focus_main()

    def _step(self, message_id: str, step: int) -> None:
        message = self.session.message(message_id)
        if message is not None:
            self.session.step_version(message, step)

    def _edited(self, message_id: str, text: str, in_place: bool) -> None:
        message, view = self.session.message(message_id), self.conversation.view_of(message_id)
        if message is None or view is None:
            return

        def failed(error: PultError) -> None:
            if view.editor is not None:
                view.editor.show_problem(error_sentence(error.info()))

        self.session.edit(message, text, in_place=in_place, done=view.end_editing, failed=failed)

    def _say_problem(self, sentence: str) -> None:
        self.composer.problem.setText(sentence)
        self.composer.problem.show()

    def _for_open(self, act: Callable[[Chat], None]) -> None:
        chat = self.session.chat
        if chat is not None:
            act(chat)

    def _open_menu(self, chat: Chat) -> None:
        menu: Menu = self.column.chat_menu(chat, self)
        menu.open_below(self.header.more)

    # Finding

    def open_find(self) -> None:
        """Open the bar that finds words in this chat."""
        if not self.session.messages:
            return
        self.find_bar.show()
        selected = self.conversation.selected_text()
        if selected and "\n" not in selected:
            self.find_bar.field.setText(selected)
        self.find_bar.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.find_bar.field.selectAll()

    def close_find(self) -> None:
        """Close it and take the marks away."""
        if self.find_bar.isHidden():
            return
        self.find_bar.hide()
        self.conversation.mark_words("")
        self.focus_main()

    def _find(self, words: str) -> None:
        self.conversation.mark_words(words)
        self.find_bar.search(self.session.messages)


def _reason_of(engine: EngineState | None) -> str | None:
    """Return why nothing can be sent, None if it can."""
    if engine is None:
        return tr("The service is starting")
    match engine.status:
        case EngineStatus.LOADING:
            return tr("{name} is being loaded", name=engine.loading or tr("The model"))
        case EngineStatus.EJECTING:
            return tr("The model is being ejected")
        case _:
            return None if engine.model is not None else tr("No model is loaded. Choose one first.")
