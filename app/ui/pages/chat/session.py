"""The open chat as the page shows it: its path of messages, kept by events, and everything a person does to it.

No widgets. Every change goes to the service first; what is shown follows from the answer or the event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from app.ui.i18n import error_sentence, tr
from app.ui.pages.chat.live import LiveAnswer, LiveAnswers

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.shared.chats import Attachment, Chat, ChatView, Message
    from app.shared.errors import PultError
    from app.shared.events import AnswerText, State
    from app.ui.context import WindowContext

REFETCH_MS = 30


class ChatSession(QObject):
    """One chat open at a time, or none.

    `opened` after another chat (or none) is shown, `pathChanged(first)` when messages from index `first` on were
    replaced, `messageChanged(id)` when one was, `grew(id)` when an answer being written did, `writingChanged` when the
    first began or the last ended, `headingChanged` for title and pin.
    """

    opened = Signal()
    pathChanged = Signal(int)  # noqa: N815 - Qt's naming of signals
    messageChanged = Signal(str)  # noqa: N815
    grew = Signal(str)
    writingChanged = Signal(bool)  # noqa: N815
    headingChanged = Signal()  # noqa: N815
    lost = Signal(str)  # the open chat was removed
    failed = Signal(str)  # a sentence for the place where the person acted

    def __init__(self, context: WindowContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.chat: Chat | None = None
        self.messages: list[Message] = []
        self.live = LiveAnswers()
        self._wanted: str | None = None
        self._begun: str | None = None  # made for a first message that then could not be sent
        self._was_writing = False
        self._refetch = QTimer(self)
        self._refetch.setSingleShot(True)
        self._refetch.setInterval(REFETCH_MS)
        self._refetch.timeout.connect(self.refresh)
        bridge = context.bridge
        bridge.stateReplaced.connect(self._take_state)
        bridge.answerText.connect(self._take_texts)
        bridge.messageChanged.connect(self._take_message)
        bridge.chatChanged.connect(self._take_chat)
        bridge.chatRemoved.connect(self._take_removed)

    # What is open

    @property
    def chat_id(self) -> str | None:
        return self.chat.id if self.chat is not None else None

    @property
    def model_name(self) -> str | None:
        """The loaded model's name: whose answer is being written."""
        model = self._context.state.model
        return model.name if model is not None else None

    @property
    def writing(self) -> Message | None:
        """The answer being written on the path shown."""
        return next((message for message in reversed(self.messages) if message.state == "writing"), None)

    def live_of(self, message_id: str) -> LiveAnswer | None:
        """Return how far an answer being written has come."""
        return self.live.get(message_id)

    def message(self, message_id: str) -> Message | None:
        """Return a message of the path shown."""
        return next((message for message in self.messages if message.id == message_id), None)

    def open(self, chat_id: str | None, *, then: Callable[[], None] | None = None) -> None:
        """Show a chat; None shows none. What is shown stays until the service has answered."""
        self._wanted = chat_id
        if chat_id is None:
            self._show(None)
            return

        def shown(view: ChatView) -> None:
            if self._wanted == chat_id:
                self._show(view)
                if then is not None:
                    then()

        self._run(lambda client: client.chat(chat_id), done=shown)

    def refresh(self) -> None:
        """Fetch the open chat again."""
        chat_id = self.chat_id
        if chat_id is None:
            return

        def shown(view: ChatView) -> None:
            if self.chat_id == chat_id:
                self._take_view(view)

        def not_there(error: PultError) -> None:
            # A temporary chat is gone with the service that kept it.
            if error.status == 404 and self.chat_id == chat_id:
                self._take_removed(chat_id)
            else:
                self._say(error)

        self._run(lambda client: client.chat(chat_id), done=shown, failed=not_there)

    def _show(self, view: ChatView | None) -> None:
        self.chat = view.chat if view is not None else None
        self.messages = [self.live.newest(message) for message in view.messages] if view is not None else []
        self.opened.emit()
        self._check_writing()

    def _take_view(self, view: ChatView) -> None:
        """Replace the path from the first message that differs."""
        self.chat = view.chat
        newest = [self.live.newest(message) for message in view.messages]
        first = 0
        for old, new in zip(self.messages, newest, strict=False):
            if old.id != new.id:
                break
            first += 1
        changed = [n.id for o, n in zip(self.messages[:first], newest[:first], strict=True) if o != n]
        length_changed = first < max(len(self.messages), len(newest))
        self.messages = newest
        if length_changed:
            self.pathChanged.emit(first)
        for message_id in changed:
            self.messageChanged.emit(message_id)
        self.headingChanged.emit()
        self._check_writing()

    def _check_writing(self) -> None:
        writing = self.writing is not None
        if writing != self._was_writing:
            self._was_writing = writing
            self.writingChanged.emit(writing)

    # What the service says

    def _take_state(self, state: State) -> None:
        self.live.replace(state.answering)
        self.refresh()

    def _take_texts(self, texts: Sequence[AnswerText]) -> None:
        for text in texts:
            live = self.live.take_text(text)
            if text.chat_id != self.chat_id:
                continue
            for index in range(len(self.messages) - 1, -1, -1):
                message = self.messages[index]
                if message.id == text.message_id and message.state == "writing":
                    self.messages[index] = message.model_copy(
                        update={"text": live.text, "thought": live.thought or None}
                    )
                    self.grew.emit(message.id)
                    break

    def _take_message(self, message: Message) -> None:
        self.live.take_message(message)
        if message.chat_id != self.chat_id:
            return
        for index, known in enumerate(self.messages):
            if known.id == message.id:
                self.messages[index] = self.live.newest(message)
                self.messageChanged.emit(message.id)
                self._check_writing()
                return
        last = self.messages[-1].id if self.messages else None
        if message.parent_id == last:
            self.messages.append(self.live.newest(message))
            self.pathChanged.emit(len(self.messages) - 1)
            self._check_writing()
        else:
            self._refetch.start()  # another branch, perhaps the one chosen now

    def _take_chat(self, chat: Chat) -> None:
        if chat.id == self.chat_id:
            self.chat = chat
            self.headingChanged.emit()

    def _take_removed(self, chat_id: str) -> None:
        if chat_id == self.chat_id:
            self._wanted = None
            self._show(None)
            self.lost.emit(chat_id)

    # What a person does

    def send(
        self,
        text: str,
        attachments: Sequence[Attachment],
        *,
        parent_id: str | None,
        temporary: bool,
        folder_id: str | None,
        sent: Callable[[str], None],
        failed: Callable[[PultError], None],
    ) -> None:
        """Send a message into the open chat, or begin one with it.

        Exactly one of `sent(chat id)` and `failed(error)` is called; until then nothing typed may be thrown away.
        """
        chat_id = self.chat_id
        parent = parent_id or (self.messages[-1].id if self.messages else None)

        def work(client: ServiceClient) -> str:
            target = chat_id or self._begun
            if target is None:
                target = self._begun = client.create_chat(temporary=temporary, folder_id=folder_id).id
            client.send(target, text, attachments=attachments, parent_id=parent)
            return target

        def taken(target: str) -> None:
            self._begun = None
            sent(target)
            if self.chat_id == target:
                self._refetch.start()
            elif self.chat_id == chat_id and self._wanted in (None, target):
                self.open(target)

        self._run(work, done=taken, failed=failed)

    def regenerate(self, message: Message) -> None:
        """Answer the same question once more, as a new version."""
        chat_id, parent_id = message.chat_id, message.parent_id
        if parent_id is not None:
            self._then_refresh(lambda client: client.answer(chat_id, parent_id))

    def continue_answer(self, message: Message) -> None:
        """Go on where an answer ended."""
        chat_id, parent_id, message_id = message.chat_id, message.parent_id, message.id
        if parent_id is not None:
            self._then_refresh(
                lambda client: client.answer(chat_id, parent_id, continue_message_id=message_id)
            )

    def edit(
        self,
        message: Message,
        text: str,
        *,
        in_place: bool,
        done: Callable[[], None],
        failed: Callable[[PultError], None],
    ) -> None:
        """Write a message anew: in its place, or as a new version (a question's is answered)."""
        message_id, asks = message.id, message.role == "user"

        def written(_told: object) -> None:
            done()
            self._refetch.start()

        self._run(
            lambda client: client.edit_message(
                message_id, text, answer=asks and not in_place, in_place=in_place
            ),
            done=written,
            failed=failed,
        )

    def step_version(self, message: Message, step: int) -> None:
        """Show the version before or after this one."""
        wanted = message.sibling_index + step
        if not 0 <= wanted < len(message.sibling_ids):
            return
        sibling = message.sibling_ids[wanted]

        def chosen(view: ChatView) -> None:
            if self.chat_id == view.chat.id:
                self._take_view(view)

        self._run(lambda client: client.choose_message(sibling), done=chosen)

    def remove(self, message: Message) -> None:
        """Delete a message and what follows it; the toast takes it back."""
        message_id = message.id

        def undo() -> None:
            self._then_refresh(lambda client: client.restore_message(message_id))

        def removed(_: None) -> None:
            self._refetch.start()
            self._context.toast(tr("Message deleted"), action=tr("Undo"), on_action=undo)

        self._run(lambda client: client.remove_message(message_id), done=removed)

    def stop(self) -> bool:
        """Stop the answer being written; False if none is."""
        writing = self.writing
        if writing is None:
            return False
        message_id = writing.id
        self._run(lambda client: client.stop_answer(message_id))
        return True

    def _then_refresh(self, work: Callable[[ServiceClient], object]) -> None:
        self._run(work, done=lambda _told: self._refetch.start())

    def _run(
        self,
        work: Callable[[ServiceClient], object],
        *,
        done: Callable[..., None] | None = None,
        failed: Callable[[PultError], None] | None = None,
    ) -> None:
        self._context.operations.run(self, work, done=done, failed=failed or self._say)

    def _say(self, error: PultError) -> None:
        self.failed.emit(error_sentence(error.info()))
