"""A service in memory for the chat page's tests: the client's methods, and the events that would follow."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QObject

from app.shared.chats import AnswerFacts, Attachment, Chat, ChatView, Folder, Message, SearchHit
from app.shared.engine import EngineState, EngineStatus, LoadedModel, Timings, TokenCounts
from app.shared.errors import NotFound, PultError
from app.shared.events import AnswerText, State
from app.ui.bridge import Bridge
from app.ui.context import WindowContext
from app.ui.window_memory import WindowMemory

MODEL = LoadedModel(
    id="tiny",
    name="Tiny-MoE",
    path="/models/tiny.gguf",
    context=32768,
    experts=8,
    experts_used=2,
    can_think=True,
    preset="dialog",
)


class FakeClient:
    """Keeps chats as the store does; every change comes back as an event through the bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._numbers = itertools.count(1)
        self.chats_kept: dict[str, Chat] = {}
        self.messages: dict[str, Message] = {}
        self.chosen: dict[str, str | None] = {}  # chat id: tip of its path
        self.removed_chats: dict[str, Chat] = {}
        self.removed_messages: dict[str, Message] = {}
        self.folders_kept: list[Folder] = []
        self.calls: list[tuple[str, Any]] = []
        self.refuse: dict[str, PultError] = {}
        self.engine = EngineState(status=EngineStatus.READY, model=MODEL)

    def _call(self, name: str, told: Any = None) -> None:
        self.calls.append((name, told))
        if name in self.refuse:
            raise self.refuse.pop(name)

    def called(self, name: str) -> list[Any]:
        return [told for each, told in self.calls if each == name]

    # chats

    def chats(self) -> tuple[Chat, ...]:
        return tuple(self.chats_kept.values())

    def folders(self) -> tuple[Folder, ...]:
        return tuple(self.folders_kept)

    def chat(self, chat_id: str) -> ChatView:
        self._call("chat", chat_id)
        if chat_id not in self.chats_kept:
            raise NotFound("There is no chat {id}.", id=chat_id)
        return ChatView(chat=self.chats_kept[chat_id], messages=self.path(chat_id))

    def path(self, chat_id: str) -> tuple[Message, ...]:
        messages: list[Message] = []
        at = self.chosen.get(chat_id)
        while at is not None:
            messages.append(self._placed(self.messages[at]))
            at = self.messages[at].parent_id
        return tuple(reversed(messages))

    def _placed(self, message: Message) -> Message:
        ids = tuple(
            m.id
            for m in self.messages.values()
            if m.parent_id == message.parent_id and m.chat_id == message.chat_id
        )
        return message.model_copy(
            update={
                "sibling_index": ids.index(message.id),
                "sibling_count": len(ids),
                "sibling_ids": ids,
            }
        )

    def create_chat(self, *, title: str = "", folder_id: str | None = None, temporary: bool = False) -> Chat:
        self._call("create_chat", temporary)
        now = time.time()
        chat = Chat(
            id=f"c{next(self._numbers)}",
            title=title,
            folder_id=folder_id,
            temporary=temporary,
            created_at=now,
            updated_at=now,
        )
        self.chats_kept[chat.id] = chat
        self._bridge.offer_chat(chat)
        return chat

    def change_chat(self, chat_id: str, **changes: Any) -> Chat:
        self._call("change_chat", (chat_id, changes))
        if chat_id not in self.chats_kept:
            raise NotFound("There is no chat {id}.", id=chat_id)
        chat = self.chats_kept[chat_id] = self.chats_kept[chat_id].model_copy(update=changes)
        self._bridge.offer_chat(chat)
        return chat

    def remove_chat(self, chat_id: str) -> None:
        self._call("remove_chat", chat_id)
        self.removed_chats[chat_id] = self.chats_kept.pop(chat_id)
        self._bridge.offer_removed(chat_id)

    def restore_chat(self, chat_id: str) -> Chat:
        self._call("restore_chat", chat_id)
        chat = self.chats_kept[chat_id] = self.removed_chats.pop(chat_id)
        self._bridge.offer_chat(chat)
        return chat

    def search_chats(self, query: str) -> tuple[SearchHit, ...]:
        self._call("search_chats", query)
        return tuple(
            SearchHit(
                chat=self.chats_kept[m.chat_id],
                message_id=m.id,
                snippet=m.text.replace(query, f"\ue000{query}\ue001"),
            )
            for m in self.messages.values()
            if query in m.text
        )

    def create_folder(self, name: str) -> Folder:
        folder = Folder(id=f"f{next(self._numbers)}", name=name)
        self.folders_kept.append(folder)
        return folder

    # messages

    def add(self, chat_id: str, role: str, text: str = "", **more: Any) -> Message:
        more.setdefault("parent_id", self.chosen.get(chat_id))
        message = Message.model_validate(
            {
                "id": f"m{next(self._numbers)}",
                "chat_id": chat_id,
                "role": role,
                "text": text,
                "created_at": time.time(),
                **more,
            }
        )
        self.messages[message.id] = message
        self.chosen[chat_id] = message.id
        return self._placed(message)

    def send(
        self,
        chat_id: str,
        text: str,
        *,
        attachments: Sequence[Attachment] = (),
        parent_id: str | None = None,
        values: Any = None,
    ) -> tuple[Message, Message]:
        self._call("send", (chat_id, text, tuple(attachments), parent_id))
        user = self.add(chat_id, "user", text, attachments=tuple(attachments), parent_id=parent_id)
        answer = self.add(chat_id, "assistant", parent_id=user.id, state="writing")
        self._bridge.offer_message(user)
        self._bridge.offer_message(answer)
        return user, answer

    def answer(
        self, chat_id: str, parent_id: str, *, values: Any = None, continue_message_id: str | None = None
    ) -> Message:
        self._call("answer", (chat_id, parent_id, continue_message_id))
        answer = self.add(chat_id, "assistant", parent_id=parent_id, state="writing")
        self._bridge.offer_message(answer)
        return answer

    def edit_message(
        self, message_id: str, text: str, *, answer: bool = False, in_place: bool = False
    ) -> dict[str, Message]:
        self._call("edit_message", (message_id, text, answer, in_place))
        old = self.messages[message_id]
        if in_place:
            new = self.messages[message_id] = old.model_copy(update={"text": text})
        else:
            new = self.add(old.chat_id, old.role, text, parent_id=old.parent_id)
        self._bridge.offer_message(self._placed(new))
        if answer:
            self.finish(self.add(old.chat_id, "assistant", "Answered.", parent_id=new.id).id)
        return {"message": new}

    def choose_message(self, message_id: str) -> ChatView:
        self._call("choose_message", message_id)
        tip = self.messages[message_id]
        while True:
            child = next((m for m in self.messages.values() if m.parent_id == tip.id), None)
            if child is None:
                break
            tip = child
        self.chosen[tip.chat_id] = tip.id
        return self.chat(tip.chat_id)

    def remove_message(self, message_id: str) -> None:
        self._call("remove_message", message_id)
        message = self.removed_messages[message_id] = self.messages[message_id]
        self.chosen[message.chat_id] = message.parent_id

    def restore_message(self, message_id: str) -> None:
        self._call("restore_message", message_id)
        message = self.removed_messages.pop(message_id)
        self.chosen[message.chat_id] = message.id

    def stop_answer(self, message_id: str) -> None:
        self._call("stop_answer", message_id)

    def export_chat(self, chat_id: str, *, format: str = "json") -> str:
        return f"{format} of {chat_id}"

    def import_chats(self, text: str, *, format: str = "json") -> tuple[Chat, ...]:
        self._call("import_chats", (text, format))
        return (self.create_chat(title="Imported"),)

    # engine

    def count(
        self, *, chat_id: str | None = None, messages: Any = (), draft: str = "", thinking: bool | None = None
    ) -> TokenCounts:
        self._call("count", (chat_id, draft))
        return TokenCounts(total=9560, system=412, history=8608, thinking=540, context=32768)

    def set_values(self, values: dict[str, Any]) -> EngineState:
        self._call("set_values", values)
        return self.engine

    def load(self, model: str | None = None, **more: Any) -> EngineState:
        self._call("load", model)
        return self.engine

    def reload(self) -> EngineState:
        self._call("reload")
        return self.engine

    # what the service would say

    def write(self, message_id: str, text: str = "", thought: str = "", **more: Any) -> None:
        """More of an answer."""
        message = self.messages[message_id]
        self.messages[message_id] = message.model_copy(
            update={"text": message.text + text, "thought": (message.thought or "") + thought or None}
        )
        self._bridge.answerText.emit(
            [AnswerText(chat_id=message.chat_id, message_id=message_id, text=text, thought=thought, **more)]
        )

    def finish(self, message_id: str, *, state: str = "done", error: str | None = None) -> None:
        """The end of an answer."""
        timings = Timings(
            completion_tokens=412,
            decode_seconds=3.2,
            first_token_seconds=0.21,
            thought_seconds=4.2,
            thought_tokens=540,
        )
        facts = AnswerFacts(model="Tiny-MoE", experts_used=2, timings=timings, error=error)
        message = self.messages[message_id].model_copy(update={"state": state, "facts": facts})
        self.messages[message_id] = message
        self._bridge.messageChanged.emit(self._placed(message))


