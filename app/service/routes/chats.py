"""Chats, folders, messages, search, files to take along."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.service.services import Services, services_of
from app.shared.chats import Attachment, Chat, ChatView, Folder, Message, SearchHit
from app.shared.engine import SettingValue
from app.shared.errors import BadRequest

router = APIRouter(prefix="/api")

LONGEST_TEXT = 64 * 1024 * 1024


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewChat(_Body):
    title: str = ""
    folder_id: str | None = None
    temporary: bool = False


class ChatChanges(_Body):
    """Only what is given changes; `folder_id` null takes the chat out of its folder."""

    title: str | None = None
    folder_id: str | None = None
    pinned: bool | None = None
    draft: str | None = None


class NewFolder(_Body):
    name: str


class FolderChanges(_Body):
    name: str | None = None
    position: int | None = None


class SendBody(_Body):
    """A person's message. Without `parent_id` it follows the last message on the path shown."""

    text: str = Field(max_length=LONGEST_TEXT)
    attachments: tuple[Attachment, ...] = ()
    parent_id: str | None = None
    values: dict[str, SettingValue | None] = {}


class AnswerBody(_Body):
    parent_id: str | None
    values: dict[str, SettingValue | None] = {}
    continue_message_id: str | None = None


class EditBody(_Body):
    """A message written anew: in its place, or as a sibling that keeps its files; `answer` starts its answer."""

    text: str = Field(max_length=LONGEST_TEXT)
    answer: bool = False
    in_place: bool = False


class ImportBody(_Body):
    text: str
    format: Literal["json", "markdown"] = "json"


@router.get("/chats")
def chats(request: Request) -> tuple[Chat, ...]:
    """Return all chats, pinned first, newest first."""
    return services_of(request).chats.chats()


@router.post("/chats", status_code=201)
def create(request: Request, body: NewChat) -> Chat:
    """Begin a chat."""
    return services_of(request).chats.create(
        title=body.title, folder_id=body.folder_id, temporary=body.temporary
    )


@router.get("/chats/search")
def search(request: Request, q: str, limit: int = 50) -> tuple[SearchHit, ...]:
    """Return where the words of `q` begin words."""
    return services_of(request).chats.search(q, limit=max(1, min(limit, 500)))


@router.post("/chats/import", status_code=201)
def take_in(request: Request, body: ImportBody) -> tuple[Chat, ...]:
    """Take in exported chats."""
    return services_of(request).chats.import_chat(body.text, format=body.format)


@router.post("/chats/set-aside")
def set_aside(request: Request) -> dict[str, str | None]:
    """Keep a damaged file under another name and begin with an empty one; for when a person said so."""
    aside = services_of(request).chats.set_aside()
    return {"path": None if aside is None else str(aside)}


@router.get("/chats/{chat_id}")
def view(request: Request, chat_id: str) -> ChatView:
    """Return a chat with the messages on its path; an answer being written with the text so far."""
    services = services_of(request)
    shown = services.chats.view(chat_id)
    now = {message.id: message for message in services.answers.writing() if message.chat_id == chat_id}
    if not now:
        return shown
    messages = tuple(
        message.model_copy(update={"text": now[message.id].text, "thought": now[message.id].thought})
        if message.id in now
        else message
        for message in shown.messages
    )
    return shown.model_copy(update={"messages": messages})


@router.patch("/chats/{chat_id}")
def change(request: Request, chat_id: str, body: ChatChanges) -> Chat:
    """Change title, folder, pin or draft."""
    store = services_of(request).chats
    if "folder_id" in body.model_fields_set:
        return store.change(
            chat_id, title=body.title, folder_id=body.folder_id, pinned=body.pinned, draft=body.draft
        )
    return store.change(chat_id, title=body.title, pinned=body.pinned, draft=body.draft)


@router.delete("/chats/{chat_id}", status_code=204)
def remove(request: Request, chat_id: str) -> None:
    """Delete a chat, stopping what is being written into it; restoring undoes it."""
    services = services_of(request)
    for message in services.answers.writing():
        if message.chat_id == chat_id:
            services.answers.stop(message.id)
    services.chats.remove(chat_id)


@router.post("/chats/{chat_id}/restore")
def restore(request: Request, chat_id: str) -> Chat:
    """Take a deleted chat back."""
    return services_of(request).chats.restore(chat_id)


