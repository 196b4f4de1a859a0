"""Presets and the table of settings they draw on."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from app.service.services import services_of
from app.shared.errors import BadRequest, ErrorInfo
from app.shared.presets import Preset, parse_preset
from app.shared.settings import settings

router = APIRouter(prefix="/api")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewName(_Body):
    name: str


class CopyName(_Body):
    name: str | None = None


class ImportBody(_Body):
    toml: str
    name: str | None = None


class CheckBody(_Body):
    """Either a preset's TOML or a preset; with `model_path` the model's own bounds are held against it."""

    toml: str | None = None
    preset: Preset | None = None
    model_path: str | None = None


class CheckAnswer(BaseModel):
    problems: tuple[ErrorInfo, ...]
    unknown: tuple[str, ...] = ()


class DefaultBody(_Body):
    model_path: str | None = None
    preset: str | None = None


@router.get("/settings")
def table(request: Request) -> list[dict[str, Any]]:
    """Return every knob, in the order of the form."""
    return [dataclasses.asdict(knob) for knob in settings().values()]


@router.get("/presets")
def presets(request: Request) -> tuple[Preset, ...]:
    """Return the user's presets, then the shipped ones; broken ones with their problem."""
    return services_of(request).presets.list()


@router.put("/presets/default", status_code=204)
def set_default(request: Request, body: DefaultBody) -> None:
    """Let a model, or without a path every model, take this preset by itself; null takes that back."""
    services_of(request).presets.set_default(body.preset, model_path=body.model_path)


@router.get("/presets/default")
def default(request: Request, model_path: str | None = None) -> dict[str, str | None]:
    """Return the preset that a model takes by itself."""
    return {"preset": services_of(request).presets.default_for(model_path)}


@router.post("/presets/import", status_code=201)
def take_in(request: Request, body: ImportBody) -> Preset:
    """Take in a preset's TOML text as one of the user's."""
    return services_of(request).presets.import_toml(body.toml, body.name)


@router.post("/presets/check")
def check(request: Request, body: CheckBody) -> CheckAnswer:
    """Return everything wrong with a preset; an empty list means that it can be loaded."""
    services = services_of(request)
    if (body.toml is None) == (body.preset is None):
        raise BadRequest("Give either the preset's TOML text or the preset to check.")
    preset = body.preset if body.preset is not None else parse_preset(body.toml or "", name="preset")
    facts = None if body.model_path is None else services.models.facts(body.model_path)
    wrong = services.presets.check(preset, facts)
    return CheckAnswer(problems=tuple(error.info() for error in wrong), unknown=preset.unknown)


@router.get("/presets/{name}")
def preset(request: Request, name: str) -> Preset:
    """Return one preset, broken or not."""
    return services_of(request).presets.find(name)


@router.get("/presets/{name}/export")
def export(request: Request, name: str) -> Response:
    """Return the preset's TOML as it stands on disk, comments included."""
    return Response(
        services_of(request).presets.text(name).encode("utf-8"), media_type="application/toml; charset=utf-8"
    )


@router.put("/presets/{name}")
def save(request: Request, name: str, body: Preset) -> Preset:
    """Save the user's preset of this name; one of a shipped name shadows that."""
    return services_of(request).presets.save(body.model_copy(update={"name": name}))


@router.delete("/presets/{name}", status_code=204)
def remove(request: Request, name: str) -> None:
    """Delete the user's preset."""
    services_of(request).presets.remove(name)


@router.post("/presets/{name}/rename")
def rename(request: Request, name: str, body: NewName) -> Preset:
    """Give the user's preset another name."""
    return services_of(request).presets.rename(name, body.name)


@router.post("/presets/{name}/duplicate", status_code=201)
def duplicate(request: Request, name: str, body: CopyName) -> Preset:
    """Copy a preset; without a name a free one is found."""
    return services_of(request).presets.duplicate(name, body.name)
