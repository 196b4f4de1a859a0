"""The left column of the chat page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QFileDialog, QHBoxLayout, QListView, QVBoxLayout, QWidget

from app.ui.controls import Button, IconButton, Label, Menu, SearchField, Surface, Switch
from app.ui.i18n import tr
from app.ui.pages.chat.listing.delegate import ChatDelegate
from app.ui.pages.chat.listing.model import ROW_ROLE, ChatListModel
from app.ui.pages.chat.listing.rows import ChatRow, HitRow, grouped, hit_rows
from app.ui.pages.chat.listing.title_dialog import ask_for_name
from app.ui.theme import themes

if TYPE_CHECKING:
    from app.client.service_client import ServiceClient
    from app.shared.chats import Chat, Folder, SearchHit
    from app.shared.events import State
    from app.ui.context import WindowContext

SEARCH_MS = 150
REGROUP_MS = 60_000


class ChatListView(QListView):
    """The list itself: Enter opens, F2 renames, Delete deletes."""

    opened = Signal(QModelIndex)
    deleteAsked = Signal(QModelIndex)  # noqa: N815 - Qt's naming of signals

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setUniformItemSizes(False)
        self.setMouseTracking(True)
        self.viewport().setAutoFillBackground(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setAccessibleName(tr("Chats"))
        self.clicked.connect(self.opened)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        editing = self.state() == QAbstractItemView.State.EditingState
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not editing:
            self.opened.emit(self.currentIndex())
            return
        if event.key() == Qt.Key.Key_Delete and not editing:
            self.deleteAsked.emit(self.currentIndex())
            return
        super().keyPressEvent(event)


class ChatColumn(Surface):
    """`opened(chat id, message id or "")`, `newAsked`, `temporaryChosen(on)`."""

    opened = Signal(str, str)
    newAsked = Signal()  # noqa: N815 - Qt's naming of signals
    temporaryChosen = Signal(bool)  # noqa: N815

    def __init__(self, context: WindowContext, parent: QWidget | None = None) -> None:
        super().__init__("bg2", edges="r", parent=parent)
        self._context = context
        self.chats: dict[str, Chat] = {}
        self.folders: tuple[Folder, ...] = ()
        self._hits: tuple[SearchHit, ...] | None = None
        self.folder_id: str | None = context.settings.text("chat.folder")
        self.search = SearchField(tr("Search chats"), keys="Ctrl K", label=tr("Search chats"))
        self.new = IconButton("plus", tr("New chat (Ctrl+N)"))
        self.model = ChatListModel(self)
        self.view = ChatListView()
        self.delegate = ChatDelegate(self.view)
        self.view.setModel(self.model)
        self.view.setItemDelegate(self.delegate)
        self.empty = Label("", "secondary", "text3", wrap=True)
        self.folder_button = Button(tr("Folders"), kind="ghost", icon_name="folder", compact=True)
        self.temporary_words = Label(tr("Temporary"), "secondary", "text2")
        self.temporary = Switch(tr("Temporary chat: not kept when Pult ends"))
        self.temporary.setToolTip(tr("A temporary chat is kept in memory only and is gone when Pult ends"))
        self._build()
        self._search_timer = QTimer(self)
        self._search_timer.setSingleShot(True)
        self._search_timer.setInterval(SEARCH_MS)
        self._search_timer.timeout.connect(self._search)
        self._regroup_timer = QTimer(self)
        self._regroup_timer.setInterval(REGROUP_MS)
        self._regroup_timer.timeout.connect(self.show_rows)
        self._regroup_timer.start()
        self.search.searched.connect(lambda _words: self._search_timer.start())
        self.new.clicked.connect(self.newAsked)
        self.view.opened.connect(self._open)
        self.view.deleteAsked.connect(lambda index: self._for_chat(index, self.remove))
        self.view.customContextMenuRequested.connect(self._open_menu)
        self.model.renamed.connect(self.rename)
        self.folder_button.clicked.connect(self._open_folders)
        self.temporary.clicked.connect(self.temporaryChosen)
        bridge = context.bridge
        bridge.stateReplaced.connect(self._take_state)
        bridge.chatChanged.connect(self._take_chat)
        bridge.chatRemoved.connect(self._forget)
        bridge.foldersChanged.connect(self._take_folders)
        themes().changed.connect(self.view.viewport().update)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 12, 1, 0)
        column.setSpacing(0)
        top = QHBoxLayout()
        top.setContentsMargins(12, 0, 8, 6)
        top.setSpacing(6)
        top.addWidget(self.search, 1)
        top.addWidget(self.new)
        column.addLayout(top)
        inset = QHBoxLayout()
        inset.setContentsMargins(8, 0, 6, 0)
        inset.addWidget(self.view)
        column.addLayout(inset, 1)
        self.empty.setContentsMargins(20, 12, 16, 0)
        column.insertWidget(1, self.empty)
        foot = Surface("bg2", edges="t")
        row = QHBoxLayout(foot)
        row.setContentsMargins(6, 6, 12, 6)
        row.setSpacing(6)
        row.addWidget(self.folder_button)
        row.addStretch(1)
        row.addWidget(self.temporary_words)
        row.addWidget(self.temporary)
        column.addWidget(foot)

    # What is listed

    def fetch(self) -> None:
        """Ask the service for chats and folders."""
        self._context.operations.run(
            self, lambda client: (client.chats(), client.folders()), done=self._take_all
        )

    def _take_state(self, state: State) -> None:
        self.delegate.answering = frozenset(message.chat_id for message in state.answering)
        self.fetch()

    def _take_all(self, told: tuple[tuple[Chat, ...], tuple[Folder, ...]]) -> None:
        chats, self.folders = told
        self.chats = {chat.id: chat for chat in chats}
        if self.folder_id is not None and self.folder_id not in {folder.id for folder in self.folders}:
            self.choose_folder(None)
        self.show_rows()

    def _take_chat(self, chat: Chat) -> None:
        self.chats[chat.id] = chat
        self.show_rows()

    def _forget(self, chat_id: str) -> None:
        self.chats.pop(chat_id, None)
        self.show_rows()

    def _take_folders(self, folders: tuple[Folder, ...]) -> None:
        self.folders = folders
        self.show_rows()

    def show_rows(self) -> None:
        """Group what is known, or show the hits of the search."""
        if self._hits is not None:
            rows = hit_rows(self._hits)
            words = tr("Nothing found for “{words}”.", words=self.search.text())
        else:
            rows = grouped(self.chats.values(), now=time.time(), folder_id=self.folder_id)
            in_folder = self.folder_id is not None
            words = (
                tr("No chats in this folder.") if in_folder else tr("No chats yet. Write the first message.")
            )
        self.model.set_rows(rows)
        self.empty.setText(words)
        self.empty.setVisible(not rows)
        folder = next((each.name for each in self.folders if each.id == self.folder_id), None)
        self.folder_button.setText(folder or _folders_words(len(self.folders)))
        self.view.viewport().update()

    def set_current(self, chat: Chat | None) -> None:
        """Mark the open chat."""
        self.delegate.current = chat.id if chat is not None else None
        self.temporary.setChecked(chat is not None and chat.temporary)
        if chat is not None:
            index = self.model.index_of(chat.id)
            if index.isValid():
                self.view.setCurrentIndex(index)
        else:
            self.view.clearSelection()
        self.view.viewport().update()

    def set_answering(self, chat_id: str, answering: bool) -> None:
        """Mark a chat in which an answer is being written."""
        others = self.delegate.answering - {chat_id}
        self.delegate.answering = others | {chat_id} if answering else others
        self.view.viewport().update()

    def newest(self) -> Chat | None:
        """Return the chat changed last."""
        return max(self.chats.values(), key=lambda chat: chat.updated_at, default=None)

    def _search(self) -> None:
        words = self.search.text().strip()
        if not words:
            self._hits = None
            self.show_rows()
            return

        def found(hits: tuple[SearchHit, ...]) -> None:
            if self.search.text().strip() == words:
                self._hits = hits
                self.show_rows()

        self._context.operations.run(self, lambda client: client.search_chats(words), done=found)

    # What a person does

    def _open(self, index: QModelIndex) -> None:
        row = index.data(ROW_ROLE)
        if isinstance(row, ChatRow):
            self.opened.emit(row.chat.id, "")
        elif isinstance(row, HitRow):
            self.opened.emit(row.hit.chat.id, row.hit.message_id or "")

    def _for_chat(self, index: QModelIndex, act: Callable[[Chat], None]) -> None:
        row = index.data(ROW_ROLE)
        if isinstance(row, ChatRow):
            act(row.chat)

    def _open_menu(self, at: QPoint) -> None:
        index = self.view.indexAt(at)
        row = index.data(ROW_ROLE)
        if isinstance(row, ChatRow):
            self.chat_menu(row.chat, self).popup(self.view.viewport().mapToGlobal(at))

    def chat_menu(self, chat: Chat, parent: QWidget) -> Menu:
        """Everything that can be done with a chat."""
        menu = Menu(parent)
        menu.addAction(tr("Rename")).triggered.connect(lambda: self.start_renaming(chat.id))
        menu.addAction(tr("Unpin") if chat.pinned else tr("Pin")).triggered.connect(lambda: self.pin(chat))
        move = menu.addMenu(tr("Move to folder"))
        for folder in self.folders:
            entry = move.addAction(folder.name)
            entry.setCheckable(True)
            entry.setChecked(folder.id == chat.folder_id)
            entry.triggered.connect(lambda _=False, to=folder.id: self.move_to(chat, to))
        if self.folders:
            move.addSeparator()
        if chat.folder_id is not None:
            move.addAction(tr("Out of the folder")).triggered.connect(lambda: self.move_to(chat, None))
        move.addAction(tr("New folder…")).triggered.connect(lambda: self.new_folder(then=chat))
        menu.addSeparator()
        menu.addAction(tr("Export as Markdown…")).triggered.connect(lambda: self.export(chat, "markdown"))
        menu.addAction(tr("Export as JSON…")).triggered.connect(lambda: self.export(chat, "json"))
        menu.addSeparator()
        menu.addAction(tr("Delete")).triggered.connect(lambda: self.remove(chat))
        return menu

    def start_renaming(self, chat_id: str) -> None:
        """Open the title's editor in the list; a dialog if the chat is not listed now."""
        index = self.model.index_of(chat_id)
        if index.isValid():
            self.view.setCurrentIndex(index)
            self.view.edit(index)
            return
        title = self.chats[chat_id].title if chat_id in self.chats else ""
        ask_for_name(
            self,
            tr("Rename the chat"),
            tr("Chat title"),
            title,
            tr("Rename"),
            lambda name: self.rename(chat_id, name),
        )

    def _change(self, chat_id: str, **changes: object) -> None:
        def work(client: ServiceClient) -> Chat:
            return client.change_chat(chat_id, **changes)

        self._context.operations.run(self, work, done=self._take_chat)

    def rename(self, chat_id: str, title: str) -> None:
        """Give a chat another title."""
        self._change(chat_id, title=title)

    def pin(self, chat: Chat) -> None:
        """Pin or unpin a chat."""
        self._change(chat.id, pinned=not chat.pinned)

    def move_to(self, chat: Chat, folder_id: str | None) -> None:
        """Put a chat into a folder, or out of any."""
        self._change(chat.id, folder_id=folder_id)

    def remove(self, chat: Chat) -> None:
        """Delete a chat; the toast takes it back."""
        chat_id = chat.id

        def undo() -> None:
            self._context.operations.run(
                self, lambda client: client.restore_chat(chat_id), done=self._take_chat
            )

        def removed(_: None) -> None:
            self._forget(chat_id)
            title = chat.title or tr("New chat")
            self._context.toast(tr("“{title}” deleted", title=title), action=tr("Undo"), on_action=undo)

        self._context.operations.run(self, lambda client: client.remove_chat(chat_id), done=removed)

    # Folders

    def _open_folders(self) -> None:
        menu = Menu(self)
        every = menu.addAction(tr("All chats"))
        every.setCheckable(True)
        every.setChecked(self.folder_id is None)
        every.triggered.connect(lambda: self.choose_folder(None))
        for folder in self.folders:
            entry = menu.addAction(folder.name)
            entry.setCheckable(True)
            entry.setChecked(folder.id == self.folder_id)
            entry.triggered.connect(lambda _=False, to=folder.id: self.choose_folder(to))
        menu.addSeparator()
        menu.addAction(tr("New folder…")).triggered.connect(lambda: self.new_folder())
        chosen = next((folder for folder in self.folders if folder.id == self.folder_id), None)
        if chosen is not None:
            menu.addAction(tr("Rename this folder…")).triggered.connect(lambda: self.rename_folder(chosen))
            menu.addAction(tr("Delete this folder")).triggered.connect(lambda: self.remove_folder(chosen))
        menu.addSeparator()
        menu.addAction(tr("Import chats…")).triggered.connect(self.choose_import)
        menu.popup(self.folder_button.mapToGlobal(QPoint(0, -menu.sizeHint().height() - 4)))

    def choose_folder(self, folder_id: str | None) -> None:
        """List one folder's chats, or all."""
        self.folder_id = folder_id
        self._context.settings.put("chat.folder", folder_id)
        self.show_rows()

    def new_folder(self, then: Chat | None = None) -> None:
        """Ask for a name and make a folder; `then` is moved into it."""

        def made(folder: Folder) -> None:
            if then is not None:
                self.move_to(then, folder.id)
            else:
                self.choose_folder(folder.id)

        def named(name: str) -> None:
            self._context.operations.run(self, lambda client: client.create_folder(name), done=made)

        ask_for_name(self, tr("New folder"), tr("Folder name"), "", tr("Create"), named)

    def rename_folder(self, folder: Folder) -> None:
        """Ask for another name."""

        def named(name: str) -> None:
            self._context.operations.run(self, lambda client: client.change_folder(folder.id, name=name))

        ask_for_name(self, tr("Rename the folder"), tr("Folder name"), folder.name, tr("Rename"), named)

    def remove_folder(self, folder: Folder) -> None:
        """Delete a folder; its chats stay."""

        def removed(_: None) -> None:
            self.choose_folder(None)
            self.fetch()
            self._context.toast(tr("Folder “{name}” deleted; its chats stay", name=folder.name))

        self._context.operations.run(self, lambda client: client.remove_folder(folder.id), done=removed)

    # Files

    def export(self, chat: Chat, kind: str) -> None:
        """Ask where, then write the chat as `json` or `markdown`."""
        ending = {"json": "json", "markdown": "md"}[kind]
        name = "".join(
            letter if letter.isalnum() or letter in " -_." else "_" for letter in chat.title
        ).strip()
        dialog = QFileDialog(self, tr("Export the chat"), f"{name or 'chat'}.{ending}")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(ending)
        dialog.fileSelected.connect(lambda path: self.export_to(chat, kind, path))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def export_to(self, chat: Chat, kind: str, path: str) -> None:
        """Write the chat into a file."""

        def work(client: ServiceClient) -> None:
            write_text(path, client.export_chat(chat.id, format=kind))

        self._context.operations.run(
            self, work, done=lambda _: self._context.toast(tr("Exported to {name}", name=Path(path).name))
        )

    def choose_import(self) -> None:
        """Ask for files with exported chats."""
        dialog = QFileDialog(self, tr("Import chats"), "", tr("Exported chats") + " (*.json *.md)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(self.import_files)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def import_files(self, paths: list[str]) -> None:
        """Take in exported chats and open the last."""

        def work(client: ServiceClient) -> list[Chat]:
            chats: list[Chat] = []
            for path in paths:
                kind = "markdown" if path.lower().endswith((".md", ".markdown")) else "json"
                chats.extend(client.import_chats(read_text(path), format=kind))
            return chats

        def imported(chats: list[Chat]) -> None:
            self.fetch()
            if chats:
                self.opened.emit(chats[-1].id, "")

        self._context.operations.run(self, work, done=imported)


def write_text(path: str, text: str) -> None:
    """Write a text file; raises `StorageFailed` with the reason."""
    from app.shared.errors import StorageFailed

    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageFailed(
            "{name} could not be written: {reason}. Choose another place.",
            name=Path(path).name,
            reason=error.strerror or str(error),
        ) from error


def read_text(path: str) -> str:
    """Read a text file; raises `BadRequest` with the reason."""
    from app.shared.errors import BadRequest

    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadRequest(
            "{name} cannot be read: {reason}. Choose a file that Pult exported.",
            name=Path(path).name,
            reason=reason,
        ) from error


def _folders_words(count: int) -> str:
    return tr("Folders · {count}", count=count) if count else tr("Folders")
