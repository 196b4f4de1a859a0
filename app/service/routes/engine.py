"""Load, cancel, eject, reload, values and counting."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from app.service.load_plans import plan_for
from app.service.services import services_of
from app.shared.engine import ChatTurn, EngineState, RemoteServer, SettingValue, TokenCounts

router = APIRouter(prefix="/api/engine")


class LoadBody(BaseModel):
    """What to load: a file's path or a known model's id, or a remote server by itself or by its saved name."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    remote: RemoteServer | str | None = None
    preset: str | None = None
    values: dict[str, SettingValue | None] = {}


class ValuesBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    values: dict[str, SettingValue | None]


class CountBody(BaseModel):
    """What to count: a chat's present path, or turns, with what is typed so far."""

    model_config = ConfigDict(extra="forbid")

    chat_id: str | None = None
    messages: tuple[ChatTurn, ...] = ()
    draft: str = ""
    thinking: bool | None = None


@router.post("/load", status_code=202)
def load(request: Request, response: Response, body: LoadBody, wait: bool = False) -> EngineState:
    """Start loading; with `wait` answer when it is loaded, or with the error that it failed with."""
    services = services_of(request)
    plan = plan_for(services, model=body.model, remote=body.remote, preset=body.preset, values=body.values)
    job = services.engine.load(plan)
    if wait:
        job.wait()
        if job.error is not None:
            raise job.error
        response.status_code = 200
    return services.engine.state()


@router.post("/cancel")
def cancel(request: Request) -> EngineState:
    """Cancel the load under way, or stop the answers being written."""
    return services_of(request).engine.cancel()


@router.post("/eject")
def eject(request: Request) -> EngineState:
    """Free the model; answers when its memory is free."""
    return services_of(request).engine.eject()


@router.post("/reload", status_code=202)
def reload(request: Request, response: Response, wait: bool = False) -> EngineState:
    """Load the last plan again."""
    services = services_of(request)
    job = services.engine.reload()
    if wait:
        job.wait()
        if job.error is not None:
            raise job.error
        response.status_code = 200
    return services.engine.state()


@router.post("/values")
def values(request: Request, body: ValuesBody) -> EngineState:
    """Change sample-stage values for the next answers; null goes back to the preset's."""
    return services_of(request).engine.set_values(body.values)


@router.post("/count")
def count(request: Request, body: CountBody) -> TokenCounts:
    """Count what a conversation takes of the context."""
    services = services_of(request)
    turns = list(body.messages)
    if body.chat_id is not None:
        turns = list(services.answers.turns_of_chat(body.chat_id)) + turns
    if body.draft:
        turns.append(ChatTurn(role="user", content=body.draft))
    return services.engine.count(turns, thinking=body.thinking)