@router.get("/chats/{chat_id}/export")
def export(request: Request, chat_id: str, format: Literal["json", "markdown"] = "json") -> Response:
    """Return the chat as a file: JSON with all branches, or Markdown of the path shown."""
    store = services_of(request).chats
    title = store.chat(chat_id).title
    if format == "json":
        text, kind, ending = store.export_json(chat_id), "application/json", "json"
    else:
        text, kind, ending = store.export_markdown(chat_id), "text/markdown; charset=utf-8", "md"
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', " ", title).strip(" .")[:80] or "chat"
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}.{ending}"}
    return Response(text.encode("utf-8"), media_type=kind, headers=headers)


@router.post("/chats/{chat_id}/send", status_code=202)
def send(request: Request, chat_id: str, body: SendBody) -> dict[str, Message]:
    """Add a person's message and start the answer. Without a model nothing is added: the text stays where it was typed."""
    services = services_of(request)
    services.engine.ready_model()
    if not body.text.strip() and not body.attachments:
        raise BadRequest("The message is empty. Write something or attach a file.")
    parent_id = body.parent_id
    if parent_id is None:
        path = services.chats.view(chat_id).messages
        parent_id = path[-1].id if path else None
    user = services.chats.add(
        chat_id, role="user", text=body.text, parent_id=parent_id, attachments=body.attachments
    )
    if services.chats.chat(chat_id).draft:
        services.chats.change(chat_id, draft="")
    answer = services.answers.start(chat_id, parent_id=user.id, values=_given(body.values))
    return {"user": user, "answer": answer}


@router.post("/chats/{chat_id}/answer", status_code=202)
def answer_again(request: Request, chat_id: str, body: AnswerBody) -> dict[str, Message]:
    """Answer a message once more as a new sibling, or continue an answer."""
    answer = services_of(request).answers.start(
        chat_id,
        parent_id=body.parent_id,
        values=_given(body.values),
        continue_message_id=body.continue_message_id,
    )
    return {"answer": answer}


@router.post("/messages/{message_id}/stop")
def stop(request: Request, message_id: str) -> Message:
    """Stop an answer being written; what stands is kept."""
    return services_of(request).answers.stop(message_id)


@router.post("/messages/{message_id}/edit")
def edit(request: Request, message_id: str, body: EditBody) -> dict[str, Message]:
    """Write a message anew; answers `{"message"}` and, if an answer was started, `{"answer"}`."""
    services = services_of(request)
    before = services.chats.message(message_id)
    if body.in_place:
        return {"message": services.chats.rewrite(message_id, body.text)}
    answering = body.answer and before.role == "user"
    if answering:
        services.engine.ready_model()
    message = services.chats.add(
        before.chat_id,
        role=before.role,
        text=body.text,
        parent_id=before.parent_id,
        attachments=before.attachments,
        thought=before.thought,
        tool_call_id=before.tool_call_id,
    )
    if not answering:
        return {"message": message}
    return {"message": message, "answer": services.answers.start(before.chat_id, parent_id=message.id)}


@router.post("/messages/{message_id}/choose")
def choose(request: Request, message_id: str) -> ChatView:
    """Put this sibling on the path."""
    return services_of(request).chats.choose(message_id)


@router.delete("/messages/{message_id}", status_code=204)
def remove_message(request: Request, message_id: str) -> None:
    """Delete a message and what follows it, stopping an answer being written there; restoring undoes it."""
    services = services_of(request)
    _stop_below(services, message_id)
    services.chats.remove_message(message_id)


@router.post("/messages/{message_id}/restore")
def restore_message(request: Request, message_id: str) -> ChatView:
    """Take a deleted message and what went with it back."""
    return services_of(request).chats.restore_message(message_id)


@router.get("/folders")
def folders(request: Request) -> tuple[Folder, ...]:
    """Return the folders in their order."""
    return services_of(request).chats.folders()


@router.post("/folders", status_code=201)
def create_folder(request: Request, body: NewFolder) -> Folder:
    """Make a folder."""
    return services_of(request).chats.create_folder(body.name)


@router.patch("/folders/{folder_id}")
def change_folder(request: Request, folder_id: str, body: FolderChanges) -> Folder:
    """Rename a folder or move it in the order."""
    return services_of(request).chats.change_folder(folder_id, name=body.name, position=body.position)


@router.delete("/folders/{folder_id}", status_code=204)
def remove_folder(request: Request, folder_id: str) -> None:
    """Delete a folder; its chats stay."""
    services_of(request).chats.remove_folder(folder_id)


def _given(values: dict[str, SettingValue | None]) -> dict[str, SettingValue]:
    return {key: value for key, value in values.items() if value is not None}


def _stop_below(services: Services, message_id: str) -> None:
    chat_id = services.chats.message(message_id).chat_id
    for writing in services.answers.writing():
        if writing.chat_id == chat_id and any(
            message.id == message_id for message in services.chats.path_to(writing.id)
        ):
            services.answers.stop(writing.id)
