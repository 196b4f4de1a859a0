"""From what a person asked to load to a checked plan: path or id, preset, values, each wrong one refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from app.shared.engine import LoadPlan, RemoteServer, SettingValue
from app.shared.errors import BadRequest, ModelFileMissing, NotFound
from app.shared.settings import check_values, settings

if TYPE_CHECKING:
    from app.service.services import Services


def plan_for(
    services: Services,
    *,
    model: str | None = None,
    remote: RemoteServer | str | None = None,
    preset: str | None = None,
    values: Mapping[str, SettingValue | None] | None = None,
) -> LoadPlan:
    """Return the plan: the preset's values (the model's default preset when none is named) with `values` over them.

    Raises `NotFound`, `BadValue`, `BadRequest`, and `ModelUnreadable` when the header cannot be read.
    """
    given = {key: value for key, value in (values or {}).items() if value is not None}
    dropped = {key for key, value in (values or {}).items() if value is None}
    if (model is None) == (remote is None):
        raise BadRequest("Name either a model file or a remote server to load.")
    server = _server(services, remote) if remote is not None else None
    path = _path(services, model) if model is not None else None
    name = preset if preset is not None else services.presets.default_for(path) if path else None
    base: dict[str, SettingValue] = {}
    if name:
        base = dict(services.presets.show(name).values)
    merged = {key: value for key, value in {**base, **given}.items() if key not in dropped}
    # Reading the header first means that a file that cannot be loaded does not cost the model that is.
    facts = services.models.facts(path) if path and services.engine.reads_files else None
    trained = facts.trained_context if facts is not None else None
    usual = settings()["context"].default
    if trained is not None and "context" not in merged and isinstance(usual, int) and trained < usual:
        merged["context"] = max(
            trained, 256
        )  # beyond its trained length a model falls apart unless somebody asked for it
    return LoadPlan(model_path=path, remote=server, preset=name or None, values=check_values(merged, facts))


def _server(services: Services, remote: RemoteServer | str) -> RemoteServer:
    if isinstance(remote, RemoteServer):
        return remote
    for known in services.models.remotes():
        if known.name == remote:
            return known
    raise NotFound(
        "No remote server named {name} is saved. Save it in Settings or give its URL.", name=remote
    )


def _path(services: Services, model: str) -> str:
    path = Path(model).expanduser()
    if path.is_file() or path.is_absolute() or path.suffix.lower() == ".gguf":
        return str(path.absolute())
    for card in services.models.cards():
        if model in (Path(card.path).stem, card.name):
            return str(card.path)
    raise ModelFileMissing(
        "There is no file {path} and no known model of that name. Choose a GGUF file.", path=model
    )