class FakeBridge(Bridge):
    """The bridge's signals without its thread."""

    def offer_chat(self, chat: Chat) -> None:
        self.chatChanged.emit(chat)

    def offer_removed(self, chat_id: str) -> None:
        self.chatRemoved.emit(chat_id)

    def offer_message(self, message: Message) -> None:
        self.messageChanged.emit(message)


class FakeOperations(QObject):
    """Does the work at once on this thread, so that tests need no waiting."""

    def __init__(self, client: FakeClient) -> None:
        super().__init__()
        self.client = client
        self.failures: list[PultError] = []

    def run(
        self,
        parent: QObject,
        work: Callable[[Any], Any],
        *,
        done: Callable[[Any], None] | None = None,
        failed: Callable[[PultError], None] | None = None,
    ) -> None:
        try:
            result = work(self.client)
        except PultError as error:
            self.failures.append(error)
            if failed is not None:
                failed(error)
            return
        if done is not None:
            done(result)


class FakeState(QObject):
    """The mirror's fields and the signal the page listens to."""

    from PySide6.QtCore import Signal

    engineChanged = Signal(object)  # noqa: N815 - as in AppState

    def __init__(self, engine: EngineState | None) -> None:
        super().__init__()
        self.engine = engine
        self.connected = True

    @property
    def model(self) -> LoadedModel | None:
        return self.engine.model if self.engine is not None else None

    def set_engine(self, engine: EngineState) -> None:
        self.engine = engine
        self.engineChanged.emit(engine)


