"""What was typed and not sent, per chat. Kept in the window's memory at once and in the service soon after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.shared.chats import Chat
    from app.shared.errors import PultError
    from app.ui.context import WindowContext

SAVE_MS = 600
_KEY = "chat.drafts"
_NEW = ""  # the draft of a chat that does not exist yet


class Drafts(QObject):
    """The service's copy survives a crash of the window, the window's one a service that does not answer."""

    def __init__(self, context: WindowContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._local: dict[str, str] = dict(context.settings.get(_KEY, {}))
        self._unsaved: set[str] = {chat_id for chat_id in self._local if chat_id != _NEW}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SAVE_MS)
        self._timer.timeout.connect(self.save)

    def text_of(self, chat: Chat | None) -> str:
        """Return a chat's draft."""
        if chat is None:
            return self._local.get(_NEW, "")
        return self._local.get(chat.id, chat.draft)

    def keep(self, chat_id: str | None, text: str) -> None:
        """Remember what is typed now."""
        key = chat_id or _NEW
        if key == _NEW and not text:
            self._local.pop(_NEW, None)
        else:
            self._local[key] = text
        if key != _NEW:
            self._unsaved.add(key)
            self._timer.start()
        self._put()

    def save(self) -> None:
        """Send what the service does not have yet."""
        for chat_id in tuple(self._unsaved):
            self._unsaved.discard(chat_id)
            self._save_one(chat_id, self._local.get(chat_id, ""))

    def _save_one(self, chat_id: str, text: str) -> None:
        def work(client: ServiceClient) -> Chat:
            return client.change_chat(chat_id, draft=text)

        self._context.operations.run(
            self,
            work,
            done=lambda _chat: self._saved(chat_id, text),
            failed=lambda error: self._not_saved(chat_id, error),
        )

    def forget(self, chat_id: str) -> None:
        """The chat is gone."""
        self._local.pop(chat_id, None)
        self._unsaved.discard(chat_id)
        self._put()

    def _saved(self, chat_id: str, text: str) -> None:
        if self._local.get(chat_id) == text and chat_id not in self._unsaved:
            del self._local[chat_id]
            self._put()

    def _not_saved(self, chat_id: str, error: PultError) -> None:
        # It stays in the window's memory; the banner of a service that is gone says the rest.
        if error.status == 404:
            self.forget(chat_id)

    def _put(self) -> None:
        self._context.settings.put(_KEY, dict(self._local) or None)
