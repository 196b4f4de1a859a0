"""Known models, watched folders, saved remote servers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from app.models.anatomy_tensors import Anatomy, anatomy_of
from app.models.card import ModelCard
from app.models.hf_config import Explanation, explain
from app.service.services import services_of
from app.shared.engine import RemoteServer

router = APIRouter(prefix="/api")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PathBody(_Body):
    path: str


class TextBody(_Body):
    text: str


class FoldersBody(_Body):
    folders: tuple[str, ...]


class ServerBody(_Body):
    """A server's address up to and with /v1; its name is in the path."""

    name: str = ""
    url: str
    key: str = ""
    model: str = ""


@router.get("/models")
def models(request: Request) -> tuple[ModelCard, ...]:
    """Return the guide, files opened before, files in watched folders."""
    return services_of(request).models.cards()


@router.post("/models/inspect")
def inspect(request: Request, body: PathBody) -> ModelCard:
    """Read a file's header; what is wrong with the file stands in `problem`."""
    return services_of(request).models.inspect(body.path)


@router.get("/models/anatomy")
def anatomy(request: Request, path: str) -> Anatomy:
    """Read a file's shape, what its parts weigh and what works on one token; no weights are read."""
    return anatomy_of(services_of(request).models.inspect(path))


@router.post("/models/explain")
def explain_config(body: TextBody) -> Explanation:
    """Explain a config.json, generation_config.json, tokenizer_config.json or GGUF keys line by line."""
    return explain(body.text)


@router.post("/models/forget", status_code=204)
def forget(request: Request, body: PathBody) -> None:
    """Take a file off the list; the file stays."""
    services_of(request).models.forget(body.path)


@router.get("/models/folders")
def folders(request: Request) -> tuple[str, ...]:
    """Return the watched folders."""
    return services_of(request).models.folders()


@router.post("/models/folders")
def set_folders(request: Request, body: FoldersBody) -> tuple[str, ...]:
    """Watch exactly these folders."""
    return services_of(request).models.set_folders(body.folders)


@router.get("/remotes")
def remotes(request: Request) -> tuple[RemoteServer, ...]:
    """Return the saved servers."""
    return services_of(request).models.remotes()


@router.put("/remotes/{name}")
def save_remote(request: Request, name: str, body: ServerBody) -> RemoteServer:
    """Keep a server under this name."""
    server = RemoteServer(name=name, url=body.url, key=body.key, model=body.model)
    return services_of(request).models.save_remote(server)


@router.delete("/remotes/{name}", status_code=204)
def remove_remote(request: Request, name: str) -> None:
    """Forget a server."""
    services_of(request).models.remove_remote(name)