class Desk:
    """Everything a chat page is given, and what it said."""

    def __init__(self, engine: EngineState | None = None) -> None:
        self.bridge = FakeBridge()
        self.client = FakeClient(self.bridge)
        self.operations = FakeOperations(self.client)
        self.state = FakeState(engine if engine is not None else self.client.engine)
        self.toasts: list[tuple[str, Callable[[], object] | None]] = []
        self.picker_opened = 0
        self.memory = WindowMemory()
        self.context = WindowContext(
            client=self.client,  # type: ignore[arg-type]  # the same methods
            state=self.state,  # type: ignore[arg-type]  # the same fields
            bridge=self.bridge,
            operations=self.operations,  # type: ignore[arg-type]  # the same method
            navigate=lambda _page: None,
            toast=self._toast,
            settings=self.memory,
            choose_model=self._pick,
        )

    def _toast(
        self, text: str, *, action: str | None = None, on_action: Callable[[], object] | None = None
    ) -> None:
        self.toasts.append((text, on_action))

    def _pick(self) -> None:
        self.picker_opened += 1

    def say_state(self, answering: tuple[Message, ...] = ()) -> None:
        """The snapshot a new listener gets."""
        engine = self.state.engine or EngineState()
        self.bridge.stateReplaced.emit(
            State(version="1", address="http://127.0.0.1:1", engine=engine, answering=answering)
        )
